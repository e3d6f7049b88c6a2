// Status lists by @sd-jwt/jwt-status-list, signed and verified by jose. One line of JSON for each command:
// {"read": {"issuer", "token"}} fetches the list that a token names, and says what it says of the token;
// {"write": {"issuer", "statuses", "bits"}} signs a list of its own, and a token for each entry.
import { createInterface } from "node:readline";
import {
  StatusList, createHeaderAndPayload, getListFromStatusListJWT, getStatusListFromJWT,
} from "@sd-jwt/jwt-status-list";
import { SignJWT, createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } from "jose";

async function read({ issuer, token }) {
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), { cooldownDuration: 0 });
  await jwtVerify(token, keys, { issuer, algorithms: ["ES256"] });
  const { idx, uri } = getStatusListFromJWT(token);
  const answer = await fetch(uri, { headers: { accept: "application/statuslist+jwt" } });
  const list = await answer.text();
  const { payload } = await jwtVerify(list, keys, { subject: uri, typ: "statuslist+jwt", algorithms: ["ES256"] });
  return {
    type: answer.headers.get("content-type"), ttl: payload.ttl, status: getListFromStatusListJWT(list).getStatus(idx),
  };
}

async function write({ issuer, statuses, bits }) {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const uri = `${issuer}/lists/1`;
  const now = Math.floor(Date.now() / 1000);
  const { header, payload } = createHeaderAndPayload(
    new StatusList(statuses, bits), { iss: issuer, sub: uri, iat: now, exp: now + 60, ttl: 5 },
    { alg: "ES256", typ: "statuslist+jwt", kid: "k" },
  );
  const list = await new SignJWT(payload).setProtectedHeader(header).sign(privateKey);
  const tokens = await Promise.all(statuses.map((_, idx) =>
    new SignJWT({ status: { status_list: { idx, uri } } })
      .setProtectedHeader({ alg: "ES256", kid: "k" })
      .setIssuer(issuer).setAudience("orders").setIssuedAt(now).setExpirationTime(now + 60).sign(privateKey)));
  const jwk = { ...(await exportJWK(publicKey)), kid: "k", use: "sig", alg: "ES256" };
  return { uri, list, tokens, jwks: { keys: [jwk] } };
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    const said = command.read ? await read(command.read) : await write(command.write);
    console.log(JSON.stringify(said));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}
