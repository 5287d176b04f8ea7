// The WebSocket library "ws" (npm) as a web bridge that says what it hears,
// and as a guest. Both offer permessage-deflate, as browsers do.
//   ws-peer.js serve HOST:PORT CERT KEY
//   ws-peer.js ask URL HOST CA MESSAGE ...   prints one JSON document
'use strict';

const fs = require('fs');
const https = require('https');
const { WebSocket, WebSocketServer } = require(
  process.env.EDGE_ROOT + '/build/node_modules/ws');

const [, , mode, at, ...rest] = process.argv;

function serve() {
  const [cert, key] = rest.map((file) => fs.readFileSync(file));
  const server = https.createServer({ cert, key }, (request, response) =>
    response.end('ok'));
  new WebSocketServer({ server, perMessageDeflate: true })
    .on('connection', (ws) => ws.on('message', (data, isBinary) => {
      const heard = JSON.stringify({ heard: data.toString('latin1') });
      ws.send(isBinary ? data : heard, { binary: isBinary });
      if (data.toString().startsWith('bye')) ws.close(4001, 'as asked');
    }));
  const [host, port] = at.split(':');
  server.listen(Number(port), host, () => process.stdout.write('listening\n'));
}

function ask() {
  const [host, ca, ...messages] = rest;
  const answers = [];
  const ws = new WebSocket(at, { ca: fs.readFileSync(ca), servername: host,
    headers: { Host: host }, perMessageDeflate: { threshold: 0 } });
  ws.on('open', () => {
    for (const m of messages) {
      // in three fragments
      const third = Math.ceil(m.length / 3);
      ws.send(m.slice(0, third), { fin: false });
      ws.send(m.slice(third, 2 * third), { fin: false });
      ws.send(m.slice(2 * third), { fin: true });
    }
  });
  ws.on('message', (data) => answers.push(data.toString('latin1')));
  ws.on('error', (e) => answers.push(`error: ${e.message}`));
  ws.on('close', (code, reason) => process.stdout.write(JSON.stringify({
    answers, code, reason: reason.toString(), extensions: ws.extensions })));
}

(mode === 'serve' ? serve : ask)();
