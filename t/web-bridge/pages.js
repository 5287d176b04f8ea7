// The web bridge's pages: one application in several URLs, the guest links
// of CMS 2.x and 3.x among them, and the redirects between them.
//
//   /                                 to /en-US/home
//   /index.html?id=ID                 the application
//   /invited.sf?secret=S&id=ID        to /en-US/meeting/ID?secret=S
//   /meeting/ID?secret=S              the same
//   /en-US/home, /en-US/meeting/ID    the application
//   /en-US/goodbye                    thanks, and goes home by itself
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

const types = { '.html': 'text/html; charset=utf-8',
  '.js': 'application/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };

// How a file with absolute URLs writes them.
const spellings = {
  '.html': (text, host) => text.replaceAll('src="/', `src="https://${host}/`)
    .replaceAll('href="/', `href="//${host}/`)
    .replaceAll('=%2F', `=https%3A%2F%2F${host}%2F`),
  '.js': (text, host) => text.replaceAll("from '/",
    `from 'https:\\u002f\\u002f${host}/`),
};

class Pages {
  constructor(config, identity) {
    this.config = config;
    this.identity = identity;
  }

  handle(req, res) {
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      return this.refuse(res, 405, 'Method not allowed');
    }
    const url = new URL(req.url, 'https://web-bridge.invalid');
    const link = this.guestLink(url);
    if (link) {
      return this.redirect(res, link);
    }
    if (/^\/(index\.html|[a-z]{2}-[A-Z]{2}\/(home|meeting\/\d+))$/
      .test(url.pathname)) {
      return this.application(res);
    }
    if (/^\/[a-z]{2}-[A-Z]{2}\/goodbye$/.test(url.pathname)) {
      return this.goodbye(res);
    }
    return this.asset(res, url.pathname);
  }

  // Where this URL leads, or null when it is no guest link.
  guestLink(url) {
    if (url.pathname === '/') {
      return '/en-US/home';
    }
    const id = url.pathname === '/invited.sf' ? url.searchParams.get('id')
      : (/^\/meeting\/(\d+)$/.exec(url.pathname) || [])[1];
    if (!id) {
      return null;
    }
    const secret = url.searchParams.get('secret');
    return `/en-US/meeting/${encodeURIComponent(id)}` +
      (secret ? `?secret=${encodeURIComponent(secret)}` : '');
  }

  redirect(res, to) {
    res.writeHead(302, { Location: this.identity.url() + to });
    res.end();
  }

  // A new session for whoever opens the page; without its cookie nobody
  // joins.
  application(res) {
    const session = crypto.randomBytes(12).toString('hex');
    res.setHeader('Set-Cookie', [this.identity.cookie('session', session),
      this.identity.cookie('language', 'en-US')]);
    res.setHeader('Link',
      `<${this.identity.url()}/app.css>; rel=preload; as=style`);
    this.html(res, 'index.html');
  }

  goodbye(res) {
    const home = `${this.identity.url()}/en-US/home`;
    res.setHeader('Refresh', `5; url=${home}`);
    res.setHeader('Content-Location', `${this.identity.url()}/goodbye.html`);
    this.html(res, 'goodbye.html');
  }

  html(res, file) {
    res.writeHead(200, { 'Content-Type': types['.html'] });
    const text = this.named(file, this.read(file)).toString();
    res.end(this.config.integrity ? this.withChecksums(text) : text);
  }

  // integrity= for each script and style sheet (Subresource Integrity).
  withChecksums(text) {
    return text.replace(/(?:src|href)="[^"]*?([\w-]+\.(?:js|css))[^"]*"/g,
      (attribute, file) => {
        const sum = crypto.createHash('sha384')
          .update(this.named(file, this.read(file))).digest('base64');
        return `${attribute} integrity="sha384-${sum}"`;
      });
  }

  asset(res, pathname) {
    const file = /^\/([\w-]+\.(js|css|svg))$/.exec(pathname);
    const data = file && this.read(file[1]);
    if (!data) {
      return this.refuse(res, 404, 'Not found');
    }
    res.writeHead(200, { 'Content-Type': types[path.extname(file[1])] });
    return res.end(this.named(file[1], data));
  }

  // The file with absolute URLs where its own are, each spelled in a way
  // that is usual in such a file.
  named(file, data) {
    const host = this.identity.absolute() && this.identity.name();
    const spell = host && spellings[path.extname(file)];
    return spell ? spell(data.toString(), host) : data;
  }

  read(file) {
    try {
      return fs.readFileSync(path.join(__dirname, 'public', file));
    } catch {
      return null;
    }
  }

  refuse(res, status, text) {
    res.writeHead(status, { 'Content-Type': 'text/plain' });
    res.end(text + '\n');
  }
}

module.exports = { Pages };
