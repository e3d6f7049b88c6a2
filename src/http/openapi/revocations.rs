//! Tokens that are taken back.

use keywright_api as api;
use serde_json::{Value, json};

use super::approvals::awaits;
use super::area::Area;
use super::issuer_path;
use super::operation::{Operation, ResponseDescription, example};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::internal::{RevocationFileQuery, RevocationQuery};
use crate::http::response::ResponseStatus;

const REFUSALS: [Code; 7] = [
    Code::InvalidSelector,
    Code::InvalidToken,
    Code::InvalidBan,
    Code::InvalidReason,
    Code::IssuerDeleted,
    Code::ClientLimit,
    Code::TooManyRevocations,
];

/// `POST /v1/issuers/{issuer}/revocations`.
pub(in crate::http) fn revoke() -> Operation {
    let operation = Operation::new(Area::Revocations, "revokeTokens", "Take tokens back")
        .text(
            "Final for the tokens that are out: they are refused by every verifier that follows the \
             feed, from the times on that the answer has. What is issued afterwards is another \
             matter: with `ban` nothing that matches is signed any more. A `revoker` may name a \
             token, or a subject within its limits, alone or with a session.",
        )
        .one_of_the_roles(&Role::REVOKERS);
    issuer_path(operation)
        .body::<api::RevocationRequest>([
            example(
                "ban",
                json!({"subject": "user-9", "ban": true, "reason": "fraud"}),
            ),
            example(
                "log-out",
                json!({"subject": "user-1", "session": "s-81", "reason": "logged out"}),
            ),
            example("one-token", json!({"jti": "Pr58uh5bLIdCDIAmZG0NKQ"})),
        ])
        .answers(ResponseDescription::json::<api::RevocationInForce>(
            ResponseStatus::Created,
            "What is in force where, and from when on.",
            in_force(),
        ))
        .answers(awaits())
        .refuses(&REFUSALS)
        .refuses(&[Code::TooManyApprovals])
        .changes()
}

/// `POST /v1/issuers/{issuer}/revocations/batch`.
pub(in crate::http) fn revoke_batch() -> Operation {
    let operation = Operation::new(Area::Revocations, "revokeTokensInBatch", "Take many back")
        .text(
            "Up to 1,000 revocations in one commit: all happen, or none. What takes two people under \
             the issuer's policy is asked for alone.",
        )
        .one_of_the_roles(&Role::REVOKERS);
    let body = json!({"revocations": [
        {"jti": "5eJH1b8o2nZ3yfPZ1xQqHw"}, {"subject": "user-2", "audience": "orders"},
    ]});
    issuer_path(operation)
        .body::<api::RevocationBatchRequest>([example("two", body)])
        .answers(ResponseDescription::json::<api::RevocationBatch>(
            ResponseStatus::Created,
            "What is in force where, in the order of the request.",
            json!({"revocations": [in_force()]}),
        ))
        .refuses(&REFUSALS)
        .refuses(&[Code::OwnApproval])
        .changes()
}

/// `GET /v1/issuers/{issuer}/revocations`.
pub(in crate::http) fn list_revocations() -> Operation {
    let operation = Operation::new(Area::Revocations, "listRevocations", "Read revocations")
        .text("Those of which nothing follows any more are deleted, with what they say of people.")
        .one_of_the_roles(&Role::REVOCATION_READERS);
    issuer_path(operation)
        .query::<RevocationQuery>()
        .answers(ResponseDescription::json::<api::Revocations>(
            ResponseStatus::Ok,
            "A page of revocations.",
            json!({"revocations": [revocation()], "next": null}),
        ))
        .refuses(&[Code::InvalidQuery])
}

/// `GET /v1/issuers/{issuer}/revocations/file`.
pub(in crate::http) fn file() -> Operation {
    let operation = Operation::new(
        Area::Revocations,
        "readRevocationFile",
        "Read a file for verifiers without a network",
    )
    .text(
        "Everything that is revoked now, signed: a head of type `keywright-revocations-file+jwt` and \
         its segments. Verifiers accept tokens by it until it is older than its `max_age`, and never \
         take it for the feed.",
    )
    .one_of_the_roles(&Role::REVOCATION_READERS);
    issuer_path(operation)
        .query::<RevocationFileQuery>()
        .answers(ResponseDescription::text(
            ResponseStatus::Ok,
            "The file.",
            "application/json",
            "`head`, a compact JWS, and `segments`, by their hashes.",
        ))
        .refuses(&[
            Code::InvalidQuery,
            Code::UnknownAlgorithm,
            Code::AlgorithmNotActive,
            Code::RevocationsUnavailable,
        ])
}

/// `GET /v1/issuers/{issuer}/revocations/{revocation}`.
pub(in crate::http) fn show() -> Operation {
    let operation = Operation::new(Area::Revocations, "readRevocation", "Read a revocation")
        .one_of_the_roles(&Role::REVOCATION_READERS);
    revocation_path(issuer_path(operation)).answers(ResponseDescription::json::<
        api::RevocationInForce,
    >(
        ResponseStatus::Ok,
        "The revocation, and from when on it is in force where.",
        in_force(),
    ))
}

/// `DELETE /v1/issuers/{issuer}/revocations/{revocation}`.
pub(in crate::http) fn lift() -> Operation {
    let operation = Operation::new(Area::Revocations, "liftBan", "Lift a ban")
        .text(
            "Tokens that match are signed again. Those that the revocation has taken back stay \
             refused: nothing makes them good again.",
        )
        .one_of_the_roles(&Role::REVOKERS);
    revocation_path(issuer_path(operation))
        .answers(ResponseDescription::empty(
            ResponseStatus::NoContent,
            "The ban is lifted.",
        ))
        .refuses(&[Code::NotABan, Code::ClientLimit])
        .changes()
}

/// `POST /v1/issuers/{issuer}/revocations/{revocation}/erase`.
pub(in crate::http) fn erase() -> Operation {
    let mut erased = in_force();
    if let Some(members) = erased.as_object_mut() {
        members.remove("reason");
        members.insert("selector".to_owned(), json!({}));
        members.insert("erased".to_owned(), json!(true));
    }
    let operation = Operation::new(
        Area::Revocations,
        "eraseRevocation",
        "Erase what a revocation says of people",
    )
    .text(
        "The values of the selector and the reason leave the record. The tokens stay refused, and a ban \
         holds, by the digest that verifiers know. The audit log keeps the keyed hash of the values, \
         and the reason.",
    )
    .one_of_the_roles(&[Role::Security]);
    revocation_path(issuer_path(operation))
        .answers(ResponseDescription::json::<api::RevocationInForce>(
            ResponseStatus::Ok,
            "What is left of the revocation.",
            erased,
        ))
        .changes()
}

fn revocation_path(operation: Operation) -> Operation {
    operation
        .path::<String>("revocation", "The revocation.", "Vq0g4bEwYxkVtW1q")
        .refuses(&[Code::UnknownRevocation])
}

fn revocation() -> Value {
    json!({
        "id": "Vq0g4bEwYxkVtW1q", "selector": {"subject": "user-9"}, "state": "closed",
        "issued_before": 1_795_294_676, "ban": true, "reason": "fraud",
        "by": {"kind": "client", "id": "bootstrap", "name": "bootstrap", "via": "credential",
               "credential": "first", "address": "127.0.0.1"},
        "created_at": 1_795_294_674, "expires_at": 1_795_298_576,
    })
}

fn in_force() -> Value {
    let mut shown = revocation();
    let more = json!({
        "in_force_at_signers": 1_795_294_675,
        "in_force_at_verifiers": {
            "expected": 1_795_294_677, "guaranteed": 1_795_294_737, "status_list": null,
        },
        "tokens_until": 1_795_298_576,
    });
    if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
        shown.extend(more);
    }
    shown
}
