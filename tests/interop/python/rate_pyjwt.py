"""How often PyJWT verifies one token: reads {"token", "jwks", "issuer", "audience", "algorithm",
"seconds"} from standard input and prints verifications a second."""

import json
import sys
import time

import jwt

request = json.load(sys.stdin)
[key] = jwt.PyJWKSet.from_dict(json.loads(request["jwks"])).keys
arguments = {
    "algorithms": [request["algorithm"]],
    "issuer": request["issuer"],
    "audience": request["audience"],
    "options": {"require": ["exp", "iss", "aud"]},
}
count = 0
end = time.perf_counter() + request["seconds"]
while time.perf_counter() < end:
    jwt.decode(request["token"], key, **arguments)
    count += 1
print(count / request["seconds"])
