// Checks the audit log's hash chain in this browser: each hash is SHA-256 over the hash before it and the
// event's text. The log is read as it was written, line by line.

const place = document.querySelector('#chain-state');
const noted = document.querySelector('#noted');
const recheck = document.querySelector('#recheck');

// Where the text of an event begins in a line, and how many characters end it.
const HASH = [9, 73];
const TEXT = 83;

const count = (number) => number.toLocaleString('en-US');

/** A notice; nothing here makes mark-up of a text. */
function say(tone, fact, ...rest) {
  const box = document.createElement('div');
  box.className = `notice ${tone}`;
  if (tone === 'danger') box.setAttribute('role', 'alert');
  const strong = document.createElement('strong');
  strong.textContent = fact;
  const first = document.createElement('p');
  first.append(strong);
  box.append(first);
  for (const text of rest) {
    const more = document.createElement('p');
    more.textContent = text;
    box.append(more);
  }
  place.replaceChildren(box);
}

function progress(done, total) {
  say('', `Checking: ${count(done)} of ${count(total)} events.`, 'You can read on meanwhile.');
  const bar = document.createElement('progress');
  bar.setAttribute('aria-label', 'events checked');
  bar.max = Math.max(1, total);
  bar.value = done;
  place.firstChild.append(bar);
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream('utf-8', { fatal: true })).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    yield* parts;
  }
  if (rest !== '') yield rest;
}

const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');

async function follow(hash, text) {
  const bytes = new TextEncoder().encode(text);
  const whole = new Uint8Array(32 + bytes.length);
  whole.set(hash);
  whole.set(bytes, 32);
  return new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
}

/** Reads the whole log. Answers with where it is broken, or with the hashes of the wanted events. */
async function read(wanted, total) {
  const response = await fetch('/console/data/audit', { headers: { accept: 'application/jsonl' } });
  if (!response.ok) return { unread: true };
  let hash = new Uint8Array(32);
  let last = 0;
  const found = new Map();
  for await (const line of lines(response)) {
    const stated = line.slice(...HASH);
    const text = line.slice(TEXT, -1);
    const sequence = Number(/^\{"sequence":(\d+),/.exec(text)?.[1] ?? NaN);
    if (!(sequence === last + 1)) return { last, found: sequence, gap: true };
    hash = await follow(hash, text);
    if (hex(hash) !== stated) return { last, altered: sequence };
    last = sequence;
    if (wanted.has(sequence)) found.set(sequence, stated);
    if (sequence % 1000 === 0) progress(sequence, total);
  }
  return { last, hash: hex(hash), found };
}

async function run() {
  const begun = performance.now();
  const head = { sequence: Number(place.dataset.sequence), hash: place.dataset.hash };
  const [sequence, hash] = noted.value.trim().split(':');
  const own = noted.value.trim() === '' ? null : { sequence: Number(sequence), hash: (hash ?? '').toLowerCase() };
  if (own && !(own.sequence > 0 && /^[0-9a-f]{64}$/.test(own.hash))) {
    say('warn', 'This is not a head.', 'A head is a number, a colon and 64 digits, as keywright audit verify prints it.');
    return;
  }
  progress(0, head.sequence);
  const wanted = new Set([head.sequence, own?.sequence]);
  const log = await read(wanted, head.sequence);
  if (log.unread) {
    say('warn', 'The log could not be read.', 'It takes the role auditor, and no limit on issuers.');
  } else if (log.gap) {
    say('danger', `After event ${count(log.last)} stands ${Number.isFinite(log.found) ? `event ${count(log.found)}` : 'no event'}.`,
      'An event is missing, or stands twice. Do not restart or repair. Download the log, then compare it with your backups.');
  } else if (log.altered) {
    say('danger', `Event ${count(log.altered)} does not follow from ${count(log.last)}.`,
      `An event at or before ${count(log.altered)} was changed or removed, or the store is damaged. Events 1 to ${count(log.last)} follow from one another.`,
      'Do not restart or repair. Download the log, then compare it with your backups.');
  } else if (log.last < head.sequence || (head.sequence > 0 && log.found.get(head.sequence) !== head.hash)) {
    say('danger', 'The log does not end where the service says that it ends.', `It says event ${count(head.sequence)}; the log has ${count(log.last)}.`);
  } else if (own && log.found.get(own.sequence) !== own.hash) {
    say('danger', 'The log is whole, but it is not the one whose head you noted.',
      'It was written anew since, or restored from a backup.');
  } else {
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    say('ok', `The log is whole: ${count(log.last)} of ${count(log.last)} events follow from one another.`,
      `Checked in this browser, in ${seconds} s.${own ? ` It holds the head of event ${count(own.sequence)} that you noted.` : ''}`,
      `Its head now, to be kept elsewhere: ${log.last}:${log.hash}`);
  }
}

async function checked() {
  recheck.disabled = true;
  try {
    await run();
  } catch {
    say('warn', 'The check broke off.', 'The connection ended, or the log is not text. Nothing is said of the log.');
  }
  recheck.disabled = false;
}

document.querySelector('#chain-tool').hidden = false;
recheck.addEventListener('click', checked);
checked();
