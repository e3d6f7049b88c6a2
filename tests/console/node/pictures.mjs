// The pictures of docs/console.md, of a real service: scripts/console-pictures makes them anew.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { check, finish, given, launch, open, signIn } from './browser.mjs';
import { quantised } from './png.mjs';

/** The largest picture, in bytes. */
const LARGEST = 60_000;

const browser = await launch();
const { context, page } = await open(browser);
await signIn(page);
mkdirSync(given.documentation, { recursive: true });

/** Takes a picture of a page from `selector` on, or from its top. */
async function take(name, { height = 900, scheme = 'light', selector } = {}) {
  await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
  await page.setViewportSize({ width: 768, height });
  await page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
  if (selector) await page.locator(selector).evaluate((element) => element.scrollIntoView());
  const picture = quantised(await page.screenshot());
  check(picture.length < LARGEST, `${name}: ${picture.length} bytes`);
  writeFileSync(join(given.documentation, `console-${name}.png`), picture);
}

await page.goto('/console');
await take('issuers', { height: 760 });
await page.goto('/console/issuers/takes-two');
await page.getByRole('heading', { name: 'Timeline' }).waitFor();
await take('issuer', { scheme: 'dark', height: 940 });
await page.goto('/console/issuers/orders/policy');
await page.getByLabel('rotation.every').fill('20d');
await page.getByLabel('lead', { exact: true }).fill('7d');
await page.getByRole('button', { name: 'See what it does' }).click();
await page.getByRole('heading', { name: 'What changes for keys' }).waitFor();
await take('policy', { selector: '#changed', height: 980 });
await page.goto('/console/issuers/victim');
await page.getByRole('link', { name: /^Revoke / }).first().click();
await page.getByText('What will happen').waitFor();
await take('revoke', { selector: '#does', height: 820 });
await page.goto('/console/inspector');
await page.getByLabel('Audience').fill('orders');
await page.getByLabel('Token', { exact: true }).fill(given.banned);
await page.locator('#answer').getByText('it was taken back').waitFor();
await take('inspector', { selector: '#answer', height: 740 });
await context.close();
await browser.close();
finish();
