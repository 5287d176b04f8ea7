// The part of the CMS API that the seed's *TURN Configuration* uses: create,
// list, show and change TURN servers, and the status that CMS reports after
// it has asked the server itself. What is stored here is what guests and the
// Call Bridge are then given as ICE servers.
'use strict';

const crypto = require('crypto');
const { bindingRequest } = require('./stun-probe');

const fields = ['serverAddress', 'clientAddress', 'username', 'password',
  'type', 'tcpPortNumberOverride'];

class AdminApi {
  constructor(config) {
    this.config = config;
    this.turnServers = new Map();
  }

  async handle(req, res) {
    const path = /^\/api\/v1\/turnServers(?:\/([\w-]+)(\/status)?)?\/?$/
      .exec(req.url);
    const [, id, status] = path || [];
    if (!this.authorized(req)) {
      return this.answer(res, 401, '');
    }
    if (!path || (id && !this.turnServers.has(id))) {
      return this.answer(res, 404, '');
    }
    if (req.method === 'POST' || req.method === 'PUT') {
      return this.store(req, res, id);
    }
    const server = this.turnServers.get(id);
    if (status) {
      return this.answer(res, 200, await this.status(server));
    }
    return this.answer(res, 200, id ? this.show(id, server) : this.list());
  }

  authorized(req) {
    const { user, password } = this.config.admin;
    return req.headers.authorization === 'Basic ' +
      Buffer.from(`${user}:${password}`).toString('base64');
  }

  async store(req, res, id) {
    let text = '';
    for await (const chunk of req) {
      text += chunk;
    }
    const form = new URLSearchParams(text);
    const server = this.turnServers.get(id) || {};
    for (const field of fields) {
      if (form.has(field)) {
        server[field] = form.get(field);
      }
    }
    const key = id || crypto.randomUUID();
    this.turnServers.set(key, server);
    this.announce();
    res.setHeader('Location', `/api/v1/turnServers/${key}`);
    this.answer(res, 200, '');
  }

  // Guests are sent to clientAddress, the Call Bridge goes to serverAddress.
  // A browser tries UDP 3478, then TCP on the port of the override, or 443.
  announce() {
    const ice = (address) => [...this.turnServers.values()].map((s) => ({
      urls: [`turn:${s[address]}:3478?transport=udp`,
        `turn:${s[address]}:${s.tcpPortNumberOverride || 443}` +
        '?transport=tcp'],
      username: s.username, credential: s.password,
    }));
    this.config.iceServers = ice('clientAddress');
    this.config.callBridgeIceServers = ice('serverAddress');
  }

  list() {
    const all = [...this.turnServers];
    return `<turnServers total="${all.length}">` + all.map(([id, s]) =>
      `<turnServer id="${id}">` + this.elements(s, ['serverAddress',
        'clientAddress']) + '</turnServer>').join('') + '</turnServers>';
  }

  show(id, server) {
    return `<turnServer id="${id}">` + this.elements(server,
      fields.filter((f) => f !== 'password')) + '</turnServer>';
  }

  async status(server) {
    const r = await bindingRequest(server.serverAddress, 3478);
    const host = { address: server.serverAddress, portNumber: 3478,
      reachable: !!r };
    if (r) {
      Object.assign(host, { roundTripTimeMs: r.ms, mappedAddress: r.address,
        mappedPortNumber: r.port });
    }
    return '<turnServer><status>' + (r ? 'success' : 'failure') +
      '</status><host>' + this.elements(host, Object.keys(host)) +
      '</host></turnServer>';
  }

  elements(object, keys) {
    const escape = (v) => String(v).replace(/[&<>]/g,
      (c) => `&#${c.charCodeAt(0)};`);
    return keys.filter((k) => object[k] !== undefined)
      .map((k) => `<${k}>${escape(object[k])}</${k}>`).join('');
  }

  answer(res, status, xml) {
    if (status === 401) {
      res.setHeader('WWW-Authenticate', 'Basic realm="api"');
    }
    res.writeHead(status, { 'Content-Type': 'text/xml' });
    res.end(xml && `<?xml version="1.0"?>${xml}\n`);
  }
}

module.exports = { AdminApi };
