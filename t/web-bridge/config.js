// The configuration of the simulated web bridge: a JSON file, read at start
// and again at SIGHUP (listeners then stay as they are; the certificate is that
// of new connections).
'use strict';

const fs = require('fs');

const defaults = {
  listen: '127.0.0.1:443',     // address:port of the web bridge
  cert: null, key: null,       // PEM files
  // Who it is, for tests with several: X-Web-Bridge of every answer.
  name: null,
  // A status, 503 say: every page, call and handshake gets it and nothing else.
  outOfOrder: null,
  external: 'cmsweb.octavio.test',       // the name guests type
  internal: 'cmsweb.cms.octavio.local',  // what it calls itself

  // Which Host it answers; any other gets 400 'Bad Request', as from CMS:
  // 'external', 'internal' or 'any'. Origins are held to the same names.
  answersTo: 'external',
  // Which name stands in the absolute URLs and domains of its headers:
  // Location, Refresh, Link, Set-Cookie, CSP, Access-Control-Allow-Origin.
  speaksAs: 'internal',
  // true: that name stands in pages, scripts, JSON and WebSocket messages as
  // well, in the spellings usual there, and nothing works by another way:
  // what URL comes next is always learnt from what came before. false:
  // relative URLs.
  absoluteUrls: false,
  // true: pages hold checksums of their scripts and style sheets.
  integrity: false,

  // false: the link to the Call Bridge is down. The page loads, but offers
  // no *Join call*.
  callBridge: true,
  // Where the Call Bridge itself joins: a listener inside that answers to
  // every name, without any redirect. null: none.
  callBridgeListen: null,

  // The spaces and who may join them. passcode, secret: null is none.
  spaces: [{ id: '100101', name: 'Proxy webRTC', user: 'proxywebrtc',
    passcode: null, secret: null }],
  // user@domain is how participants are called inside.
  domain: 'cms.octavio.local',

  // Handed to whoever joins, as RTCPeerConnection takes them; what the
  // admin API was told to use comes first.
  iceServers: [],
  callBridgeIceServers: [],
  iceTransportPolicy: 'all',   // or 'relay'

  // The part of the CMS API the seed uses: { listen, user, password }.
  admin: null,
};

class Config {
  constructor(file) {
    this.file = file;
    this.read();
  }

  read() {
    const given = JSON.parse(fs.readFileSync(this.file, 'utf8'));
    for (const key of Object.keys(given)) {
      if (!(key in defaults)) {
        throw new Error(`${this.file}: there is no setting '${key}'`);
      }
    }
    Object.assign(this, defaults, given);
  }
}

module.exports = { Config };
