// jwks-rsa with jsonwebtoken, as most Express services have it: each key is kept for 10 minutes
// (five keys of a set at most), and every unknown kid makes it fetch again.

import jsonwebtoken from "jsonwebtoken";
import jwksClient from "jwks-rsa";
import { answerLines, jwksUrl, once } from "./protocol.mjs";

const clients = new Map();

await answerLines(async (request) => {
  const client = once(clients, jwksUrl(request), (jwksUri) => jwksClient({ jwksUri, cache: true }));
  const key = (header, callback) => {
    client.getSigningKey(header.kid).then((key) => callback(null, key.getPublicKey()), callback);
  };
  const { issuer, audience } = request;
  const options = { issuer, audience, algorithms: ["ES256", "RS256"] };
  await new Promise((resolve, reject) => {
    const end = (error, claims) => (error ? reject(error) : resolve(claims));
    jsonwebtoken.verify(request.token, key, options, end);
  });
});
