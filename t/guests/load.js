// Many guests who ask for pages at a steady rate, whether or not earlier
// answers have come (an open loop): so what a fault costs is seen in full.
// Started by Edge::Guests with its options as JSON; ends when its stdin does,
// once every answer has come or the limit has passed. Prints `ready`, then one
// line for each request when it ends:
//   START MS OUTCOME WHO REPEATED
// START: ms since the epoch when it was due; MS: how long it took from then;
// OUTCOME: the status, or what went wrong, with _ for spaces; WHO: the answer's
// X-Web-Bridge or -; REPEATED: 1 when it was sent once more, as a browser does.
'use strict';

const fs = require('fs');
const { Guest } = require('./guest');

const options = JSON.parse(process.argv[2]);
const at = { ...options, ca: fs.readFileSync(options.ca) };
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
  console.log(due, Date.now() - due, outcome, who, repeated);
  open -= 1;
  end();
}

function end() {
  if (ending && open === 0) {
    process.exit(0);
  }
}

const started = Date.now();
setInterval(() => {
  for (;;) {
    const due = started + Math.round(sent * 1000 / options.rate);
    if (ending || due > Date.now()) {
      return;
    }
    ask(guests[sent % guests.length], due);
    sent += 1;
  }
}, 5);

process.stdin.on('end', () => {
  ending = true;
  end();
});
process.stdin.resume();
console.log('ready');
