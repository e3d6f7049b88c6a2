// panva/jose: createRemoteJWKSet keeps a set for 10 minutes, and an unknown kid makes it fetch
// again when its last fetch is 30 seconds old. It looks at no caching header.

import { createRemoteJWKSet, jwtVerify } from "jose";
import { answerLines, coolDownMilliseconds, jwksUrl, once } from "./protocol.mjs";

const cooldownDuration = coolDownMilliseconds();
const options = cooldownDuration === undefined ? {} : { cooldownDuration };
const keySets = new Map();

await answerLines(async (request) => {
  const keys = once(keySets, jwksUrl(request), (url) => createRemoteJWKSet(new URL(url), options));
  const { issuer, audience } = request;
  const algorithms = ["ES256", "RS256"];
  await jwtVerify(request.token, keys, { issuer, audience, algorithms, requiredClaims: ["exp"] });
});
