// openid-client, configured by discovery alone: a token by each authentication method, what a service is
// told of it, taking it back, renewing a client's and a public grant, tokens that are bound to a key with
// nonces (RFC 9449), and trading a token in. Prints one JSON line.
import * as client from "openid-client";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, KEY_CLIENT_ID, KEY, SERVICE_ID, SERVICE_SECRET } = process.env;
const { CLIENT_GRANT, PUBLIC_GRANT, BOUND_GRANT, TRADER_ID, TRADER_SECRET, USER_TOKEN } = process.env;

const jwk = JSON.parse(KEY);
const key = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const methods = {
  client_secret_basic: [CLIENT_ID, client.ClientSecretBasic(CLIENT_SECRET)],
  client_secret_post: [CLIENT_ID, client.ClientSecretPost(CLIENT_SECRET)],
  private_key_jwt: [KEY_CLIENT_ID, client.PrivateKeyJwt({ key, kid: jwk.kid })],
};

const discover = (id, authentication) =>
  client.discovery(new URL(ISSUER), id, undefined, authentication, {
    algorithm: "oauth2",
    execute: [client.allowInsecureRequests],
  });

const tokens = {};
let last;
for (const [method, [id, authentication]] of Object.entries(methods)) {
  const config = await discover(id, authentication);
  const granted = await client.clientCredentialsGrant(config, { scope: "orders:read", resource: "https://orders.example" });
  tokens[method] = granted.access_token;
  last = config;
}

const service = await discover(SERVICE_ID, client.ClientSecretBasic(SERVICE_SECRET));
const token = tokens.private_key_jwt;
const before = await client.tokenIntrospection(service, token);
await client.tokenRevocation(last, token);
const after = await client.tokenIntrospection(service, token);

let refused;
try {
  await client.clientCredentialsGrant(last, { scope: "admin", resource: "https://orders.example" });
} catch (error) {
  refused = error.error;
}

const renewed = [];
const reused = [];
const holders = [
  [CLIENT_GRANT, await discover(CLIENT_ID, client.ClientSecretBasic(CLIENT_SECRET))],
  [PUBLIC_GRANT, await discover("public", client.None())],
];
for (const [first, config] of holders) {
  let refreshToken = first;
  for (let round = 0; round < 3; round += 1) {
    const answer = await client.refreshTokenGrant(config, refreshToken);
    renewed.push(answer.access_token);
    refreshToken = answer.refresh_token;
  }
  await client.refreshTokenGrant(config, first).catch((error) => reused.push(error.error));
}

const [, confidential] = holders[0];
const [, page] = holders[1];
const DPoP = client.getDPoPHandle(page, await client.randomDPoPKeyPair("ES256"));
const own = client.getDPoPHandle(confidential, await client.randomDPoPKeyPair("ES256"));
const parameters = { scope: "orders:read", resource: "https://orders.example" };
const bound = [await client.clientCredentialsGrant(confidential, parameters, { DPoP: own })];
let boundToken = BOUND_GRANT;
for (let round = 0; round < 2; round += 1) {
  const answer = await client.refreshTokenGrant(page, boundToken, undefined, { DPoP });
  bound.push(answer);
  boundToken = answer.refresh_token;
}
const stolen = await client.refreshTokenGrant(page, boundToken).catch((error) => error.error);
bound.push(await client.refreshTokenGrant(page, boundToken, undefined, { DPoP }));
const trader = await discover(TRADER_ID, client.ClientSecretBasic(TRADER_SECRET));
const trade = (scope) =>
  client.genericGrantRequest(trader, "urn:ietf:params:oauth:grant-type:token-exchange", {
    subject_token: USER_TOKEN,
    subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
    resource: "https://billing.example",
    scope,
  });
const traded = await trade("orders:read");
const wider = await trade("billing:write").catch((error) => error.error);
console.log(JSON.stringify({ traded, wider, bound, stolen, tokens, before: before.active, after: after.active, refused, renewed, reused }));
