"""What schemathesis cannot know about keywright."""

import os

import schemathesis
from schemathesis.specs.openapi import checks

# The clients that were there before: without the one whose credential this run uses there would be
# nothing but 401, and the test looks at the service with another.
KEPT_CLIENTS = os.environ.get("KEYWRIGHT_KEPT_CLIENTS", "").split(",")

# The rules that no schema says. A body that fits its schema may break these and no others.
RULES = {
    "signToken": {"ttl-over-maximum", "token-too-large", "claim-missing", "number-out-of-range", "status-not-offered"},
    "signTokens": {"number-out-of-range"},
    "checkSigning": {"number-out-of-range"},
    # `sub` and `aud` are required, `sid` is refused, and durations must fit together.
    "openGrant": {
        "ttl-over-maximum",
        "token-too-large",
        "claim-missing",
        "claim-reserved",
        "claim-type",
        "number-out-of-range",
        "invalid-grant-client",
        "invalid-refresh",
        "invalid-duration",
    },
    "changeGrant": {
        "ttl-over-maximum",
        "token-too-large",
        "claim-missing",
        "claim-reserved",
        "claim-type",
        "number-out-of-range",
    },
    # Which members go together.
    "revokeTokens": {"invalid-selector", "invalid-token", "invalid-ban", "number-out-of-range"},
    "revokeTokensInBatch": {"invalid-selector", "invalid-token", "invalid-ban", "number-out-of-range"},
    "listRevocations": {"invalid-query"},
    # A time that is too short or too long for a file.
    "readRevocationFile": {"invalid-query"},
    "importKey": {"invalid-private-key", "invalid-public-key", "number-out-of-range"},
    "setIssuer": {"invalid-policy", "invalid-issuer-url"},
    # A time that lies ahead, or has more than three decimals.
    "readHistory": {"invalid-query"},
    # A lifetime of nothing: 0s, 000d.
    "rotateCredential": {"invalid-duration"},
    "createClient": {"invalid-duration", "invalid-limits", "invalid-proof", "number-out-of-range"},
    "setClient": {"invalid-limits", "invalid-proof", "number-out-of-range"},
    # A credential that was just made is tried as a name, too.
    "revokeCredential": {"credential-in-url"},
    "previewPlan": {"invalid-policy", "invalid-issuer-url"},
}

# An empty parameter of a form counts as absent, none is repeated, and none has a control character. Which proof, grant, scope
# and target there are, and how many bytes, no schema says.
FORM_RULES = {
    "field-missing",
    "duplicate-member",
    "invalid-body",
    "several-credentials",
    "foreign-token",
    "invalid-token",
    "invalid-idempotency-key",
}
TOKEN_RULES = {"unknown-grant-type", "invalid-scope", "invalid-target", "invalid-refresh-token"}
TOKEN_RULES |= {"invalid-subject-token", "invalid-actor-token", "invalid-assertion"}
for name in ("requestToken", "takeTokenBack", "introspectToken", "consumeToken"):
    RULES[name] = RULES[f"{name}Of"] = FORM_RULES | (TOKEN_RULES if name == "requestToken" else set())


# A subject that is empty, or too long for a selector.
RULES["revokeGlobally"] = RULES["revokeGloballyOf"] = {"invalid-selector"}

# Hardly any text is a token.
RULES["pushSecurityEvent"] = RULES["pushSecurityEventOf"] = {"invalid-event-token"}


@schemathesis.serializer("application/secevent+jwt")
def security_event(context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


# Which members of a delivery go together, how long a type of an event is, and what the service has decided. A
# member that is not known is ignored, and read strictly all the same.
for name in ("createEventStream", "updateEventStream", "replaceEventStream", "pollEvents"):
    RULES[name] = RULES[f"{name}Of"] = {"invalid-event-stream", "number-out-of-range"}
for name in ("setEventStreamStatus", "verifyEventStream"):
    RULES[name] = RULES[f"{name}Of"] = {"number-out-of-range"}


@schemathesis.hook
def map_body(context, body):
    """JSON Schema takes 300.0 for an integer. keywright does not, which the tests of bad input say;
    here it would only stand in the way of everything else."""
    return whole(body)


def whole(value):
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [whole(element) for element in value]
    if isinstance(value, dict):
        return {name: whole(member) for name, member in value.items()}
    return value


# An id that no client has.
NO_CLIENT = "0123456789abcdef"

# The last known credentials of each client, and those that a rotation has ended. A client has at most
# two, but the tool expects a credential to exist until it sends a DELETE for it.
credentials = {}
ended_credentials = set()


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Replaces the id of a kept client while a case is generated.

    The tool also takes ids from the responses that it has read. To replace such an id in `before_call`
    is too late: the tool then believes that a link gave it, because it differs from the generated one,
    and reports the 404 as a client that was created and is not there."""
    if path_parameters and path_parameters.get("id") in KEPT_CLIENTS:
        return {**path_parameters, "id": NO_CLIENT}
    return path_parameters


@schemathesis.hook
def before_call(context, case, kwargs):
    """Replaces the id if a link gives a kept client, or a credential that a rotation has ended."""
    parameters = case.path_parameters or {}
    follows_links = case.meta is not None and case.meta.phase.name == "stateful"
    is_ended = follows_links and parameters.get("credential") in ended_credentials
    if is_ended or parameters.get("id") in KEPT_CLIENTS:
        parameters["id"] = NO_CLIENT


# For each operation the tool sends a bad credential as often as the operation has alternatives in
# `security`, one for each role that may call it. All of them are the same header, and an address may
# send one bad credential a second.
security_parameters_of = checks.get_security_parameters


def distinct_security_parameters(operation):
    distinct = {(one.name, one.location): one for one in security_parameters_of(operation)}
    return list(distinct.values())


checks.get_security_parameters = distinct_security_parameters

# On a fast machine that is more than one a second. A bad credential that comes too early is refused with 429
# `too-many-failures`, which no good one gets from an address that has sent no bad ones.
checks.AUTH_REJECTION_STATUSES = {*checks.AUTH_REJECTION_STATUSES, 429}


@schemathesis.hook
def after_call(context, case, response):
    """Learns which credentials a rotation has ended."""
    if operation_id(case) in ("createClient", "rotateCredential") and response.status_code == 201:
        client = response.json()
        listed = {credential["id"] for credential in client["credentials"]}
        ended_credentials.update(credentials.get(client["id"], set()) - listed)
        credentials[client["id"]] = listed


def operation_id(case):
    return case.operation.definition.raw.get("operationId")


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.check
def refused_by_a_rule(context, response, case):
    """A body that fits its schema is refused by a rule, never for its shape."""
    if response.status_code != 400 or not is_positive(case):
        return
    refusal = response.json()
    # An OAuth error begins with the code, and so does one of a security event token.
    words = refusal.get("error_description") or refusal.get("description")
    code = refusal.get("code") or words.split(":")[0]
    allowed = RULES.get(operation_id(case), set())
    assert code in allowed, f"a body that fits its schema is refused with {code}"


@schemathesis.check
def refused_in_its_place(context, response, case):
    """A batch that does not fit its schema is refused, or has a refusal among its results; a request that would
    not is not told that it would be signed."""
    if operation_id(case) not in ("signTokens", "checkSigning") or response.status_code != 200 or is_positive(case):
        return
    if case.meta is None or not any(
        location.name == "BODY" and component.mode.is_negative
        for location, component in case.meta.components.items()
    ):
        return
    if operation_id(case) == "checkSigning":
        assert response.json()["signed"] is False, "a wrong request would be signed"
        return
    results = response.json()["results"]
    assert any("code" in result for result in results), "every entry of a wrong batch was signed"
