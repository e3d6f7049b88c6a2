// openid-client, configured by discovery alone: a token by each authentication method, what a service is
// told of it, taking it back, and renewing a client's and a public grant. Prints one JSON line.
import * as client from "openid-client";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, KEY_CLIENT_ID, KEY, SERVICE_ID, SERVICE_SECRET } = process.env;
const { CLIENT_GRANT, PUBLIC_GRANT } = process.env;

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
console.log(JSON.stringify({ tokens, before: before.active, after: after.active, refused, renewed, reused }));
