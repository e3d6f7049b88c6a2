// Calls keywright through openapi-fetch with the types that openapi-typescript has generated. The
// compiler checks every name and type. Prints what it got as one line of JSON.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Problem = components["schemas"]["Problem"];

const client = createClient<paths>({
  baseUrl: process.env.KEYWRIGHT_URL!,
  headers: { Authorization: `Bearer ${process.env.KEYWRIGHT_TOKEN}` },
});
const params = { path: { issuer: "default" } };

function sign(expires_in: number) {
  const claims = { sub: "user-1", aud: "orders", tenant: "a" };
  return client.POST("/v1/issuers/{issuer}/tokens", { params, body: { claims, expires_in } });
}

const token = (await sign(60)).data!;
const keys = (await client.GET("/v1/issuers/{issuer}/keys", { params })).data!;
const refused: Problem = (await sign(1_000_000)).error!;
const created = (
  await client.POST("/v1/clients", { body: { name: "generated-typescript", roles: ["issuer"] } })
).data!;
console.log(
  JSON.stringify({
    token: token.token,
    kid: token.kid,
    kids: keys.keys.map((key) => key.kid),
    status: refused.status,
    code: refused.code,
    maximum: refused.maximum,
    client: created.id,
    credential: created.credential,
  }),
);
