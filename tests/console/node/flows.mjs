// Every flow of the console in Chromium. With CONSOLE_FLOW=policy only those whose name has this word.

import { check, finish, given, launch, look, open, signIn } from './browser.mjs';

const browser = await launch();

const flows = [];

/** A flow, which runs in a context of its own. */
function flow(name, run, options) {
  if (!name.includes(process.env.CONSOLE_FLOW ?? '')) return;
  flows.push(async () => {
    const watched = await open(browser, options);
    try {
      await run(watched);
    } catch (error) {
      check(false, `${name}: ${error.stack}`);
    }
    await watched.context.close();
  });
}

/** Waits until something holds, without a script in the page. */
async function until(what, holds) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (await holds()) return;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  check(false, `${what} never happened`);
}

flow('sign-in', async (watched) => {
  const { page, context } = watched;
  await page.goto('/console');
  await look(watched, 'sign-in');
  await page.getByLabel('Credential').fill('kw_wrong');
  await page.keyboard.press('Enter');
  await page.getByText('This credential is not valid.').waitFor();
  await signIn(page);
  const [cookie] = await context.cookies();
  check(cookie?.name === '__Host-keywright' && cookie.httpOnly && cookie.secure && cookie.sameSite === 'Strict', `the cookie: ${cookie?.name}`);
  // Everything is reached by keyboard: the first stop leads past the masthead.
  await page.keyboard.press('Tab');
  check(await page.evaluate(() => document.activeElement.className) === 'skip', 'the first stop is the way to the page');
  await page.locator('details.me summary').click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL('**/console/sign-in');
  await page.goto('/console');
  check(page.url().endsWith('/console/sign-in'), 'signed out');
});

flow('one-time link', async (watched) => {
  const { page } = watched;
  await page.goto(given.link);
  await look(watched, 'link');
  await page.getByRole('button', { name: /^Sign in as/ }).click();
  await page.waitForURL('**/console');
  await page.context().clearCookies();
  await page.goto(given.link);
  await page.getByText('This link is used up, or too old.').waitFor();
});

flow('issuers', async (watched) => {
  const { page } = watched;
  await signIn(page);
  await look(watched, 'issuers');
  await page.getByRole('link', { name: 'shop', exact: true }).first().click();
  await page.getByRole('heading', { name: 'Timeline' }).waitFor();
  await look(watched, 'issuer');
  await page.getByRole('link', { name: '24 hours' }).click();
  await look(watched, 'issuer-day');
  await page.getByLabel('Reason').fill('a drill');
  await page.getByRole('button', { name: /^Rotate/ }).click();
  await page.getByText('Rotated', { exact: false }).first().waitFor();
  await page.goto('/console/issuers/takes-two');
  await look(watched, 'issuer-not-ready');
});

flow('policy', async (watched) => {
  const { page } = watched;
  await signIn(page);
  await page.goto('/console/issuers/orders');
  await page.getByRole('link', { name: 'Change the policy' }).click();
  await page.getByRole('button', { name: 'See what it does' }).waitFor();
  await page.getByLabel('lead', { exact: true }).fill('1m');
  await page.keyboard.press('Enter');
  await page.getByText('This is no policy that could be set.').waitFor();
  await look(watched, 'policy-wrong');
  await page.getByLabel('lead', { exact: true }).fill('7d');
  await page.getByLabel('rotation.every').fill('20d');
  await page.getByLabel('RS256').first().uncheck();
  await page.getByRole('button', { name: 'See what it does' }).click();
  await page.getByRole('heading', { name: 'What changes for keys' }).waitFor();
  await look(watched, 'policy-seen');
  await page.getByRole('button', { name: /^Put this policy/ }).click();
  await page.getByText('The policy is in force.').waitFor();
});

flow('inspector', async (watched) => {
  const { page, sent } = watched;
  await signIn(page);
  await page.goto('/console/inspector');
  await page.getByText('Paste a token').first().waitFor();
  await look(watched, 'inspector-empty');
  const before = sent.length;
  const paste = async (token, words) => {
    await page.getByLabel('Token', { exact: true }).fill(token);
    await page.locator('#answer').getByText(words).waitFor();
  };
  await paste(given.token, 'Accepted until');
  await page.getByLabel('Audience').fill('elsewhere');
  await page.locator('#answer').getByText('not for the audience').waitFor();
  await page.getByLabel('Audience').fill('orders');
  await paste(given.token, 'Accepted until');
  const takeBack = page.getByRole('link', { name: 'Revoke this token' });
  await takeBack.waitFor();
  const claims = JSON.parse(Buffer.from(given.token.split('.')[1], 'base64url'));
  check(await takeBack.getAttribute('href') === `/console/issuers/shop/bans?by=jti&value=${claims.jti}#act`, 'the form gets the jti alone');
  await paste(given.banned, 'it was taken back');
  await look(watched, 'inspector-refused');
  await paste(`${given.token.slice(0, -6)}AAAAAA`, 'signature');
  await paste(given.token.split('.').slice(0, 2).join('.'), 'It has 2 parts');
  await look(watched, 'inspector-malformed');
  await paste(given.hostile, 'Refused');
  await page.getByText('what it names may belong to another user').waitFor();
  check(await takeBack.count() === 0, 'nothing is taken back for a token that the issuer has not signed');
  check(await page.locator('script:not([src])').count() === 0 && await page.locator('main img').count() === 0, 'a claim became mark-up');
  await page.goto(`/console/inspector#${given.token}`);
  await page.locator('#answer').getByText('Accepted until').waitFor();
  check(!page.url().includes(given.token.slice(0, 20)), 'the token stays in the address');
  await page.getByRole('link', { name: 'Log this subject out' }).click();
  await page.getByText('What should happen to').waitFor();
  await page.goto('/console/inspector');
  await paste(given.token, 'Accepted until');
  await takeBack.click();
  await page.getByRole('button', { name: 'Refuse the token' }).click();
  await page.getByText('It holds.').waitFor();
  await page.goto('/console/inspector');
  await paste(given.token, 'it was taken back');
  const parts = [given.token, given.banned, given.hostile].flatMap((token) => token.split('.').filter((part) => part.length > 20));
  const leaks = sent.slice(before).filter((request) => parts.some((part) => JSON.stringify(request).includes(part)));
  check(leaks.length === 0, `the token left the page: ${leaks.map((leak) => leak.url)}`);
});

flow('revoke', async (watched) => {
  const { page } = watched;
  await signIn(page);
  await page.goto('/console/issuers/victim');
  await page.getByRole('link', { name: /^Revoke / }).first().click();
  await page.getByText('What will happen').waitFor();
  await look(watched, 'revoke');
  await page.getByRole('button', { name: /for good$/ }).click();
  await page.getByText('Not revoked yet.').waitFor();
  await look(watched, 'revoke-wrong');
  await page.getByLabel('Reason').fill('INC-4714: key in a build log');
  const first = await page.locator('label[for=typed] code').innerText();
  await page.getByLabel(`Type ${first}`).fill(first);
  await page.getByRole('button', { name: /for good$/ }).click();
  await page.getByRole('heading', { name: /^Revoked at/ }).waitFor();
  await look(watched, 'revoke-done');
  // The countdown moves by itself.
  const bar = page.locator('progress[data-until]').first();
  const passed = () => bar.evaluate((element) => element.value);
  const before = await passed();
  await until('the countdown moves', async () => await passed() !== before);
});

flow('bans', async (watched) => {
  const { page } = watched;
  await signIn(page);
  await page.goto('/console/issuers/shop/bans');
  await look(watched, 'bans');
  await page.getByLabel('Value').fill('user-48213');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByRole('heading', { name: 'Take tokens back' }).waitFor();
  await look(watched, 'ban-found');
  await page.locator('#what-ban').check();
  await page.getByLabel('Reason').fill('INC-4713: account taken over');
  await page.getByRole('button', { name: /^Take back/ }).click();
  await page.getByRole('heading', { name: /^Banned/ }).waitFor();
  await look(watched, 'ban-done');
  await page.goto('/console/issuers/shop/bans');
  await page.getByRole('row', { name: /user-48213/ }).getByRole('link', { name: 'Lift' }).click();
  await look(watched, 'ban-lift');
  await page.getByRole('button', { name: 'Lift the ban' }).click();
  await page.getByText('The ban is lifted.').waitFor();
});

flow('approvals', async (watched) => {
  const { page } = watched;
  await signIn(page, given.second);
  await page.goto('/console/approvals');
  await look(watched, 'approvals');
  await page.getByRole('button', { name: /^Confirm/ }).click();
  await page.getByText('Confirmed and done.').waitFor();
});

flow('audit and clients', async (watched) => {
  const { page } = watched;
  await signIn(page);
  await page.goto('/console/audit');
  await page.getByText('The log is whole').waitFor();
  await look(watched, 'audit');
  await page.getByLabel('Head that you noted').fill(`1:${'0'.repeat(64)}`);
  await page.getByRole('button', { name: 'Check again' }).click();
  await page.getByText('it is not the one whose head you noted').waitFor();
  await look(watched, 'audit-not-mine');
  await page.locator('#event').selectOption('backup-taken');
  await page.getByRole('button', { name: 'Filter', exact: true }).click();
  await page.getByText('No event matches here').waitFor();
  await page.goto('/console/clients');
  await look(watched, 'clients');
  await page.getByRole('link', { name: 'checkout' }).click();
  await page.getByRole('button', { name: 'Would this be signed?' }).click();
  await page.getByText('A token would be signed.').waitFor();
  await look(watched, 'client-signed');
  await page.getByLabel('Claims').fill('{ "sub": "user-1", "aud": "payroll" }');
  await page.getByRole('button', { name: 'Would this be signed?' }).click();
  await page.getByText('No token would be signed.').waitFor();
});

flow('without scripts', async (watched) => {
  const { page } = watched;
  await signIn(page);
  await page.goto('/console/issuers/shop');
  check(await page.locator('svg.chart').first().isVisible(), 'the timeline needs no script');
  await page.goto('/console/inspector');
  check(await page.getByText('needs JavaScript').isVisible(), 'the inspector says what it needs');
  await page.goto('/console/audit');
  check(await page.getByText('needs JavaScript').isVisible(), 'the check of the chain says what it needs');
  check(await page.getByRole('heading', { name: 'Events, newest first' }).isVisible(), 'the log needs no script');
}, { javaScriptEnabled: false });

// Two at a time: a page waits as much as it computes.
await Promise.all([0, 1].map(async () => {
  for (let next = flows.shift(); next; next = flows.shift()) await next();
}));
await browser.close();
finish();
