// All that one page's browser sends and is sent: requests, answers with their
// headers and bodies, WebSocket messages both ways, what scripts say on the
// console. The driver's `find` action asks it for a word.
'use strict';

// How long a search waits for an answer that has begun.
const latestMs = 5000;

class Record {
  constructor(page) {
    this.page = page;
    this.texts = [];        // { where, text }, or promises of such
    this.count = { answers: 0, messages: 0 };
    this.unread = [];       // what could not be had: where and why
    page.on('request', (request) => this.request(request));
    page.on('response', (response) => this.answer(response));
    page.on('websocket', (socket) => this.socket(socket));
    page.on('console', (said) => this.keep('console', said.text()));
  }

  keep(where, text) {
    this.texts.push({ where, text });
  }

  // What comes later, or not at all where a browser is closed meanwhile.
  await(where, text) {
    this.texts.push(text.then((t) => ({ where, text: t }), (error) => {
      this.unread.push(`${where}: ${error.message}`);
      return { where, text: '' };
    }));
  }

  request(request) {
    const where = `request ${request.url()}`;
    this.keep(where, `${request.url()} ${request.postData()}`);
    this.await(`headers of ${where}`,
      request.allHeaders().then(JSON.stringify));
  }

  answer(response) {
    const where = `answer ${response.status()} ${response.url()}`;
    this.count.answers += 1;
    this.await(`headers of ${where}`,
      response.headersArray().then(JSON.stringify));
    if (response.status() < 300) {
      this.await(where, response.body().then(String));
    }
  }

  socket(socket) {
    this.keep('WebSocket', socket.url());
    for (const direction of ['framesent', 'framereceived']) {
      socket.on(direction, ({ payload }) => {
        this.count.messages += 1;
        this.keep(`${direction} ${socket.url()}`, payload.toString());
      });
    }
  }

  async find(word) {
    const page = this.page;
    this.keep('cookies', JSON.stringify(await page.context().cookies()));
    this.keep('page', await page.content());
    const late = new Promise((resolve) => { setTimeout(resolve, latestMs); });
    const all = await Promise.all(this.texts.map(
      (text) => Promise.race([text, late])));
    const at = ({ text }) => text.toLowerCase().indexOf(word.toLowerCase());
    return { ...this.count,
      unread: [...this.unread, ...all.filter((t) => !t).map(() => 'late')],
      found: all.filter((t) => t && at(t) >= 0).map((t) => `${t.where}: ...` +
        t.text.slice(Math.max(at(t) - 60, 0), at(t) + 60)) };
  }
}

module.exports = { Record };
