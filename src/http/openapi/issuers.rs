//! Issuers and their policies.

use keywright_api as api;
use serde_json::{Value, json};

use super::approvals::awaits;
use super::area::Area;
use super::operation::{Operation, ResponseDescription, example};
use super::{conditional, issuer_path};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

/// What a policy document can be refused for, wherever it is sent.
pub(super) const POLICY_REFUSALS: [Code; 6] = [
    Code::InvalidPolicy,
    Code::InvalidIssuerUrl,
    Code::UnknownAlgorithm,
    Code::IssuerUrlFixed,
    Code::DefaultAlgorithmNotActive,
    Code::KeySetFull,
];

/// `GET /v1/issuers`.
pub(in crate::http) fn list_issuers() -> Operation {
    Operation::new(Area::Issuers, "listIssuers", "Read all issuers")
        .text("An issuer whose stored records cannot be used is left out.")
        .one_of_the_roles(&Role::READERS)
        .answers(ResponseDescription::json::<api::Issuers>(
            ResponseStatus::Ok,
            "The issuers.",
            json!({"issuers": [default()]}),
        ))
}

/// `GET /v1/issuers/{issuer}`.
pub(in crate::http) fn show() -> Operation {
    let operation = Operation::new(Area::Issuers, "readIssuer", "Read an issuer")
        .one_of_the_roles(&Role::READERS);
    issuer_path(operation).answers(
        ResponseDescription::json::<api::Issuer>(ResponseStatus::Ok, "The issuer.", default())
            .headers(&["ETag"]),
    )
}

/// `PUT /v1/issuers/{issuer}`.
pub(in crate::http) fn set() -> Operation {
    let warned = |status, text| ResponseDescription::json::<api::Issuer>(status, text, shop());
    let operation = Operation::new(
        Area::Issuers,
        "setIssuer",
        "Create an issuer or replace its policy",
    );
    conditional(operation)
        .text(
            "The body is the **whole** policy: a member that is left out gets its default, not its \
             present value. Two rules span members: the shortest time between two rotations is at \
             least 2 × `lead`, and the largest set that the policy can lead to has at most 100 keys \
             and 51,200 bytes. An issuer cannot be renamed. A policy that no longer asks for a second \
             person waits for one.",
        )
        .role(Role::Admin)
        .path::<api::IssuerName>("issuer", "The issuer's name.", "shop")
        .body::<api::IssuerRequest>([
                example("defaults", json!({"url": "https://id.example/shop"})),
                example("crontab", json!({
                    "url": "https://id.example/shop", "default_token_ttl": "10m",
                    "rotation": {"cron": "0 3 1 * *", "timezone": "Europe/Berlin"},
                })),
            ],
        )
        .answers(warned(ResponseStatus::Ok, "The policy was replaced.").headers(&["ETag"]))
        .answers(warned(ResponseStatus::Created, "The issuer was created.").headers(&["Location", "ETag"]))
        .answers(awaits())
        .refuses(&POLICY_REFUSALS)
        .refuses(&[
            Code::ClientLimit,
            Code::IssuerDeleted,
            Code::TooManyApprovals,
            Code::InvalidIssuerName,
            Code::IssuerUrlTaken,
            Code::TakesOverFixed,
            Code::IssuerUnusable,
        ])
        .changes()
}

fn default() -> Value {
    json!({"name": "default", "version": 5, "policy": policy("http://127.0.0.1:8080")})
}

fn shop() -> Value {
    json!({"name": "shop", "version": 1, "policy": policy("https://id.example/shop")})
}

/// A policy with every default.
pub(super) fn policy(url: &str) -> Value {
    json!({
        "url": url, "algorithms": ["ES256", "RS256"], "default_algorithm": "ES256",
        "rsa_bits": 2048, "rotation": {"every": "30d"}, "lead": "24h", "jwks_max_age": "5m",
        "stale_if_error": "1h", "default_token_ttl": "15m", "max_token_ttl": "1h",
        "clock_skew": "5m", "max_token_bytes": 4096, "confirmation": "none",
        "openid_configuration": "with-rs256", "revocation_feed": "public",
        "revocation_max_age": "1m", "status": false, "push": [],
    })
}
