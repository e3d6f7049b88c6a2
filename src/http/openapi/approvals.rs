//! Operations that wait for a second person.

use keywright_api as api;
use serde_json::{Value, json};

use super::area::Area;
use super::issuer_path;
use super::issuers::policy;
use super::operation::{Operation, ResponseDescription, example};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

const ID: &str = "77c1a9e2d3b40f58";

fn approval() -> Value {
    json!({
        "id": ID, "issuer": "default", "operation": "delete-issuer", "reason": "moved elsewhere",
        "requested_by": {
            "kind": "client", "id": "dee6523778cdf245", "name": "ops-1", "via": "credential",
            "credential": "5f0c2b9e", "address": "127.0.0.1",
        },
        "requested_at": 1_795_294_675, "expires_at": 1_795_295_575,
    })
}

/// The answer of an operation that a second person must confirm.
pub(super) fn awaits() -> ResponseDescription {
    ResponseDescription::json::<api::Awaits>(
        ResponseStatus::Accepted,
        "The issuer's policy wants a second person: nothing has happened yet.",
        json!({ "approval": approval() }),
    )
}

/// `GET /v1/approvals`.
pub(in crate::http) fn list_approvals() -> Operation {
    let waiting = json!({ "approvals": [approval()] });
    Operation::new(
        Area::Approvals,
        "listApprovals",
        "Read what waits to be confirmed",
    )
    .text("Of the issuers that the caller may call. An approval expires 15 minutes after the request.")
    .role(Role::Security)
    .answers(ResponseDescription::json::<api::Approvals>(
        ResponseStatus::Ok,
        "What waits.",
        waiting,
    ))
    .refuses(&[Code::StoreUnavailable, Code::StoreReplaced])
}

/// `POST /v1/approvals/{approval}/confirm`.
pub(in crate::http) fn confirm() -> Operation {
    let deleted = json!({"approval": approval(), "result": {
        "name": "default", "version": 3, "deleted_at": 1_795_294_700,
        "policy": policy("http://127.0.0.1:8080"),
    }});
    of_approval(Operation::new(
        Area::Approvals,
        "confirm",
        "Confirm an operation",
    ))
    .text(
        "It is carried out at once, and `result` is what it would have answered. Another client \
         than the one that asked must confirm. An operation that is refused now waits on.",
    )
    .answers(ResponseDescription::json::<api::Confirmed>(
        ResponseStatus::Ok,
        "What was confirmed, and what it did.",
        deleted,
    ))
    .refuses(&[
        Code::OwnApproval,
        Code::ApprovalOutdated,
        Code::UnknownClient,
        Code::UnknownIssuer,
        Code::IssuerUnusable,
        Code::IssuerDeleted,
        Code::UnknownKey,
        Code::AlgorithmNotInPolicy,
        Code::NoSuccessor,
        Code::SuccessorNotReady,
        Code::SuccessorNotAdopted,
        Code::IllegalTransition,
        Code::KeySetFull,
        Code::IssuerUrlFixed,
        Code::DefaultAlgorithmNotActive,
    ])
    .changes()
}

/// `DELETE /v1/approvals/{approval}`.
pub(in crate::http) fn reject() -> Operation {
    of_approval(Operation::new(
        Area::Approvals,
        "reject",
        "Take an operation back, or refuse it",
    ))
    .answers(ResponseDescription::empty(
        ResponseStatus::NoContent,
        "It waits no longer.",
    ))
    .changes()
}

/// `POST /v1/issuers/{issuer}/delete`.
pub(in crate::http) fn delete_issuer() -> Operation {
    let operation = Operation::new(Area::Approvals, "deleteIssuer", "Delete an issuer")
        .text(
            "Final: every key that is published is revoked, its documents are gone, nothing signs. \
             Its name and its URL are not used again: a verifier may still hold its set. Its keys, \
             its history and its events can still be read.",
        )
        .role(Role::Security);
    let gone = json!({
        "name": "default", "version": 3, "deleted_at": 1_795_294_700,
        "policy": policy("http://127.0.0.1:8080"),
    });
    issuer_path(operation)
        .body::<api::DeleteRequest>([example("moved", json!({"reason": "moved elsewhere"}))])
        .answers(ResponseDescription::json::<api::Issuer>(
            ResponseStatus::Ok,
            "The issuer as it was.",
            gone,
        ))
        .answers(awaits())
        .refuses(&[
            Code::InvalidReason,
            Code::IssuerDeleted,
            Code::TooManyApprovals,
        ])
        .changes()
}

fn of_approval(operation: Operation) -> Operation {
    operation
        .role(Role::Security)
        .path::<String>("approval", "The operation that waits.", ID)
        .refuses(&[
            Code::UnknownApproval,
            Code::ApprovalEnded,
            Code::ClientLimit,
        ])
}
