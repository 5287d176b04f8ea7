// The Call Bridge's part of joining: which spaces there are, who may join,
// and the tokens guests get. A token is a JWT signed with a key of this web
// bridge alone, so that another web bridge refuses it.
'use strict';

const crypto = require('crypto');

const lifetimeSeconds = 3600;

function base64url(data) {
  return Buffer.from(data).toString('base64url');
}

class Meetings {
  constructor(config) {
    this.config = config;
    this.key = crypto.randomBytes(32);
    this.guests = 0;
    this.expected = new Map();    // key -> what to do when it is confirmed
  }

  // The space of this call ID, or null when there is none or the caller
  // showed neither its passcode nor its secret. As with CMS, the two cases
  // are not told apart.
  resolve({ id, passcode, secret }) {
    const space = this.config.spaces.find((s) => s.id === String(id || ''));
    if (!space) {
      return null;
    }
    if (secret) {
      return secret === space.secret ? space : null;
    }
    return (space.passcode || '') === (passcode || '') ? space : null;
  }

  // A guest account for the space and the token that opens its signalling.
  admit(space, name) {
    this.guests += 1;
    const guest = {
      id: `guest${this.guests}`, name, space: space.id,
      jid: `guest${3804072848 + this.guests}@${this.config.domain}`,
      exp: Math.floor(Date.now() / 1000) + lifetimeSeconds,
    };
    const body = base64url('{"alg":"HS256","typ":"JWT"}') + '.' +
      base64url(JSON.stringify(guest));
    return { guest, token: `${body}.${this.sign(body)}` };
  }

  // The guest of a token, or null when it is not ours or has expired.
  guestOf(token) {
    const at = String(token || '').lastIndexOf('.');
    const body = String(token || '').slice(0, Math.max(at, 0));
    if (!body || this.sign(body) !== token.slice(at + 1)) {
      return null;
    }
    const guest = JSON.parse(Buffer.from(body.split('.')[1], 'base64url'));
    return guest.exp > Date.now() / 1000 ? guest : null;
  }

  // A key that a guest is to confirm, and what then happens, once.
  expect(then) {
    const key = crypto.randomBytes(12).toString('hex');
    this.expected.set(key, then);
    return key;
  }

  confirm(key) {
    const then = this.expected.get(key);
    this.expected.delete(key);
    if (then) {
      then();
    }
    return then !== undefined;
  }

  sign(body) {
    return crypto.createHmac('sha256', this.key).update(body)
      .digest('base64url');
  }

  spaceUri(space) {
    return `${space.user}@${this.config.domain}`;
  }
}

module.exports = { Meetings };
