// oauth4webapi, configured by discovery alone, a signed introspection (RFC 9701), which it verifies, and the
// renewal of a client's and of a public grant, and tokens that are bound to a key with nonces (RFC 9449). Prints
// one JSON line.
import * as oauth from "oauth4webapi";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, SERVICE_ID, SERVICE_SECRET } = process.env;
const { CLIENT_GRANT, PUBLIC_GRANT, BOUND_GRANT } = process.env;

const plain = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(ISSUER);
const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...plain });
const server = await oauth.processDiscoveryResponse(issuer, discovered);

const client = { client_id: CLIENT_ID };
const authentication = oauth.ClientSecretPost(CLIENT_SECRET);
const parameters = new URLSearchParams({ resource: "https://orders.example" });
const answered = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters, plain);
const granted = await oauth.processClientCredentialsResponse(server, client, answered);
const token = granted.access_token;

const service = { client_id: SERVICE_ID };
const secret = oauth.ClientSecretBasic(SERVICE_SECRET);
const introspect = async () => {
  const signed = await oauth.introspectionRequest(server, service, secret, token, { requestJwtResponse: true, ...plain });
  const read = await oauth.processIntrospectionResponse(server, service, signed);
  await oauth.validateApplicationLevelSignature(server, signed, plain);
  return read;
};
const before = await introspect();
const revoked = await oauth.revocationRequest(server, client, authentication, token, plain);
await oauth.processRevocationResponse(revoked);
const after = await introspect();

let refused;
try {
  const answer = await oauth.clientCredentialsGrantRequest(
    server, client, authentication, new URLSearchParams({ resource: "https://elsewhere.example" }), plain);
  await oauth.processClientCredentialsResponse(server, client, answer);
} catch (error) {
  refused = error.error;
}

const renewed = [];
const reused = [];
const holders = [
  [CLIENT_GRANT, client, authentication],
  [PUBLIC_GRANT, { client_id: "public" }, oauth.None()],
];
for (const [first, holder, proof] of holders) {
  const renew = async (refreshToken) => {
    const answer = await oauth.refreshTokenGrantRequest(server, holder, proof, refreshToken, plain);
    return oauth.processRefreshTokenResponse(server, holder, answer);
  };
  let refreshToken = first;
  for (let round = 0; round < 3; round += 1) {
    const answer = await renew(refreshToken);
    renewed.push(answer.access_token);
    refreshToken = answer.refresh_token;
  }
  await renew(first).catch((error) => reused.push(error.error));
}

const page = { client_id: "public" };
const DPoP = oauth.DPoP(page, await oauth.generateKeyPair("ES256"));
const own = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));
// The first request of a key learns the nonce.
const withNonce = async (ask) => {
  try {
    return await ask();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return ask();
  }
};
const bound = [await withNonce(async () => {
  const answer = await oauth.clientCredentialsGrantRequest(
    server, client, authentication, parameters, { DPoP: own, ...plain });
  return oauth.processClientCredentialsResponse(server, client, answer);
})];
const renewBound = (refreshToken, options) => withNonce(async () => {
  const answer = await oauth.refreshTokenGrantRequest(server, page, oauth.None(), refreshToken, { ...options, ...plain });
  return oauth.processRefreshTokenResponse(server, page, answer);
});
let boundToken = BOUND_GRANT;
for (let round = 0; round < 2; round += 1) {
  const answer = await renewBound(boundToken, { DPoP });
  bound.push(answer);
  boundToken = answer.refresh_token;
}
const stolen = await renewBound(boundToken, {}).catch((error) => error.error);
bound.push(await renewBound(boundToken, { DPoP }));
const tokens = { client_secret_post: token };
console.log(JSON.stringify({ bound, stolen, tokens, before: before.active, after: after.active, refused, renewed, reused }));
