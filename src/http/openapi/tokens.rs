//! Signing: one token, or up to a thousand.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::issuer_path;
use super::operation::{Operation, ResponseDescription, example};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

pub(super) const REFUSALS: [Code; 13] = [
    Code::IssuerDeleted,
    Code::RateLimited,
    Code::ClaimReserved,
    Code::ClaimType,
    Code::ClaimName,
    Code::ClaimMissing,
    Code::InvalidTyp,
    Code::TtlZero,
    Code::TtlOverMaximum,
    Code::TokenTooLarge,
    Code::UnknownAlgorithm,
    Code::AlgorithmNotActive,
    Code::SnapshotStale,
];

/// `POST /v1/issuers/{issuer}/tokens`.
pub(in crate::http) fn sign() -> Operation {
    let operation = Operation::new(Area::Tokens, "signToken", "Sign a token")
        .text(
            "The service alone sets `iss`, `iat`, `exp`, `jti` and the whole header: `alg`, `kid` \
             and `typ`, and nothing else. Nothing is stored for a token, so a call whose answer was \
             lost can be repeated.",
        )
        .role(Role::Issuer);
    let full = json!({
        "claims": {"sub": "user-1", "aud": "orders", "client_id": "web", "scope": "orders:read"},
        "expires_in": 300, "typ": "at+jwt", "alg": "ES256",
    });
    let brief = json!({"claims": {"sub": "user-1"}});
    let signed =
        ResponseDescription::json::<api::Token>(ResponseStatus::Created, "The token.", token());
    issuer_path(operation)
        .body::<api::SignRequest>([example("access-token", full), example("defaults", brief)])
        .answers(signed.headers(&["RateLimit", "RateLimit-Policy"]))
        .refuses(&REFUSALS)
        .refuses(&[
            Code::SigningBusy,
            Code::InternalError,
            Code::SingleUseUnavailable,
        ])
        .refuses(&[Code::IssuanceLogUnavailable])
}

/// `POST /v1/issuers/{issuer}/tokens/batch`.
pub(in crate::http) fn sign_batch() -> Operation {
    let operation = Operation::new(Area::Tokens, "signTokens", "Sign a batch")
        .text(
            "The answer has one entry for each request, in order: the token, or the problem that \
             the request would have got alone. The batch is not all or nothing: an entry with \
             `token` is signed, one with `code` is not. All tokens of one algorithm in one batch \
             have the same `kid`.",
        )
        .role(Role::Issuer);
    let request = json!({"requests": [
        {"claims": {"sub": "user-1"}}, {"claims": {"sub": "user-2"}, "expires_in": 7200},
    ]});
    let results = json!({"results": [token(), {
        "type": "urn:keywright:problem:ttl-over-maximum", "title": "Bad Request", "status": 400,
        "code": "ttl-over-maximum",
        "detail": "expires_in 7200 is over max_token_ttl of 3600 seconds", "maximum": 3600,
    }]});
    issuer_path(operation)
        .body::<api::BatchRequest>([example("one-of-two", request)])
        .answers(
            ResponseDescription::json::<api::BatchResults>(
                ResponseStatus::Ok,
                "A token or a problem for each request.",
                results,
            )
            .headers(&["RateLimit", "RateLimit-Policy"]),
        )
        .refuses(&[Code::IssuerDeleted, Code::BatchSize, Code::RateLimited])
}

fn token() -> serde_json::Value {
    json!({
        "token": "eyJhbGciOiJFUzI1NiIsImtpZCI6IjAxZGhO…",
        "kid": "01dhNlKGJ62dbtc91pKnKcmJnF14qjl_V9SAmExg3LY",
        "jti": "Pr58uh5bLIdCDIAmZG0NKQ", "expires_at": 1_795_294_973,
    })
}
