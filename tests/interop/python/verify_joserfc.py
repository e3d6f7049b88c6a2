"""joserfc fetches nothing itself: a service keeps a KeySet and decides when to fetch it again.

This one does what the clients around it do by default: a set is kept for 5 minutes, and an unknown
kid makes it fetch again when the last fetch is 30 seconds old.
"""

import time

import requests
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from protocol import answer_lines, cool_down_seconds, jwks_url

LIFESPAN = 300
COOL_DOWN = cool_down_seconds() or 30
cached = {}


def fetch(url):
    response = requests.get(url, timeout=30, allow_redirects=False)
    response.raise_for_status()
    cached[url] = (KeySet.import_key_set(response.json()), time.monotonic())


def key_set(url, kid):
    if url not in cached or time.monotonic() - cached[url][1] > LIFESPAN:
        fetch(url)
    keys, fetched_at = cached[url]
    if all(key.kid != kid for key in keys) and time.monotonic() - fetched_at >= COOL_DOWN:
        fetch(url)
    return cached[url][0]


def verify(request):
    token = request["token"]
    kid = jws.extract_compact(token.encode()).headers()["kid"]
    decoded = jwt.decode(token, key_set(jwks_url(request), kid), algorithms=["ES256", "RS256"])
    claims = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": request["issuer"]},
        aud={"essential": True, "value": request["audience"]},
        exp={"essential": True},
    )
    claims.validate(decoded.claims)


answer_lines(verify)
