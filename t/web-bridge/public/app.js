// The join page: home, meeting ID, name, call. What to show first comes from
// the URL: a guest link (with or without a secret) skips the meeting ID.
import { Call } from '/call.js';

const $ = (id) => document.getElementById(id);
const statusUrl = new URL(import.meta.url).searchParams.get('status');
const views = ['home', 'meeting', 'name', 'call'];

let urls = {};           // { meeting, join }: what to ask next
let admission = {};      // { id, passcode | secret } of the meeting
let call = null;

function show(view) {
  views.forEach((v) => { $(v).hidden = v !== view; });
  document.body.classList.toggle('in-call', view === 'call');
  const field = $(view).querySelector('input:not([value])');
  if (field) {
    field.focus();
  }
}

async function api(path, body) {
  const answer = await fetch(path, body && {
    method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const data = await answer.json();
  if (!answer.ok) {
    throw new Error(data.error);
  }
  return data;
}

// A form that shows what went wrong under its fields.
function onSubmit(view, action) {
  const form = $(view).querySelector('form');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const error = form.querySelector('.error');
    error.textContent = '';
    try {
      await action(Object.fromEntries(new FormData(form)));
    } catch (e) {
      error.textContent = e.message;
    }
  });
}

async function chooseMeeting(wanted) {
  const meeting = await api(urls.meeting, wanted);
  admission = wanted;
  $('space-name').textContent = meeting.name;
  $('space-id').textContent = meeting.id;
  document.title = meeting.name;
  show('name');
}

async function join(name) {
  const joined = await api(urls.join, { ...admission, name });
  $('call-title').textContent = joined.space.name;
  $('address').textContent = joined.guest.jid;
  show('call');
  call = new Call(joined);
  await call.start();
}

function fromUrl() {
  const url = new URL(location.href);
  const id = url.searchParams.get('id') ||
    (/\/meeting\/(\d+)$/.exec(url.pathname) || [])[1];
  return { id, secret: url.searchParams.get('secret') || undefined };
}

async function begin() {
  urls = await api(statusUrl);
  const { callBridge } = urls;
  $('join-call').hidden = !callBridge;
  $('no-calls').hidden = callBridge;
  const wanted = fromUrl();
  if (!wanted.id || !callBridge) {
    return show('home');
  }
  $('meeting').querySelector('[name=id]').value = wanted.id;
  try {
    await chooseMeeting(wanted);
  } catch (e) {
    $('meeting').querySelector('.error').textContent =
      wanted.secret ? e.message : '';
    show('meeting');
  }
}

$('join-call').addEventListener('click', () => show('meeting'));
onSubmit('meeting', ({ id, passcode }) =>
  chooseMeeting({ id: id.trim(), passcode: passcode || undefined }));
onSubmit('name', async ({ name }) => {
  await join(name);
  $('try-again').onclick = () => { call.stop(); join(name); };
});
$('leave').addEventListener('click', () => {
  call.stop();
  location.href = `https://${call.joined.host}/en-US/goodbye`;
});

begin();
