// A third-party web application as the tests need it: it records every request
// byte for byte as it arrived and answers what the request asks it to answer.
// Started by Edge::RecordingApp, which documents scripts and records.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const net = require('net');
const tls = require('tls');

const options = JSON.parse(process.argv[2]);
let connections = 0;

function record(entry) {
  fs.appendFileSync(options.records, JSON.stringify(entry) + '\n');
}

// The value of a field in a request head, as a string, or undefined.
function field(head, name) {
  const line = head.split('\r\n').slice(1)
    .find((l) => l.toLowerCase().startsWith(name.toLowerCase() + ':'));
  return line && line.slice(line.indexOf(':') + 1).trim();
}

// [body, rest] once the body of the request is whole, else null.
function takeBody(head, rest) {
  if (/chunked/i.test(field(head, 'Transfer-Encoding') || '')) {
    const end = rest.indexOf('0\r\n\r\n');
    return end < 0 ? null : [rest.subarray(0, end), rest.subarray(end + 5)];
  }
  const n = Number(field(head, 'Content-Length') || 0);
  return rest.length < n ? null : [rest.subarray(0, n), rest.subarray(n)];
}

function frame(opcode, payload) {
  let head = Buffer.from([0x80 | opcode, payload.length]);
  if (payload.length > 65535) {
    head = Buffer.alloc(10);
    head[0] = 0x80 | opcode;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  } else if (payload.length > 125) {
    head = Buffer.from([0x80 | opcode, 126, payload.length >> 8,
      payload.length & 255]);
  }
  return Buffer.concat([head, payload]);
}

// [opcode, payload, rest] of the first whole frame, else null.
function takeFrame(data) {
  if (data.length < 2) return null;
  let n = data[1] & 127;
  let at = 2;
  if (n === 126) {
    if (data.length < 4) return null;
    n = data.readUInt16BE(2);
    at = 4;
  } else if (n === 127) {
    if (data.length < 10) return null;
    n = Number(data.readBigUInt64BE(2));
    at = 10;
  }
  const masked = data[1] & 128;
  const mask = data.subarray(at, at + 4);
  if (masked) at += 4;
  if (data.length < at + n) return null;
  const payload = Buffer.from(data.subarray(at, at + n));
  if (masked) for (let i = 0; i < n; i++) payload[i] ^= mask[i & 3];
  return [data[0] & 15, payload, data.subarray(at + n)];
}

class Connection {
  constructor(socket) {
    this.socket = socket;
    this.number = ++connections;
    this.input = Buffer.alloc(0);
    this.mode = 'http';
    this.busy = false;
    socket.setNoDelay(true);
    socket.on('data', (data) => {
      this.input = Buffer.concat([this.input, data]);
      this.advance();
    });
    socket.on('end', () => {
      record({ event: 'end', connection: this.number, mode: this.mode });
      socket.end();
    });
    socket.on('error', () => {});
  }

  advance() {
    if (this.mode === 'websocket') return this.frames();
    if (this.mode === 'tunnel') {
      record({ event: 'tunnel', connection: this.number,
        data: this.input.toString('latin1') });
      this.socket.write(this.input);
      this.input = Buffer.alloc(0);
      return;
    }
    if (this.busy) return;
    const end = this.input.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.input.toString('latin1', 0, end);
    const taken = takeBody(head, this.input.subarray(end + 4));
    if (!taken) return;
    this.input = taken[1];
    const probe = field(head, 'User-Agent') === 'cms-edge';
    record({
      event: probe ? 'probe' : 'request', connection: this.number, head,
      body: taken[0].toString('latin1'),
      sni: this.socket.servername || null,
      tls: this.socket.encrypted ? this.socket.getProtocol() : null,
      reused: this.socket.encrypted ? this.socket.isSessionReused() : false,
    });
    this.busy = true;
    this.answer(head).then(() => {
      this.busy = false;
      if (this.input.length) this.advance();
    });
  }

  async answer(head) {
    const script = field(head, 'X-Test-Script');
    if (!script) {
      const body = `${options.name}: ${head.split('\r\n')[0]}\n`;
      this.socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n'
        + `Content-Length: ${body.length}\r\n\r\n${body}`);
      return;
    }
    for (const step of JSON.parse(Buffer.from(script, 'base64'))) {
      await this.step(head, step);
    }
  }

  async step(head, step) {
    if (step.write !== undefined) {
      this.socket.write(Buffer.from(step.write.repeat(step.times || 1),
        'latin1'));
    } else if (step.wait) {
      await new Promise((done) => setTimeout(done, step.wait * 1000));
    } else if (step.close) {
      this.socket.end();
    } else if (step.reset) {
      this.socket.destroy();
    } else if (step.tunnel) {
      this.mode = 'tunnel';
    } else if (step.websocket) {
      this.socket.write('HTTP/1.1 101 Switching Protocols\r\n'
        + 'Upgrade: websocket\r\nConnection: Upgrade\r\n'
        + 'Sec-WebSocket-Accept: ' + crypto.createHash('sha1')
          .update(field(head, 'Sec-WebSocket-Key')
            + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
        + '\r\n\r\n');
      this.mode = 'websocket';
    }
  }

  frames() {
    for (let taken; (taken = takeFrame(this.input));) {
      const [opcode, payload, rest] = taken;
      this.input = rest;
      if (opcode === 8) {
        record({ event: 'close', connection: this.number,
          code: payload.length > 1 ? payload.readUInt16BE(0) : null });
        this.socket.end(frame(8, payload));
        return;
      }
      if (payload.toString('latin1', 0, 9) === 'close me ') {
        const code = Buffer.alloc(2);
        code.writeUInt16BE(Number(payload.toString('latin1', 9)));
        this.socket.end(frame(8, code));
        return;
      }
      this.socket.write(frame(opcode === 9 ? 10 : opcode, payload));
    }
  }
}

const server = options.cert
  ? tls.createServer({
    cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key),
    maxVersion: options.max_version,
  }, (s) => new Connection(s))
  : net.createServer((s) => new Connection(s));
server.on('tlsClientError', (e) => {
  record({ event: 'tls error', message: e.message });
});
const at = options.listen.match(/^(.*):(\d+)$/);
const ready = () => process.stdout.write('listening\n');
if (at) server.listen({ host: at[1], port: Number(at[2]) }, ready);
else server.listen({ path: options.listen, writableAll: true }, ready);
