//! Grants.

use keywright_api as api;
use serde_json::{Value, json};

use super::area::Area;
use super::issuer_path;
use super::operation::{Operation, ResponseDescription, example};
use super::tokens;
use crate::access::Role;
use crate::http::code::Code;
use crate::http::internal::GrantQuery;
use crate::http::response::ResponseStatus;

/// `POST /v1/issuers/{issuer}/grants`.
pub(in crate::http) fn open() -> Operation {
    let operation = Operation::new(Area::Grants, "openGrant", "Open a grant")
        .text(
            "For a user who has logged in. The grant's access tokens are within the limits of the \
             client that opens it, now and at each renewal, and have `sid`, its identifier. The \
             refresh token goes to the token endpoint of the issuer, where it is exchanged for the \
             next one.",
        )
        .role(Role::Issuer);
    let full = json!({
        "claims": {"sub": "user-1", "aud": "orders", "scope": "orders:read orders:write"},
        "client": "public", "expires_in": 300, "refresh": {"idle": "12h", "absolute": "30d"},
    });
    let opened = json!({
        "grant": ID, "access_token": "eyJhbGciOiJFUzI1NiIs…", "token_type": "Bearer",
        "expires_in": 300, "refresh_token": format!("kwr1.{ID}.0.TmV2ZXIgc2hvdyB0aGlz…"),
    });
    let opened = ResponseDescription::json::<api::OpenedGrant>(
        ResponseStatus::Created,
        "The grant and its first tokens.",
        opened,
    );
    issuer_path(operation)
        .body::<api::GrantRequest>([example("public", full)])
        .answers(opened.headers(&["RateLimit", "RateLimit-Policy"]))
        .refuses(&tokens::REFUSALS)
        .refuses(&[
            Code::InvalidRefresh,
            Code::InvalidDuration,
            Code::InvalidGrantClient,
            Code::TooManyGrants,
            Code::ClockDoubted,
            Code::StoreUnavailable,
            Code::StoreReplaced,
            Code::Contended,
        ])
        .refuses(&[Code::SigningBusy, Code::InternalError])
        .refuses(&[Code::IssuanceLogUnavailable])
}

/// `GET /v1/issuers/{issuer}/grants`.
pub(in crate::http) fn list_grants() -> Operation {
    let operation = Operation::new(Area::Grants, "listGrants", "Read grants")
        .text(
            "Those that have ended stay for a day. A client with a limit on subjects names one of \
             them.",
        )
        .one_of_the_roles(&Role::GRANT_READERS);
    issuer_path(operation)
        .query::<GrantQuery>()
        .answers(ResponseDescription::json::<api::Grants>(
            ResponseStatus::Ok,
            "A page of grants.",
            json!({"grants": [grant()], "next": null}),
        ))
        .refuses(&[Code::InvalidQuery, Code::ClientLimit])
        .refuses(&[Code::StoreUnavailable, Code::StoreReplaced])
}

/// `GET /v1/issuers/{issuer}/grants/{grant}`.
pub(in crate::http) fn show() -> Operation {
    let operation = Operation::new(Area::Grants, "readGrant", "Read a grant")
        .one_of_the_roles(&Role::GRANT_READERS);
    grant_path(issuer_path(operation)).answers(ResponseDescription::json::<api::Grant>(
        ResponseStatus::Ok,
        "The grant.",
        grant(),
    ))
}

/// `PATCH /v1/issuers/{issuer}/grants/{grant}`.
pub(in crate::http) fn change() -> Operation {
    let operation = Operation::new(Area::Grants, "changeGrant", "Change a grant")
        .text(
            "Access tokens have the new claims from the next renewal on; those that are out stay as \
             they are until they expire. The limits of the client that asks hold, now and at each \
             renewal.",
        )
        .role(Role::Issuer);
    let body = json!({"claims": {"sub": "user-1", "aud": "orders", "scope": "orders:read"}});
    grant_path(issuer_path(operation))
        .body::<api::GrantChange>([example("narrower", body)])
        .answers(ResponseDescription::json::<api::Grant>(
            ResponseStatus::Ok,
            "The grant as it is now.",
            grant(),
        ))
        .refuses(&[
            Code::ClaimReserved,
            Code::ClaimType,
            Code::ClaimName,
            Code::ClaimMissing,
            Code::TtlZero,
            Code::TtlOverMaximum,
            Code::TokenTooLarge,
            Code::AlgorithmNotActive,
            Code::Banned,
            Code::RevocationSettling,
            Code::SnapshotStale,
            Code::GrantSubjectFixed,
            Code::GrantEnded,
        ])
        .changes()
}

/// `DELETE /v1/issuers/{issuer}/grants/{grant}`.
pub(in crate::http) fn end() -> Operation {
    let operation = Operation::new(Area::Grants, "endGrant", "End a grant")
        .text(
            "It is renewed no more, and its access tokens are taken back: verifiers that follow the \
             feed refuse them. A grant that has ended already stays so.",
        )
        .one_of_the_roles(&Role::GRANT_READERS);
    grant_path(issuer_path(operation))
        .answers(ResponseDescription::empty(
            ResponseStatus::NoContent,
            "The grant has ended.",
        ))
        .changes()
}

fn grant_path(operation: Operation) -> Operation {
    operation
        .path::<String>("grant", "The grant.", ID)
        .refuses(&[Code::UnknownGrant, Code::ClientLimit])
        .refuses(&[Code::StoreUnavailable, Code::StoreReplaced])
}

const ID: &str = "5f1c7a40d7b3e2968a90c4b1e6d2f873";

fn grant() -> Value {
    json!({
        "grant": ID, "state": "live",
        "claims": {"sub": "user-1", "aud": "orders", "scope": "orders:read"},
        "client": "public", "by": "login", "expires_in": 300,
        "opened_at": 1_795_294_640, "changed_at": 1_795_294_640, "renewed_at": 1_795_298_200,
        "expires_at": 1_795_341_400, "ends_at": 1_797_886_640,
    })
}
