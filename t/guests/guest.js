// One guest as the edge sees them: a browser's connections (kept, at most six),
// its cookies, and its one repeat of a GET whose kept connection had just been
// closed. Used by load.js and join.js, which Edge::Guests starts.
'use strict';

const fs = require('fs');
const https = require('https');
const tls = require('tls');
const WebSocket = require('ws');

class Guest {
  // at: { address, port, host, secureContext, cookies: false for one who
  // refuses them, limitMs: how long a request may take as a whole }
  constructor(at) {
    this.at = at;
    this.jar = new Map();
    this.answered = new WeakSet();  // connections that brought an answer
    this.agent = new https.Agent({ keepAlive: true, maxSockets: 6 });
  }

  // request('GET', path): { status, headers, body, repeated }; throws what
  // went wrong.
  async request(method, path, body) {
    const limit = Date.now() + this.at.limitMs;
    try {
      return await this.once(method, path, body, limit, this.agent);
    } catch (error) {
      if (method !== 'GET' || !error.kept) {
        throw error;
      }
      // on a new connection: the other kept ones may be gone as well
      return { ...await this.once(method, path, body, limit, false),
        repeated: true };
    }
  }

  once(method, path, body, limit, agent) {
    return new Promise((resolve, reject) => {
      const req = https.request({ ...this.to(path), method,
        agent, headers: this.headers(body) });
      const timer = setTimeout(() => req.destroy(new Error('too slow')),
        limit - Date.now());
      let kept = false;
      const fail = (error) => {
        clearTimeout(timer);
        error.kept = kept && error.message !== 'too slow';
        reject(error);
      };
      req.on('error', fail);
      // req.reusedSocket is not set for one that waited for its turn.
      req.on('socket', (socket) => { kept = this.answered.has(socket); });
      req.on('response', (res) => {
        kept = false;
        this.answered.add(req.socket);
        this.keepCookies(res.headers['set-cookie']);
        const chunks = [];
        res.on('data', (chunk) => chunks.push(chunk));
        res.on('error', fail);
        res.on('end', () => {
          clearTimeout(timer);
          resolve({ status: res.statusCode, headers: res.headers,
            body: Buffer.concat(chunks).toString() });
        });
      });
      req.end(body);
    });
  }

  // socket(path): { ws, headers } of an open WebSocket that has not been
  // read from; throws what went wrong.
  socket(path) {
    return new Promise((resolve, reject) => {
      const to = this.to(path);
      const ws = new WebSocket(`wss://${this.at.host}${path}`, {
        ...to, headers: this.headers(), handshakeTimeout: this.at.limitMs,
      });
      let headers;
      ws.on('upgrade', (res) => {
        headers = res.headers;
        this.keepCookies(headers['set-cookie']);
      });
      ws.on('open', () => {
        ws.pause();
        resolve({ ws, headers });
      });
      ws.on('unexpected-response', (req, res) => {
        this.keepCookies(res.headers['set-cookie']);
        reject(new Error(`WebSocket: status ${res.statusCode}`));
        req.destroy();
      });
      ws.on('error', reject);
    });
  }

  to(path) {
    return { host: this.at.host, port: this.at.port, path,
      servername: this.at.host, secureContext: this.at.secureContext,
      lookup: (name, options, found) => (options.all
        ? found(null, [{ address: this.at.address, family: 4 }])
        : found(null, this.at.address, 4)) };
  }

  headers(body) {
    const headers = { Host: this.at.host,
      Origin: `https://${this.at.host}` };
    if (this.jar.size > 0) {
      headers.Cookie = [...this.jar].map((c) => c.join('=')).join('; ');
    }
    if (body !== undefined) {
      headers['Content-Type'] = 'application/json';
      headers['Content-Length'] = Buffer.byteLength(body);
    }
    return headers;
  }

  // RFC 6265, as far as it matters for one host: another's cookie is not
  // kept, an expired one goes.
  keepCookies(fields) {
    for (const field of this.at.cookies === false ? [] : fields || []) {
      const [pair, ...attributes] = field.split(/; */);
      const of = new Map(attributes.map((a) => a.split('='))
        .map(([name, value]) => [name.toLowerCase(), value]));
      const at = pair.indexOf('=');
      const domain = (of.get('domain') || this.at.host).replace(/^\./, '');
      if (this.at.host !== domain && !this.at.host.endsWith(`.${domain}`)) {
        continue;
      }
      if (Number(of.get('max-age')) <= 0) {
        this.jar.delete(pair.slice(0, at));
      } else {
        this.jar.set(pair.slice(0, at), pair.slice(at + 1));
      }
    }
  }

  leave() {
    this.agent.destroy();
  }
}

// What Guest wants to know, of the options that Edge::Guests gives. One TLS
// context for all guests: making one costs more than a handshake.
function edge(options) {
  return { ...options,
    secureContext: tls.createSecureContext({
      ca: fs.readFileSync(options.ca) }) };
}

module.exports = { Guest, edge };
