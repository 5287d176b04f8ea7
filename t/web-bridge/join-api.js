// The API that the join page calls: what can be done here, the name of a
// meeting, and joining it.
//
//   GET  /api/status                          { callBridge }
//   POST /api/meeting  { id, passcode|secret }        { id, name }
//   POST /api/join     { id, passcode|secret, name }  { token, guest,
//                        iceServers, iceTransportPolicy }
//
// Errors: 403 a foreign Origin or no session, 404 no such meeting or a wrong
// passcode or secret, 503 the link to the Call Bridge is down.
'use strict';

const maxBody = 64 * 1024;

class JoinApi {
  constructor(config, identity, meetings) {
    this.config = config;
    this.identity = identity;
    this.meetings = meetings;
    this.routes = {
      'GET /api/status': () => [200, { callBridge: config.callBridge }],
      'POST /api/meeting': (body) => this.meeting(body),
      'POST /api/join': (body) => this.join(body),
    };
  }

  handles(req) {
    return req.url.startsWith('/api/');
  }

  async handle(req, res) {
    const route = this.routes[`${req.method} ${req.url.split('?')[0]}`];
    let answer = [404, { error: 'There is nothing here.' }];
    if (route) {
      answer = this.refusal(req) || route(await this.body(req));
    }
    res.writeHead(answer[0], { 'Content-Type': 'application/json' });
    res.end(JSON.stringify(answer[1]) + '\n');
  }

  refusal(req) {
    if (!this.identity.acceptsOrigin(req.headers.origin)) {
      return [403, { error: 'This request came from another site.' }];
    }
    if (req.method === 'POST' &&
        !/(^|; )session=\w/.test(req.headers.cookie || '')) {
      return [403, { error: 'There is no session: open the page again.' }];
    }
    if (req.method === 'POST' && !this.config.callBridge) {
      return [503, { error: 'The conference service cannot be reached.' }];
    }
    return null;
  }

  meeting(body) {
    const space = this.meetings.resolve(body);
    return space ? [200, { id: space.id, name: space.name }]
      : [404, { error: 'Check the meeting ID and the passcode.' }];
  }

  join(body) {
    const space = this.meetings.resolve(body);
    const name = String(body.name || '').trim().slice(0, 64);
    if (!space || !name) {
      return [404, { error: 'Check the meeting ID and the passcode.' }];
    }
    const { guest, token } = this.meetings.admit(space, name);
    const callBridge = !this.identity.config;
    return [200, {
      token, guest: { id: guest.id, name, jid: guest.jid },
      space: { name: space.name, uri: this.meetings.spaceUri(space) },
      iceServers: callBridge ? this.config.callBridgeIceServers
        : this.config.iceServers,
      iceTransportPolicy: callBridge ? 'all'
        : this.config.iceTransportPolicy,
    }];
  }

  async body(req) {
    let text = '';
    for await (const chunk of req) {
      text += chunk;
      if (text.length > maxBody) {
        return {};
      }
    }
    try {
      return Object(JSON.parse(text));
    } catch {
      return {};
    }
  }
}

module.exports = { JoinApi };
