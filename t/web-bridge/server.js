// The simulated CMS web bridge: a join page, guest links, the join API and
// WebSocket signalling over HTTPS, with the habits of a real web bridge that
// matter to a proxy. Started by t/lib/Edge/WebBridge.pm with the path of a
// JSON configuration (every key is in config.js); SIGHUP reads it again.
// Prints `ready` once it listens, then one JSON line for each request seen.
'use strict';

const fs = require('fs');
const https = require('https');
const { Config } = require('./config');
const { Identity } = require('./identity');
const { Meetings } = require('./meetings');
const { Pages } = require('./pages');
const { JoinApi } = require('./join-api');
const { Signalling } = require('./signalling');
const { AdminApi } = require('./admin-api');

const config = new Config(process.argv[2]);
const meetings = new Meetings(config);
const servers = [];

function certificate() {
  return { cert: fs.readFileSync(config.cert),
    key: fs.readFileSync(config.key) };
}

function listen(address, handler) {
  const at = address.lastIndexOf(':');
  // Node closes what was idle for 5 s, perhaps just as a request comes.
  const server = https.createServer({ ...certificate(),
    keepAliveTimeout: 75000 }, handler);
  servers.push(server);
  return new Promise((resolve) => {
    server.listen(Number(address.slice(at + 1)), address.slice(0, at),
      () => resolve(server));
  });
}

function seen(req, status) {
  console.log(JSON.stringify({ method: req.method, url: req.url,
    status, headers: req.headers }));
}

// What guests reach: one per listener, as the two differ in who they say
// they are.
async function webBridge(address, identity) {
  const pages = new Pages(config, identity);
  const api = new JoinApi(config, identity, meetings);
  const signalling = new Signalling(config, identity, meetings);
  const server = await listen(address, (req, res) => {
    res.on('finish', () => seen(req, res.statusCode));
    if (config.name) {
      res.setHeader('X-Web-Bridge', config.name);
    }
    if (config.outOfOrder) {
      res.writeHead(config.outOfOrder);
      return res.end();
    }
    if (!identity.answersTo(req.headers.host)) {
      return badRequest(res);
    }
    identity.speak(req, res);
    return api.handles(req) ? api.handle(req, res) : pages.handle(req, res);
  });
  server.on('upgrade', (req, socket, head) => {
    seen(req, 101);
    signalling.upgrade(req, socket, head);
  });
}

// The page that CMS shows to a Host it does not know.
function badRequest(res) {
  res.writeHead(400, { 'Content-Type': 'text/html' });
  res.end('<html><head><title>400 Bad Request</title></head>' +
    '<body><h1>Bad Request</h1></body></html>\n');
}

async function main() {
  await webBridge(config.listen, new Identity(config));
  if (config.callBridgeListen) {
    await webBridge(config.callBridgeListen, Identity.ofAnyName());
  }
  if (config.admin) {
    const admin = new AdminApi(config);
    await listen(config.admin.listen, (req, res) => admin.handle(req, res));
  }
  process.on('SIGHUP', () => {
    config.read();
    servers.forEach((server) => server.setSecureContext(certificate()));
    console.log('read');
  });
  process.on('SIGTERM', () => process.exit(0));
  console.log('ready');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
