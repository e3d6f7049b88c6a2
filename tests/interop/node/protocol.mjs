// One JSON request a line on standard input, one answer a line on standard output: `ok`, or
// `refused CODE message`. The process lives as long as its input, and so do the caches in it.

import { createInterface } from "node:readline";

/** Answers every line with what `verify` makes of it; a refusal is an exception of `verify`. */
export async function answerLines(verify) {
  for await (const line of createInterface({ input: process.stdin })) {
    let answer = "ok";
    try {
      await verify(JSON.parse(line));
    } catch (error) {
      const message = String(error.message).replaceAll(/\s+/g, " ");
      answer = `refused ${error.code ?? error.name} ${message}`;
    }
    process.stdout.write(`${answer}\n`);
  }
}

/** Where a request's keys are: `jwks`, or what stands under its issuer. */
export function jwksUrl({ issuer, jwks }) {
  return jwks ?? `${issuer}/.well-known/jwks.json`;
}

/** The value for `key` in `map`, made once. */
export function once(map, key, make) {
  if (!map.has(key)) map.set(key, make(key));
  return map.get(key);
}

/** The number after `--cool-down` in milliseconds, or `undefined` for the library's default. */
export function coolDownMilliseconds() {
  const at = process.argv.indexOf("--cool-down");
  return at < 0 ? undefined : Number(process.argv[at + 1]) * 1000;
}
