// Chromium, with what every page is held against: no message under the policy, no request elsewhere, no
// serious finding of axe, no sideways scroll.

import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const WIDTHS = [320, 768, 1440];
export const SCHEMES = ['light', 'dark'];

/** Where axe looks: it takes a while, and each width and each scheme is among these. */
const AXE_AT = ['320 dark', '768 light', '1440 light', '1440 dark'];

/** What this run is given by the test that starts it. */
export const given = JSON.parse(process.env.CONSOLE_TEST);

const failures = [];

export function fail(what) {
  failures.push(what);
  console.error(`FAILED: ${what}`);
}

export function check(holds, what) {
  if (!holds) fail(what);
}

export function finish() {
  process.exitCode = failures.length > 0 ? 1 : 0;
  console.log(`${failures.length} failures`);
}

export async function launch() {
  // Pages are of a process on this machine; nothing foreign is opened.
  return chromium.launch({ executablePath: given.chromium, args: ['--no-sandbox', '--disable-gpu'] });
}

/** A context of its own, watched. `sent` has every request with its body. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ baseURL: given.base, ...options });
  const sent = [];
  const violations = [];
  await context.exposeBinding('reportViolation', (_, text) => violations.push(text));
  // A script of the harness is no part of the page.
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.reportViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  context.on('request', (request) => {
    sent.push({ url: request.url(), body: request.postData() ?? '', headers: request.headers() });
    const url = new URL(request.url());
    if (url.origin !== new URL(given.base).origin && url.protocol !== 'data:') fail(`a request to ${url.origin}`);
  });
  const page = await context.newPage();
  page.on('console', (message) => {
    const isOfServer = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isOfServer) fail(`a message on ${page.url()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => fail(`an error on ${page.url()}: ${error}`));
  return { context, page, sent, violations };
}

export async function signIn(page, credential = given.credential) {
  await page.goto('/console/sign-in');
  await page.getByLabel('Credential').fill(credential);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/console');
}

/** Runs axe in a context without the policy's limits on scripts of the harness. */
async function findings(page) {
  await page.evaluate(AXE);
  const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return result.violations.filter((one) => one.impact === 'serious' || one.impact === 'critical');
}

/** Holds the page against the rules at every width, in both schemes, and keeps a picture of each. */
export async function look(watched, name) {
  const { page, violations } = watched;
  mkdirSync(given.pictures, { recursive: true });
  for (const scheme of SCHEMES) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    for (const width of WIDTHS) {
      const place = `${name} at ${width} px, ${scheme}`;
      await page.setViewportSize({ width, height: 900 });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      check(over <= 0, `${place}: ${over} px too wide`);
      for (const finding of AXE_AT.includes(`${width} ${scheme}`) ? await findings(page) : []) {
        fail(`${place}: ${finding.id}: ${finding.nodes.map((node) => `${node.target} ${node.failureSummary}`).join('; ')}`);
      }
      await page.screenshot({ path: join(given.pictures, `${name}-${width}-${scheme}.png`), fullPage: true });
    }
  }
  check(violations.length === 0, `${name}: ${violations.join('; ')}`);
  violations.length = 0;
}
