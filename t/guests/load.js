// Many guests who ask for pages at a steady rate, whether or not earlier
// answers have come (an open loop): so what a fault costs is seen in full.
// Started by Edge::Guests with its options as JSON; ends when its stdin does,
// once every answer has come or the limit has passed. Prints one line for
// each request when it ends, and `ready` once the rate is steady:
//   START MS OUTCOME WHO REPEATED
// START: ms since the epoch when it was due; MS: how long it took from then;
// OUTCOME: the status, or what went wrong, with _ for spaces; WHO: the answer's
// X-Web-Bridge or -; REPEATED: 1 when it was sent once more, as a browser does.
'use strict';

const { Guest, edge } = require('./guest');

const options = JSON.parse(process.argv[2]);
const at = edge(options);
const guests = Array.from({ length: options.guests }, () => new Guest(at));
let open = 0;
let sent = 0;
let ending = false;

async function ask(guest, due) {
  let outcome;
  let who = '-';
  let repeated = 0;
  open += 1;
  try {
    const answer = await guest.request('GET', options.path);
    outcome = answer.status;
    who = answer.headers['x-web-bridge'] || '-';
    repeated = answer.repeated ? 1 : 0;
  } catch (error) {
    outcome = (error.code || error.message).replace(/\s+/g, '_');
  }
  console.log(Math.round(due), Math.round(Date.now() - due), outcome, who,
    repeated);
  open -= 1;
  end();
}

function end() {
  if (ending && open === 0) {
    process.exit(0);
  }
}

function atSteadyRate() {
  const started = Date.now();
  const already = sent;
  setInterval(() => {
    for (;;) {
      const due = started + (sent - already) * 1000 / options.rate;
      if (ending || due > Date.now()) {
        return;
      }
      ask(guests[sent % guests.length], due);
      sent += 1;
    }
  }, 5);
}

// First one after the other: a hundred TLS handshakes at once are no load that
// anybody has, and busy the machine for long.
async function arrive() {
  for (const guest of guests) {
    await ask(guest, Date.now());
    sent += 1;
  }
  atSteadyRate();
}

process.stdin.on('end', () => {
  ending = true;
  end();
});
process.stdin.resume();
arrive().then(() => console.log('ready'));
