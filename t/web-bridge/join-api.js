// The API that the join page calls: what can be done here, the name of a
// meeting, and joining it.
//
//   GET  /api/status                          { callBridge, meeting, join }
//   POST /api/meeting  { id, passcode|secret }        { id, name }
//   POST /api/join     { id, passcode|secret, name }  { token, guest, space,
//                        signalling, host, iceServers, iceTransportPolicy }
//   GET  /api/confirm?key=...   the guest's page got what the WebSocket said
//
// meeting, join and signalling are URLs; `host` is where to go in the end.
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
      'GET /api/status': () => [200, { callBridge: config.callBridge,
        meeting: identity.link('/api/meeting'),
        join: identity.link('/api/join') }],
      'POST /api/meeting': (body) => this.meeting(body),
      'POST /api/join': (body, req) => this.join(body, req.headers.host),
      'GET /api/confirm': (body, req) =>
        (meetings.confirm(req.url.split('?key=')[1]) ? [200, {}]
          : [404, { error: 'There is nothing to confirm.' }]),
    };
  }

  handles(req) {
    return req.url.startsWith('/api/');
  }

  async handle(req, res) {
    const route = this.routes[`${req.method} ${req.url.split('?')[0]}`];
    let answer = [404, { error: 'There is nothing here.' }];
    if (route) {
      answer = this.refusal(req) || route(await this.body(req), req);
    }
    res.writeHead(answer[0], { 'Content-Type': 'application/json' });
    // Slashes as several encoders of JSON write them.
    res.end(JSON.stringify(answer[1]).replaceAll('/', '\\/') + '\n');
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

  join(body, host) {
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
      signalling: this.identity.link(`/signal?token=${token}`, 'wss'),
      host: this.identity.absolute() ? this.identity.name() : host,
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
