// The system that keywright takes over from: it signs with one ES256 and one RS256 key, and still
// publishes the keys that it signed with before. Their names are not thumbprints.
//
// Its first line says what it has; then it answers each line {"kid", "issuer", "audience"} with a
// token of that key.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { exportJWK, exportPKCS8, generateKeyPair, SignJWT } from "jose";

const keys = new Map();
for (const [alg, kid, signs] of [
  ["ES256", "es-2025", true],
  ["RS256", "rs-2025", true],
  ["ES256", "es-2024", false],
  ["RS256", "rs-2024", false],
]) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: "sig" };
  keys.set(kid, { alg, kid, signs, jwk, privateKey, pem: await exportPKCS8(privateKey) });
}

const server = createServer((_, response) => {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ keys: [...keys.values()].map(({ jwk }) => jwk) }));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
server.unref();

const shown = [...keys.values()].map(({ alg, kid, signs, jwk, pem }) => ({ alg, kid, signs, jwk, pem }));
const jwks = `http://127.0.0.1:${server.address().port}/jwks`;
process.stdout.write(`${JSON.stringify({ jwks, keys: shown })}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const { kid, issuer, audience } = JSON.parse(line);
  const { alg, privateKey } = keys.get(kid);
  const token = await new SignJWT({ sub: "user-1" })
    .setProtectedHeader({ alg, kid, typ: "JWT" })
    .setIssuer(issuer)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime("10m")
    .sign(privateKey);
  process.stdout.write(`${token}\n`);
}
