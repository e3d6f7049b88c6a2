// The token inspector. The token is read, decoded and verified here and is never sent: the only request
// is for the key sets, and it is the same whatever the token. Foreign text becomes text nodes alone.

const MOST_CHARACTERS = 65536;
const MOST_LEVELS = 32;

/** An error whose message is a whole sentence for the person. */
class Fault extends Error {}

/** Strict JSON: no member twice, no more levels than a verifier reads. */
function parseJson(text) {
  let at = 0;
  const blank = () => { while (' \t\n\r'.includes(text[at] ?? 'x')) at += 1; };
  const string = () => {
    const start = at;
    at += 1;
    while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    at += 1;
    return JSON.parse(text.slice(start, at));
  };
  const value = (level) => {
    if (level > MOST_LEVELS) throw new Fault(`It has more than ${MOST_LEVELS} levels.`);
    blank();
    const [open] = [text[at]];
    if (open === '"') { string(); return; }
    if (open !== '{' && open !== '[') {
      while (at < text.length && !',]}'.includes(text[at])) at += 1;
      return;
    }
    const names = new Set();
    at += 1;
    for (blank(); text[at] !== '}' && text[at] !== ']'; blank()) {
      if (at >= text.length) throw new Fault('It ends early.');
      if (open === '{') {
        const name = string();
        if (names.has(name)) throw new Fault(`The member ${JSON.stringify(name)} stands twice.`);
        names.add(name);
        blank();
        at += 1;
      }
      value(level + 1);
      blank();
      if (text[at] === ',') at += 1;
    }
    at += 1;
  };
  let parsed;
  try { parsed = JSON.parse(text); } catch { throw new Fault('It is not JSON.'); }
  if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) throw new Fault('It is no JSON object.');
  value(1);
  return parsed;
}

/** The bytes of strict base64url: no padding, no other character, no bits left over. */
function bytesOf(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) throw new Fault('It is not base64url.');
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  const again = btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  if (again !== text) throw new Fault('It is not base64url in its one form.');
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function decode(token) {
  if (token.length > MOST_CHARACTERS) throw new Fault('It is longer than 64 kB.');
  const parts = token.split('.');
  if (parts.length !== 3) {
    const count = parts.length === 1 ? '1 part' : `${parts.length} parts`;
    throw new Fault(`It has ${count}; a token has 3, with a dot between. Was the end cut off?`);
  }
  const read = (index, name) => {
    try {
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytesOf(parts[index]));
      return parseJson(text);
    } catch (error) {
      throw new Fault(`Its ${name} cannot be read. ${error instanceof Fault ? error.message : 'It is not UTF-8.'}`);
    }
  };
  let signature;
  try { signature = bytesOf(parts[2]); } catch (error) { throw new Fault(`Its signature cannot be read. ${error.message}`); }
  return { parts, header: read(0, 'header'), claims: read(1, 'payload'), signature };
}

const ALGORITHMS = {
  ES256: { kty: 'EC', members: ['kty', 'crv', 'x', 'y'], key: { name: 'ECDSA', namedCurve: 'P-256' }, sign: { name: 'ECDSA', hash: 'SHA-256' }, name: 'ECDSA on P-256 with SHA-256' },
  RS256: { kty: 'RSA', members: ['kty', 'n', 'e'], key: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, sign: { name: 'RSASSA-PKCS1-v1_5' }, name: 'RSA with SHA-256' },
};

async function isSignedBy(jwk, algorithm, token) {
  const only = Object.fromEntries(algorithm.members.map((name) => [name, jwk[name]]));
  const key = await crypto.subtle.importKey('jwk', only, algorithm.key, false, ['verify']);
  const signed = new TextEncoder().encode(`${token.parts[0]}.${token.parts[1]}`);
  return crypto.subtle.verify(algorithm.sign, key, token.signature, signed);
}

/** Times, in UTC: when, and how long from now. */
function when(seconds) {
  const date = new Date(seconds * 1000);
  if (!Number.isFinite(date.getTime())) return 'at no time of the calendar';
  const month = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'][date.getUTCMonth()];
  return `${date.getUTCDate()} ${month} ${date.getUTCFullYear()} ${date.toISOString().slice(11, 19)}`;
}

function length(seconds) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const words = [];
  let rest = Math.max(0, Math.round(seconds));
  for (const [size, unit] of units) {
    if (rest >= size && words.length < 2) words.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return words.join(' ') || '0 s';
}

/** What a revocation takes back: every member that it names must be met. */
function isTakenBack(selector, claims) {
  const audiences = [claims.aud].flat();
  const subjects = [claims.sub];
  for (let act = claims.act, level = 0; act && typeof act === 'object' && level < MOST_LEVELS; act = act.act, level += 1) subjects.push(act.sub);
  const met = {
    jti: (value) => claims.jti === value,
    session: (value) => claims.sid === value,
    subject: (value) => subjects.includes(value),
    client: (value) => claims.client_id === value,
    audience: (value) => audiences.includes(value),
    issuer: (value) => value === true,
  };
  const named = Object.entries(selector);
  return named.length > 0 && named.every(([name, value]) => met[name]?.(value) === true);
}

const PASSES = ['ok', 'passes'];
const FAILS = ['danger', 'fails'];
const LOOK = ['warn', 'look'];

/** Each check with its verdict; the first that fails is the reason. */
async function judge(token, sets, audience, at) {
  const { header, claims } = token;
  const checks = [];
  let refusal = null;
  let more = '';
  const say = (name, verdict, why, reason, rest = '') => {
    checks.push({ name, verdict, why });
    if (verdict !== FAILS || refusal) return;
    refusal = reason ?? why;
    more = rest;
  };
  say('Form', PASSES, 'Three parts, strict base64url and JSON, no member twice');
  const issuer = sets.issuers.find((one) => one.url === claims.iss);
  if (issuer) say('Issuer', PASSES, `${issuer.name} of this deployment`);
  else say('Issuer', FAILS, `No issuer here is ${show(claims.iss)}`, 'it is not from an issuer of this deployment', 'Whether its signature is good cannot be told here.');
  const algorithm = ALGORITHMS[header.alg];
  const known = issuer?.keys.find((key) => key.kid === header.kid);
  const jwk = issuer?.jwks.keys.find((key) => key.kid === header.kid);
  if (!algorithm) say('Algorithm', FAILS, `${show(header.alg)} is none that is accepted`, 'its algorithm is none that is accepted');
  else if (known && known.algorithm !== header.alg) say('Algorithm', FAILS, `Its key is for ${known.algorithm}`, 'its algorithm is not that of its key');
  else say('Algorithm', PASSES, `${header.alg}, ${known ? 'as its key says' : 'by its header alone'}`);
  if (header.crit !== undefined) say('Extensions', FAILS, 'The header has crit, which no verifier here understands', 'its header asks for what no verifier here understands');
  if (!issuer) say('Key', LOOK, 'Whose key it is cannot be told');
  else if (known?.state === 'revoked') say('Key', FAILS, `${show(header.kid)} was revoked at ${when(known.revoked_at)}${known.reason ? `: “${known.reason}”` : ''}`, `its key was revoked at ${when(known.revoked_at)}: anybody who has the key could have made it`);
  else if (jwk) say('Key', PASSES, `${show(header.kid)} is ${known?.state ?? 'published'}`);
  else if (known) say('Key', FAILS, `${show(header.kid)} is ${known.state === 'removed' ? 'gone from the set' : known.state}`, 'its key is not in the set any more');
  else say('Key', FAILS, `${show(header.kid)} is no key of ${issuer.name}`, `no issuer here has the key ${show(header.kid)}`);
  let isGenuine = false;
  if (jwk && algorithm && jwk.kty === algorithm.kty) {
    const good = await isSignedBy(jwk, algorithm, token).catch(() => false);
    isGenuine = good;
    if (good) say('Signature', PASSES, 'By this key, over these bytes');
    else say('Signature', FAILS, 'Not by this key, or over other bytes', 'its signature is not that of its key over these bytes');
  } else say('Signature', LOOK, 'Not checked: there is no key to check it with');
  const skew = issuer?.clock_skew ?? 0;
  const isTime = (value) => typeof value === 'number' && Number.isFinite(value);
  if (!isTime(claims.exp)) say('Time', FAILS, 'It has no exp', 'it has no time at which it expires');
  else if (claims.exp + skew <= at) say('Time', FAILS, `Expired ${when(claims.exp)}, ${length(at - claims.exp)} before`, `it has expired at ${when(claims.exp)}`);
  else if (isTime(claims.nbf) && claims.nbf - skew > at) say('Time', FAILS, `Not before ${when(claims.nbf)}`, `it is not good before ${when(claims.nbf)}`);
  else if (isTime(claims.iat) && claims.iat - skew > at) say('Time', FAILS, `Issued ${when(claims.iat)}, which is yet to come`, 'it says that it was issued in the future');
  else say('Time', PASSES, `Issued ${isTime(claims.iat) ? when(claims.iat) : 'at an unknown time'}, expires ${when(claims.exp)}`);
  if (issuer && isTime(claims.exp) && isTime(claims.iat)) {
    const lives = claims.exp - claims.iat;
    const allowed = `${length(lives)}; the policy allows ${length(issuer.max_token_ttl)}`;
    say('Lifetime', lives <= issuer.max_token_ttl ? PASSES : LOOK, allowed);
  }
  const audiences = [claims.aud].flat().filter((one) => one !== undefined);
  if (!audience) say('Audience', LOOK, audiences.length ? `For ${audiences.map(show).join(', ')}. Name the audience to check above` : 'For nobody in particular');
  else if (audiences.includes(audience)) say('Audience', PASSES, `${show(audience)} is what you check for`);
  else say('Audience', FAILS, `For ${audiences.map(show).join(', ') || 'nobody in particular'}, not for ${show(audience)}`, `it is not for the audience ${show(audience)}`);
  const type = typeof header.typ === 'string' ? header.typ.toLowerCase().replace(/^application\//, '') : undefined;
  if (type === undefined || type === 'jwt') say('Type', LOOK, 'It does not say what kind of token it is');
  else say('Type', type === 'at+jwt' ? PASSES : LOOK, type === 'at+jwt' ? 'at+jwt, an access token: do not accept it as an ID token' : show(header.typ));
  if (issuer) judgeRevocations(issuer, claims, say);
  return { checks, refusal, more, until: claims.exp, issuer, isGenuine, isExpired: isTime(claims.exp) && claims.exp + skew <= at };
}

function judgeRevocations(issuer, claims, say) {
  if (!issuer.revocations) {
    say('Revocations', LOOK, 'Not checked: your roles do not show them');
    return;
  }
  const matches = issuer.revocations.filter((one) => isTakenBack(one.selector, claims)
    && (one.state === 'open' || !(claims.iat >= one.issued_before)));
  const [first] = matches;
  const total = issuer.revocations.length;
  if (!first) {
    const erased = issuer.revocations.filter((one) => one.erased).length;
    const open = erased ? `; ${erased} cannot be compared, because what they name was erased` : '';
    say('Revocations', erased ? LOOK : PASSES, `None of ${total} matches${open}`);
    return;
  }
  const by = Object.keys(first.selector).join(' and ');
  const bound = first.state === 'open' ? 'all of them' : `issued before ${when(first.issued_before)}`;
  say('Revocations', FAILS, `${matches.length} of ${total} match: by ${by}, ${bound}${first.reason ? `: “${first.reason}”` : ''}`,
    `it was taken back by its ${by}: tokens ${first.state === 'open' ? 'of it' : bound} are refused`,
    `A verifier that does not follow the feed accepts it until ${when(claims.exp)}.`);
}

/** A foreign value in one line, with what cannot be seen as escapes. */
function show(value) {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  const hidden = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
  return hidden.length > 600 ? `${hidden.slice(0, 600)}…` : hidden;
}

const MEANINGS = {
  alg: (value) => ALGORITHMS[value]?.name ?? 'no algorithm that is accepted',
  kid: () => 'which key', typ: () => 'what kind of token', cty: () => 'what is inside', crit: () => 'what must be understood',
  iss: () => 'who issued it', sub: () => 'whom it is about', aud: () => 'who may accept it', client_id: () => 'who asked for it',
  scope: () => 'what it allows', sid: () => 'its session', jti: () => 'its identifier', act: () => 'who acts', cnf: () => 'what it is bound to',
  iat: when, exp: when, nbf: when, auth_time: when,
};

/** An element with text, or with children. Nothing here makes mark-up of a text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function table(caption, headings, rows, classes) {
  const head = element('tr', { role: 'row' }, ...headings.map((text) => element('th', { role: 'columnheader', scope: 'col' }, text)));
  const body = rows.map(([about, ...cells]) => element('tr', { role: 'row' },
    element('th', { role: 'rowheader', scope: 'row' }, about),
    ...cells.map((cell, index) => element('td', { role: 'cell', 'data-label': headings[index + 1] }, cell))));
  return element('table', { role: 'table', class: classes }, element('caption', { class: 'unseen' }, caption),
    element('thead', { role: 'rowgroup' }, head), element('tbody', { role: 'rowgroup' }, ...body));
}

function notice(tone, fact, rest) {
  return element('div', { class: `notice ${tone}` }, element('p', {}, element('strong', {}, fact), ` ${rest}`));
}

function verdict(judged, sets) {
  const said = judged.refusal
    ? notice('danger', `Refused: ${judged.refusal}.`, judged.more)
    : notice('ok', `Accepted until ${when(judged.until)}.`, `Nothing of ${judged.checks.length} checks speaks against it.`);
  const age = Date.now() / 1000 - sets.now;
  if (age < 120) return [said];
  return [said, notice('warn', `Checked with sets from ${when(sets.now)}, ${length(age)} ago.`, 'A key or a session that was revoked since then shows as good.')];
}

function members(name, object) {
  const rows = Object.entries(object).map(([key, value]) => {
    const meaning = Object.hasOwn(MEANINGS, key) ? MEANINGS[key](value) : '';
    return [show(key).slice(1, -1), show(value), meaning];
  });
  return element('div', { class: 'field' }, table(name, [name, 'Value', 'Meaning'], rows, 'claims brief'));
}

function contents(token) {
  const part = (name, index) => element('span', { class: name }, token.parts[index]);
  return element('div', {}, element('h2', { id: 'contents' }, 'Contents'),
    element('p', { class: 'token' }, part('header', 0), '.', part('payload', 1), '.', part('signature', 2)),
    members('Header', token.header), members('Payload', token.claims));
}

/** What can be taken back: the member of a selector, the claim, and what the link says. */
const SELECTORS = [['jti', 'jti', 'Revoke this token'], ['session', 'sid', 'Log this session out'], ['subject', 'sub', 'Log this subject out']];

/** Links to the forms that take tokens back. They carry one claim, never the token; and they are only for a token that
    the issuer has signed, because a stranger may write any name into another. A saved page has none. */
function takeBack(judged, claims) {
  const { issuer, isGenuine, isExpired, until } = judged;
  const isName = (value) => typeof value === 'string' && value.length > 0 && value.length <= 512;
  const offered = SELECTORS.filter(([by, claim]) => isName(claims[claim]) && !(by === 'jti' && isExpired));
  if (!issuer || document.querySelector('#sets') || offered.length === 0) return [];
  const heading = element('h2', { id: 'take-back' }, 'Take it back');
  if (!isGenuine) {
    const why = `Whether ${issuer.name} has signed it is not known: what it names may belong to another user. Search under Bans, if you know better.`;
    return [element('div', {}, heading, element('p', { class: 'muted' }, why))];
  }
  const links = offered.map(([by, claim, words]) => {
    const query = new URLSearchParams({ by, value: claims[claim] });
    const path = `/console/issuers/${encodeURIComponent(issuer.name)}/bans?${query}#act`;
    return element('li', {}, element('a', { href: path }, words), ' ', element('code', {}, show(claims[claim])));
  });
  const end = isExpired ? `It expired ${when(until)}.` : `Until ${when(until)} it is accepted where revocations are not followed.`;
  return [element('div', {}, heading, element('ul', {}, ...links),
    element('p', { class: 'muted small field' }, `Each link opens the form with this one claim. The token stays here. ${end}`))];
}

function checked(judged) {
  const rows = judged.checks.map(({ name, verdict: [tone, word], why }) => [name, element('span', { class: `tag ${tone}` }, word), why]);
  return element('div', {}, element('h2', { id: 'checks' }, 'Checks'), table('Each check with its verdict', ['Check', 'Verdict', 'Why'], rows, 'brief'));
}

const field = document.querySelector('#token');
const audience = document.querySelector('#audience');
const time = document.querySelector('#at');
const answer = document.querySelector('#answer');
const explained = document.querySelector('#explained');
let sets = null;
let asked = 0;

async function loadSets() {
  const kept = document.querySelector('#sets');
  if (kept) return JSON.parse(kept.textContent);
  const response = await fetch('/console/data/sets', { headers: { accept: 'application/json' } });
  if (!response.ok) throw new Fault('The key sets could not be read: sign in again, or look at your roles.');
  return response.json();
}

async function inspect() {
  asked += 1;
  const mine = asked;
  const text = field.value.trim();
  if (!text) {
    answer.replaceChildren();
    explained.replaceChildren();
    document.querySelector('#nothing').hidden = false;
    return;
  }
  document.querySelector('#nothing').hidden = true;
  let shown;
  try {
    const token = decode(text);
    sets ??= await loadSets();
    const at = time.value === 'issued' && Number.isFinite(token.claims.iat) ? token.claims.iat : Date.now() / 1000;
    const judged = await judge(token, sets, audience.value.trim(), at);
    const checks = element('div', { class: 'stack' }, checked(judged), ...takeBack(judged, token.claims));
    shown = [verdict(judged, sets), [checks, contents(token)]];
  } catch (error) {
    const known = error instanceof Fault;
    shown = [[notice('danger', known && !error.message.startsWith('The key sets') ? 'This is not a signed token.' : 'Nothing was checked.',
      known ? error.message : 'This browser could not do it.')], []];
  }
  // A later question has its own answer.
  if (mine !== asked) return;
  answer.replaceChildren(...shown[0]);
  explained.replaceChildren(...shown[1]);
}

function fromFragment() {
  const text = decodeURIComponent(location.hash.slice(1)).replace(/^token=/, '');
  if (text.includes('.')) {
    field.value = text;
    // It stays in no history.
    history.replaceState(null, '', location.pathname);
  }
}

for (const input of [field, audience]) input.addEventListener('input', inspect);
time.addEventListener('change', inspect);
document.querySelector('#clear').addEventListener('click', () => { field.value = ''; inspect(); field.focus(); });
document.querySelector('#unscripted').hidden = true;
document.querySelector('#tool').hidden = false;
addEventListener('hashchange', () => { fromFragment(); inspect(); });
try { fromFragment(); } catch { /* A fragment that does not decode is no token. */ }
inspect();
