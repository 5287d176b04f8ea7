// Guests who join a meeting as the web app does: the page, POST /api/join with
// the session it gave, the WebSocket with the token; then they stay, and say
// something now and then to see that they are heard. Started by Edge::Guests
// with its options as JSON; ends when its stdin does. Prints `ready`, then
// JSON lines:
//   {t, guest, event: 'joined', page, join, socket}  who answered each
//                                                     (X-Web-Bridge)
//   {t, guest, event: 'refused', step, why}           one attempt failed
//   {t, guest, event: 'dropped', code}                the WebSocket ended
//   {t, guest, event: 'unheard'}                      no answer to what it said
// Where they rejoin, an attempt that failed or a WebSocket that ended is
// followed by the next attempt, from the page on.
'use strict';

const { Guest, edge } = require('./guest');

const options = JSON.parse(process.argv[2]);
const at = edge(options);

function say(guest, event, more) {
  console.log(JSON.stringify({ t: Date.now() / 1000, guest, event, ...more }));
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class Attendee {
  constructor(number) {
    this.number = number;
    this.guest = new Guest(at);
    this.id = String(options.firstMeeting + number % options.meetings);
  }

  async attend() {
    for (;;) {
      const ws = await this.join();
      if (ws) {
        say(this.number, 'dropped', { code: await this.stay(ws) });
      }
      if (!options.rejoin) {
        return;
      }
      await pause(250 + 250 * Math.random());
    }
  }

  // The open WebSocket, undef when this attempt did not get so far.
  async join() {
    let step = 'page';
    try {
      const page = this.good(await this.guest.request('GET',
        `/en-US/meeting/${this.id}`));
      step = 'join';
      const join = this.good(await this.guest.request('POST', '/api/join',
        JSON.stringify({ id: this.id, name: `Guest ${this.number}` })));
      step = 'socket';
      const { token } = JSON.parse(join.body);
      const { ws, headers } = await this.guest.socket(
        `/signal?token=${encodeURIComponent(token)}`);
      const who = (h) => h['x-web-bridge'] || '-';
      say(this.number, 'joined', { page: who(page.headers),
        join: who(join.headers), socket: who(headers) });
      return ws;
    } catch (error) {
      say(this.number, 'refused', { step, why: error.code || error.message });
      return undefined;
    }
  }

  good(answer) {
    if (answer.status !== 200) {
      throw new Error(`status ${answer.status}`);
    }
    return answer;
  }

  // Until the WebSocket ends: its close code.
  stay(ws) {
    return new Promise((resolve) => {
      let heard = Date.now();
      const timer = setInterval(() => {
        if (Date.now() > heard + at.limitMs + options.sayEveryMs) {
          say(this.number, 'unheard');
        }
        ws.send('{"type":"ping"}');
      }, options.sayEveryMs);
      ws.on('message', () => { heard = Date.now(); });
      ws.on('error', () => {});
      ws.on('close', (code) => {
        clearInterval(timer);
        resolve(code);
      });
      ws.resume();
    });
  }
}

async function main() {
  process.stdin.on('end', () => process.exit(0));
  process.stdin.resume();
  console.log('ready');
  for (let number = 0; number < options.count; number += 1) {
    new Attendee(number).attend();
    await pause(options.everyMs);
  }
}

main();
