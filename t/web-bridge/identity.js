// Who the web bridge says it is: which Host and Origin it accepts, and the
// name in the headers of its answers. A web bridge knows nothing of a proxy:
// it speaks of itself by the name it was configured with.
'use strict';

class Identity {
  constructor(config) {
    this.config = config;
  }

  // For the Call Bridge's own listener.
  static ofAnyName() {
    return new Identity(null);
  }

  // The names it accepts, or null for every one.
  accepted() {
    const c = this.config;
    if (!c || c.answersTo === 'any') {
      return null;
    }
    return [c.answersTo === 'internal' ? c.internal : c.external];
  }

  answersTo(host) {
    const accepted = this.accepted();
    return !accepted || (host !== undefined &&
      accepted.includes(host.toLowerCase().replace(/:443$/, '')));
  }

  // A browser names the page's origin with every POST and WebSocket. One
  // that is not ours is another site using our guest's session.
  acceptsOrigin(origin) {
    if (origin === undefined || !this.accepted()) {
      return true;
    }
    return origin.startsWith('https://') &&
      this.answersTo(origin.slice('https://'.length));
  }

  // The same of the page a browser says it shows.
  acceptsPage(url) {
    return URL.canParse(url) && this.acceptsOrigin(new URL(url).origin);
  }

  // Its own URL: what stands before a path in a Location.
  url() {
    return this.config ? `https://${this.name()}` : '';
  }

  // Whether it names itself in what it sends, and not in headers alone.
  absolute() {
    return this.config !== null && this.config.absoluteUrls;
  }

  // A link to one of its own paths, as a script may use it.
  link(path, scheme = 'https') {
    return this.absolute() ? `${scheme}://${this.name()}${path}` : path;
  }

  name() {
    const c = this.config;
    return c.speaksAs === 'internal' ? c.internal : c.external;
  }

  // The headers of every answer.
  speak(req, res) {
    res.setHeader('Server', 'web-bridge');
    res.setHeader('X-Content-Type-Options', 'nosniff');
    res.setHeader('Cache-Control', 'no-store');
    if (!this.config) {
      return;
    }
    const host = this.name();
    res.setHeader('Content-Security-Policy',
      `default-src 'none'; script-src https://${host}; ` +
      `style-src https://${host}; img-src https://${host} data:; ` +
      `media-src blob:; connect-src https://${host} wss://${host}; ` +
      "frame-ancestors 'none'; base-uri 'none'");
    res.setHeader('Access-Control-Allow-Origin', `https://${host}`);
    res.setHeader('Vary', 'Origin');
  }

  // A cookie for this web bridge alone.
  cookie(name, value) {
    const domain = this.config
      ? `; Domain=${this.name().replace(/:\d+$/, '')}` : '';
    return `${name}=${value}${domain}; Path=/; Secure; HttpOnly; ` +
      'SameSite=Strict';
  }
}

module.exports = { Identity };
