"""Authlib, configured by the metadata alone: a token by each authentication method, what a service is told
of it, taking it back, and renewing a client's and a public grant. Prints one JSON line."""

import json
import os
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey

issuer = os.environ["ISSUER"]
host, _, path = issuer.removeprefix("http://").partition("/")
metadata = requests.get(f"http://{host}/.well-known/oauth-authorization-server/{path}", timeout=30).json()
endpoint = metadata["token_endpoint"]


def session(client_id, secret, method, assertion=None):
    opened = OAuth2Session(client_id, secret, token_endpoint_auth_method=method)
    if assertion:
        opened.register_client_auth_method(assertion)
    return opened


key = json.loads(os.environ["KEY"])


class ShortLived(PrivateKeyJWT):
    """Authlib's assertions are valid for an hour; keywright takes 5 minutes at most."""

    def sign(self, auth, token_endpoint):
        self.claims = {"exp": int(time.time()) + 60}
        return super().sign(auth, token_endpoint)


assertion = ShortLived(endpoint, headers={"kid": key["kid"]}, alg="ES256")
sessions = {
    method: session(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"], method)
    for method in ["client_secret_basic", "client_secret_post"]
}
sessions["private_key_jwt"] = session(os.environ["KEY_CLIENT_ID"], ECKey.import_key(key), "private_key_jwt", assertion)

tokens = {}
for method, opened in sessions.items():
    granted = opened.fetch_token(endpoint, grant_type="client_credentials", audience="https://orders.example")
    tokens[method] = granted["access_token"]

service = session(os.environ["SERVICE_ID"], os.environ["SERVICE_SECRET"], "client_secret_basic")
token = tokens["client_secret_basic"]


def introspect():
    return service.introspect_token(metadata["introspection_endpoint"], token=token).json()["active"]


before = introspect()
revoked = sessions["client_secret_basic"].revoke_token(metadata["revocation_endpoint"], token=token)
assert revoked.status_code == 200, revoked.text
after = introspect()

refused = None
try:
    sessions["client_secret_basic"].fetch_token(endpoint, grant_type="client_credentials", audience="https://elsewhere.example")
except Exception as error:
    refused = error.error

renewed, reused = [], []
holders = [
    (os.environ["CLIENT_GRANT"], sessions["client_secret_basic"]),
    (os.environ["PUBLIC_GRANT"], session("public", None, "none")),
]
for first, opened in holders:
    refresh_token = first
    for _ in range(3):
        answer = opened.refresh_token(endpoint, refresh_token=refresh_token)
        renewed.append(answer["access_token"])
        refresh_token = answer["refresh_token"]
    try:
        opened.refresh_token(endpoint, refresh_token=first)
    except Exception as error:
        reused.append(error.error)
print(
    json.dumps(
        {"tokens": tokens, "before": before, "after": after, "refused": refused, "renewed": renewed, "reused": reused}
    )
)
