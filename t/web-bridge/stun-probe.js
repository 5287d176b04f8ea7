// One STUN Binding request (RFC 8489), as CMS sends it to learn whether a
// TURN server is reachable. Called by the admin API for .../status.
'use strict';

const crypto = require('crypto');
const dgram = require('dgram');

const cookie = 0x2112a442;
const xorMappedAddress = 0x0020;

// { ms, address, port } as the server saw us, or null without an answer.
function bindingRequest(host, port, timeoutMs = 1000) {
  const request = Buffer.alloc(20);
  request.writeUInt16BE(0x0001, 0);
  request.writeUInt32BE(cookie, 4);
  crypto.randomFillSync(request, 8);

  const socket = dgram.createSocket('udp4');
  const start = process.hrtime.bigint();
  return new Promise((resolve) => {
    const done = (result) => {
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => done(null), timeoutMs);
    socket.on('error', () => done(null));
    socket.on('message', (answer) => {
      const mapped = mappedAddress(answer);
      const ms = Number((process.hrtime.bigint() - start) / 1000000n);
      done(mapped && { ms, ...mapped });
    });
    socket.send(request, port, host);
  });
}

function mappedAddress(m) {
  for (let at = 20; at + 4 <= m.length;) {
    const length = m.readUInt16BE(at + 2);
    if (m.readUInt16BE(at) === xorMappedAddress && m[at + 5] === 1) {
      const port = m.readUInt16BE(at + 6) ^ (cookie >>> 16);
      const ip = (m.readUInt32BE(at + 8) ^ cookie) >>> 0;
      return { port, address: [24, 16, 8, 0].map((s) =>
        (ip >>> s) & 255).join('.') };
    }
    at += 4 + length + ((4 - length % 4) % 4);
  }
  return null;
}

module.exports = { bindingRequest };
