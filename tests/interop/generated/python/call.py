"""Calls keywright through the client that openapi-python-client has generated.

Prints what it got as one line of JSON: the token, the kids, the code of a refusal, the new client.
"""

import json
import os

from generated import AuthenticatedClient
from generated.api.clients import create_client
from generated.api.keys import list_keys
from generated.api.tokens import sign_token
from generated.models import Claims, ClientRequest, Problem, Role, SignRequest

client = AuthenticatedClient(
    base_url=os.environ["KEYWRIGHT_URL"], token=os.environ["KEYWRIGHT_TOKEN"]
)


def sign(lifetime):
    claims = Claims(sub="user-1", aud="orders")
    claims["tenant"] = "a"
    body = SignRequest(claims=claims, expires_in=lifetime)
    return sign_token.sync("default", client=client, body=body)


token = sign(60)
keys = list_keys.sync("default", client=client)
refused = sign(10**6)
assert isinstance(refused, Problem), refused
created = create_client.sync(
    client=client, body=ClientRequest(name="generated-python", roles=[Role.ISSUER])
)
print(
    json.dumps(
        {
            "token": token.token,
            "kid": token.kid,
            "kids": [key.kid for key in keys.keys],
            "status": refused.status,
            "code": refused.code,
            "maximum": refused.maximum,
            "client": created.id,
            "credential": created.credential,
        }
    )
)
