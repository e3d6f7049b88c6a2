"""PyJWT: PyJWKClient keeps a set for 5 minutes, and an unknown kid makes it fetch again when its
last fetch is 30 seconds old (older releases fetch for every unknown kid)."""

import jwt

from protocol import answer_lines, cool_down_seconds, jwks_url

COOL_DOWN = cool_down_seconds()
OPTIONS = {} if COOL_DOWN is None else {"cooldown_duration": COOL_DOWN}
clients = {}


def verify(request):
    url = jwks_url(request)
    if url not in clients:
        clients[url] = jwt.PyJWKClient(url, **OPTIONS)
    token = request["token"]
    jwt.decode(
        token,
        clients[url].get_signing_key_from_jwt(token),
        algorithms=["ES256", "RS256"],
        issuer=request["issuer"],
        audience=request["audience"],
        options={"require": ["exp", "iss", "aud"]},
    )


answer_lines(verify)
