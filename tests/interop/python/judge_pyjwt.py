"""PyJWT judges tokens against one fixed key set: the first line has the set, the issuer and the
audience, each further line {"token"}."""

import jwt

from protocol import answer_lines

terms = {}


def key_of(header):
    """The key by its kid, or else the one of the token's algorithm: PyJWT leaves that to others."""
    if "kid" in header:
        return terms["keys"][header["kid"]]
    [key] = (key for key in terms["keys"].keys if key.algorithm_name == header["alg"])
    return key


def verify(request):
    if not terms:
        terms.update(request)
        terms["keys"] = jwt.PyJWKSet.from_dict(request["jwks"])
        return
    token = request["token"]
    jwt.decode(
        token,
        key_of(jwt.get_unverified_header(token)),
        algorithms=["ES256", "RS256"],
        issuer=terms["issuer"],
        audience=terms["audience"],
        options={"require": ["exp", "iss", "aud"]},
    )


answer_lines(verify)
