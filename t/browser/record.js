// All that one page's browser sends and is sent: requests, answers with their
// headers and bodies, WebSocket messages both ways, what scripts say on the
// console. The driver's `find` action asks it for a word.
'use strict';

class Record {
  constructor(page) {
    this.page = page;
    this.texts = [];        // { where, text }, or promises of such
    this.count = { answers: 0, messages: 0 };
    this.unread = [];       // answers whose body could not be had
    page.on('request', (request) => this.request(request));
    page.on('response', (response) => this.answer(response));
    page.on('websocket', (socket) => this.socket(socket));
    page.on('console', (said) => this.keep('console', said.text()));
  }

  keep(where, text) {
    this.texts.push({ where, text });
  }

  request(request) {
    const where = `request ${request.url()}`;
    this.texts.push(request.allHeaders().then((headers) => ({ where,
      text: [request.url(), JSON.stringify(headers), request.postData()]
        .join('\n') }), () => ({ where, text: request.url() })));
  }

  answer(response) {
    const where = `answer ${response.status()} ${response.url()}`;
    this.count.answers += 1;
    this.texts.push(response.headersArray().then((headers) => ({
      where: `headers of ${where}`, text: JSON.stringify(headers) })));
    if (response.status() < 300) {
      this.texts.push(response.body().then(
        (body) => ({ where, text: body.toString() }),
        (error) => {
          this.unread.push(`${where}: ${error.message}`);
          return { where, text: '' };
        }));
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
    const now = [
      { where: 'cookies',
        text: JSON.stringify(await this.page.context().cookies()) },
      { where: 'page', text: await this.page.content() },
    ];
    const all = [...await Promise.all(this.texts), ...now];
    const at = ({ text }) => text.toLowerCase().indexOf(word.toLowerCase());
    return { ...this.count, unread: this.unread,
      found: all.filter((t) => at(t) >= 0).map((t) => `${t.where}: ...` +
        t.text.slice(Math.max(at(t) - 60, 0), at(t) + 60)) };
  }
}

module.exports = { Record };
