// panva/jose judges tokens against one fixed key set: the first line has the set, the issuer and the
// audience, each further line {"token"}.

import { createLocalJWKSet, jwtVerify } from "jose";
import { answerLines } from "./protocol.mjs";

let keys;
let options;

await answerLines(async (request) => {
  if (keys === undefined) {
    keys = createLocalJWKSet(request.jwks);
    const { issuer, audience } = request;
    options = { issuer, audience, algorithms: ["ES256", "RS256"], requiredClaims: ["exp"] };
    return;
  }
  await jwtVerify(request.token, keys, options);
});
