// WebSocket signalling at /signal?token=...: tells participants of one space
// about each other and carries their offers, answers and candidates. It says
// nothing while nothing happens, so a quiet meeting is a quiet WebSocket.
//
// To a participant:  { type: 'welcome', you, others: [{ id, name, jid }] }
//                    { type: 'joined', who: {...} }  { type: 'left', id }
//                    { type: 'signal', from, ... }
// From a participant { type: 'signal', to, ... }     { type: 'ping' }
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
    const others = () => [...participants.values()].filter(
      (p) => p.guest.space === guest.space && p.guest.id !== guest.id);
    const tell = (p, message) => p.ws.send(JSON.stringify(message));

    participants.set(guest.id, { guest, me, ws });
    tell({ ws }, { type: 'welcome', you: me,
      others: others().map((p) => p.me) });
    others().forEach((p) => tell(p, { type: 'joined', who: me }));

    ws.on('message', (data) => {
      const message = JSON.parse(data);
      const to = participants.get(message.to);
      if (message.type === 'ping') {
        tell({ ws }, { type: 'pong' });
      } else if (to && to.guest.space === guest.space) {
        tell(to, { ...message, to: undefined, from: guest.id });
      }
    });
    ws.on('error', () => ws.terminate());
    ws.on('close', () => {
      if ((participants.get(guest.id) || {}).ws === ws) {
        participants.delete(guest.id);
        others().forEach((p) => tell(p, { type: 'left', id: guest.id }));
      }
    });
  }
}

module.exports = { Signalling };
