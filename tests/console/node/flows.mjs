// Every flow of the console in Chromium.

import { check, finish, given, launch, look, open, signIn } from './browser.mjs';

const browser = await launch();

/** Runs a flow in a context of its own. */
async function flow(name, run, options) {
  const watched = await open(browser, options);
  try {
    await run(watched);
  } catch (error) {
    check(false, `${name}: ${error.stack}`);
  }
  await watched.context.close();
}

await flow('sign-in', async (watched) => {
  const { page, context } = watched;
  await page.goto('/console');
  await look(watched, 'sign-in');
  await page.getByLabel('Credential').fill('kw_wrong');
  await page.keyboard.press('Enter');
  await page.getByText('This credential is not valid.').waitFor();
  await look(watched, 'sign-in-refused');
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

await flow('one-time link', async (watched) => {
  const { page } = watched;
  await page.goto(given.link);
  await look(watched, 'link');
  await page.getByRole('button', { name: /^Sign in as/ }).click();
  await page.waitForURL('**/console');
  await page.context().clearCookies();
  await page.goto(given.link);
  await page.getByText('This link is used up, or too old.').waitFor();
});

await flow('issuers', async (watched) => {
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
  await look(watched, 'issuer-rotated');
  await page.goto('/console/issuers/takes-two');
  await look(watched, 'issuer-not-ready');
});

await flow('inspector', async (watched) => {
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
  await look(watched, 'inspector-accepted');
  await page.getByLabel('Audience').fill('elsewhere');
  await page.locator('#answer').getByText('not for the audience').waitFor();
  await page.getByLabel('Audience').fill('orders');
  await paste(given.token, 'Accepted until');
  await paste(given.banned, 'it was taken back');
  await look(watched, 'inspector-refused');
  await paste(`${given.token.slice(0, -6)}AAAAAA`, 'signature');
  await paste(given.token.split('.').slice(0, 2).join('.'), 'It has 2 parts');
  await look(watched, 'inspector-malformed');
  await paste(given.hostile, 'Refused');
  check(await page.locator('script:not([src])').count() === 0 && await page.locator('main img').count() === 0, 'a claim became mark-up');
  await look(watched, 'inspector-hostile');
  await page.goto(`/console/inspector#${given.token}`);
  await page.locator('#answer').getByText('Accepted until').waitFor();
  check(!page.url().includes(given.token.slice(0, 20)), 'the token stays in the address');
  const parts = [given.token, given.banned, given.hostile].flatMap((token) => token.split('.').filter((part) => part.length > 20));
  const leaks = sent.slice(before).filter((request) => parts.some((part) => JSON.stringify(request).includes(part)));
  check(leaks.length === 0, `the token left the page: ${leaks.map((leak) => leak.url)}`);
});

await flow('without scripts', async (watched) => {
  const { page } = watched;
  await signIn(page);
  await page.goto('/console/issuers/shop');
  check(await page.locator('svg.chart').first().isVisible(), 'the timeline needs no script');
  await page.goto('/console/inspector');
  check(await page.getByText('needs JavaScript').isVisible(), 'the inspector says what it needs');
}, { javaScriptEnabled: false });

await browser.close();
finish();
