// How often panva/jose verifies one token: reads {"token", "jwks", "issuer", "audience", "algorithm",
// "seconds"} from standard input and prints verifications a second.

import { readFileSync } from "node:fs";
import { createLocalJWKSet, jwtVerify } from "jose";

const { token, jwks, issuer, audience, algorithm, seconds } = JSON.parse(readFileSync(0, "utf8"));
const keys = createLocalJWKSet(JSON.parse(jwks));
const options = { issuer, audience, algorithms: [algorithm], requiredClaims: ["exp"], typ: "at+jwt" };
let count = 0;
const end = performance.now() + seconds * 1000;
while (performance.now() < end) {
  await jwtVerify(token, keys, options);
  count += 1;
}
console.log(count / seconds);
