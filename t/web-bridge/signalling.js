// WebSocket signalling at /signal?token=...: tells participants of one space
// about each other and carries their offers, answers and candidates. It says
// nothing while nothing happens, so a quiet meeting is a quiet WebSocket.
//
// To a participant:  { type: 'hello', you, confirm: URL }
//                    { type: 'welcome', others: [{ id, name, jid }] }
//                    { type: 'joined', who: {...} }  { type: 'left', id }
//                    { type: 'signal', from: id, ... }
// From a participant { type: 'enter', who: jid, page: URL }, after `confirm`
//                    { type: 'signal', to: jid, ... }     { type: 'ping' }
//
// Who names a page or a domain that is not the web bridge's own is refused: the
// WebSocket is closed.
'use strict';

const { WebSocketServer } = require('ws');

const participants = new Map();    // of every listener: id -> { guest, ws }

class Signalling {
  constructor(config, identity, meetings) {
    this.config = config;
    this.identity = identity;
    this.meetings = meetings;
    this.wss = new WebSocketServer({ noServer: true });
    this.wss.on('headers', (headers) => {
      if (config.name) {
        headers.push(`X-Web-Bridge: ${config.name}`);
      }
    });
  }

  upgrade(req, socket, head) {
    const url = new URL(req.url, 'https://web-bridge.invalid');
    const guest = this.meetings.guestOf(url.searchParams.get('token'));
    const refusal =
      this.config.outOfOrder ? `${this.config.outOfOrder} Out Of Order`
      : !this.identity.answersTo(req.headers.host) ? '400 Bad Request'
        : url.pathname !== '/signal' ? '404 Not Found'
          : !this.identity.acceptsOrigin(req.headers.origin) ? '403 Forbidden'
            : !guest ? '401 Unauthorized' : null;
    if (refusal) {
      socket.end(`HTTP/1.1 ${refusal}\r\nContent-Length: 0\r\n` +
        'Connection: close\r\n\r\n');
      return;
    }
    this.wss.handleUpgrade(req, socket, head, (ws) => this.join(guest, ws));
  }

  join(guest, ws) {
    const me = { id: guest.id, name: guest.name, jid: guest.jid };
    const participant = { guest, me, ws, confirmed: false };
    const key = this.meetings.expect(() => { participant.confirmed = true; });
    this.tell(participant, { type: 'hello', you: me,
      confirm: this.identity.link(`/api/confirm?key=${key}`) });

    ws.on('message', (data) => this.hear(participant, JSON.parse(data)));
    ws.on('error', () => ws.terminate());
    ws.on('close', () => this.leave(participant));
  }

  hear(participant, message) {
    if (message.type === 'ping') {
      this.tell(participant, { type: 'pong' });
    } else if (message.type === 'enter') {
      this.enter(participant, message);
    } else if (message.type === 'signal') {
      this.pass(participant, message);
    }
  }

  enter(participant, { who, page }) {
    const { me, confirmed } = participant;
    const refusal = !confirmed ? 'nothing was confirmed'
      : who !== me.jid ? `you are not ${who}`
        : !this.identity.acceptsPage(page) ? `no page of mine: ${page}` : null;
    if (refusal) {
      return this.refuse(participant, refusal);
    }
    participants.set(me.id, participant);
    const others = this.others(participant);
    this.tell(participant, { type: 'welcome',
      others: others.map((p) => p.me) });
    return others.forEach((p) => this.tell(p, { type: 'joined', who: me }));
  }

  pass(participant, message) {
    if (!String(message.to).endsWith(`@${this.config.domain}`)) {
      return this.refuse(participant, `no participant of mine: ${message.to}`);
    }
    const to = this.others(participant).find((p) => p.me.jid === message.to);
    return to && this.tell(to, { ...message, to: undefined,
      from: participant.me.id });
  }

  leave(participant) {
    const { me } = participant;
    if (participants.get(me.id) === participant) {
      participants.delete(me.id);
      this.others(participant).forEach(
        (p) => this.tell(p, { type: 'left', id: me.id }));
    }
  }

  // Who else is in the same space.
  others({ guest }) {
    return [...participants.values()].filter(
      (p) => p.guest.space === guest.space && p.guest.id !== guest.id);
  }

  // Slashes as encoders write them that have HTML in mind.
  tell({ ws }, message) {
    ws.send(JSON.stringify(message).replaceAll('/', '\\u002f'));
  }

  refuse({ ws }, reason) {
    console.log(`refused: ${reason}`);
    ws.close(1008, reason.slice(0, 120));
  }
}

module.exports = { Signalling };
