// Real browsers on a string: runs Chromium through playwright-core and does
// what t/lib/Edge/Browser.pm asks for, one JSON object a line on stdin,
// { id, do, who, ... }, answered on stdout by { id, result } or
// { id, error }. `who` is a person with a browser of their own.
'use strict';

const path = require('path');
const readline = require('readline');
const { chromium } = require('playwright-core');
const { Record } = require('./record');

const args = [
  '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
  '--no-proxy-server', '--disable-background-networking',
  '--disable-component-update', '--autoplay-policy=no-user-gesture-required',
  '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
];
const people = new Map();     // who -> { browser, page, record }

const actions = {
  // Starts the person's browser. command: an executable that runs Chromium
  // with the arguments it gets (in a network namespace, say); camera: a
  // .y4m file instead of Chromium's test picture; size: [width, height].
  async launch({ who, command, camera, size, env }) {
    const browser = await chromium.launch({
      executablePath: command, headless: true,
      args: camera ? [...args, `--use-file-for-fake-video-capture=${camera}`]
        : args,
      env: { ...process.env, ...env },
    });
    const [width, height] = size || [1120, 640];
    const context = await browser.newContext({ viewport: { width, height } });
    const page = await context.newPage();
    await page.addInitScript({ path: path.join(__dirname, 'observe.js') });
    people.set(who, { browser, page, record: new Record(page) });
    return true;
  },

  // Opens a URL; the answer's status, URL and headers, or the network error.
  async open({ page, url, timeout }) {
    try {
      const answer = await page.goto(url, { timeout });
      return { status: answer.status(), url: page.url(),
        headers: answer.headers() };
    } catch (e) {
      const error = /net::(\w+)/.exec(e.message);
      if (!error) {
        throw e;
      }
      return { error: error[1] };
    }
  },

  // Waits until a text, or a named button, heading or field can be seen.
  async see({ page, text, role, timeout }) {
    await thing(page, role, text).first()
      .waitFor({ state: 'visible', timeout });
    return true;
  },

  // What can be seen now.
  sees: async ({ page, text, role }) =>
    thing(page, role, text).first().isVisible(),
  text: async ({ page }) => page.locator('body').innerText(),

  async fill({ page, label, value, timeout }) {
    await page.getByLabel(label).filter({ visible: true })
      .fill(value, { timeout });
    return true;
  },

  async click({ page, button, timeout }) {
    await page.getByRole('button', { name: button })
      .filter({ visible: true }).click({ timeout });
    return true;
  },

  async screenshot({ page, file }) {
    await page.screenshot({ path: file });
    return true;
  },

  run: async ({ page, script }) => page.evaluate(script),

  // Every RTCPeerConnection the page has made so far, see observe.js.
  calls: async ({ page }) => page.evaluate(() => window.observed.calls()),

  // Where a word has come along in all this browser sent, was sent or keeps,
  // see record.js.
  find: async ({ record, word }) => record.find(word),

  async close({ who, browser }) {
    people.delete(who);
    await browser.close();
    return true;
  },
};

function thing(page, role, name) {
  return role ? page.getByRole(role, { name })
    : page.getByText(name).filter({ visible: true });
}

async function act(request) {
  const action = actions[request.do];
  const person = people.get(request.who) || {};
  if (!action || (!person.page && request.do !== 'launch')) {
    throw new Error(`cannot ${request.do} for ${request.who}`);
  }
  return action({ timeout: 20000, ...person, ...request });
}

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { result: await act(request) };
  } catch (e) {
    answer = { error: e.message };
  }
  process.stdout.write(JSON.stringify({ id: request.id, ...answer }) + '\n');
}).on('close', async () => {
  await Promise.all([...people.values()].map((p) => p.browser.close()));
  process.exit(0);
});
