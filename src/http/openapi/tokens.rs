//! Signing: one token, or up to a thousand.

use serde_json::json;

use super::area::Area;
use super::json::{Json, array, object};
use super::operation::{Operation, ResponseDescription, example};
use super::schema::{
    accepted, answered, instant, integer, list, optional, pattern, reference, required, text,
};
use super::{algorithm, issuer_path, kid};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::internal::LARGEST_BATCH;
use crate::http::response::ResponseStatus;

const REFUSALS: [Code; 13] = [
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
    let signed = ResponseDescription::json(ResponseStatus::Created, "The token.", "Token", token());
    issuer_path(operation)
        .body(
            "SignRequest",
            [example("access-token", full), example("defaults", brief)],
        )
        .answers(signed.headers(&["RateLimit", "RateLimit-Policy"]))
        .refuses(&REFUSALS)
        .refuses(&[Code::SigningBusy, Code::InternalError])
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
        .body("BatchRequest", [example("one-of-two", request)])
        .answers(
            ResponseDescription::json(
                ResponseStatus::Ok,
                "A token or a problem for each request.",
                "BatchResults",
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

/// The components.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let request = accepted([
        required("claims", reference("Claims")),
        optional(
            "expires_in",
            integer(
                1,
                u64::MAX,
                "The lifetime in seconds, at most the policy's `max_token_ttl`. Default: the \
                 policy's `default_token_ttl`.",
            ),
        ),
        optional(
            "typ",
            pattern(
                "^[A-Za-z0-9.+/-]{1,64}$",
                "The type in the header. Default: `JWT`. An `at+jwt` (RFC 9068) needs the claims \
                 `sub`, `aud` and `client_id`.",
            ),
        ),
        optional(
            "alg",
            algorithm(
                "An algorithm with an active key. Default: the policy's `default_algorithm`.",
            ),
        ),
    ]);
    let token = answered([
        required(
            "token",
            text("The compact JWS. It is a credential: it has no place in a log."),
        ),
        required("kid", kid("The key that signed it.")),
        required("jti", text("Its identifier: 128 random bits.")),
        required("expires_at", instant("When it expires, in Unix seconds.")),
    ]);
    let requests = list(reference("SignRequest"), "What to sign.")
        .with("minItems", 1)
        .with("maxItems", LARGEST_BATCH);
    let entry = object([("anyOf", array([reference("Token"), reference("Problem")]))]);
    let results = list(entry, "One entry for each request, in order.");
    vec![
        ("SignRequest", request),
        ("Claims", claims()),
        ("Token", token),
        ("BatchRequest", accepted([required("requests", requests)])),
        ("BatchResults", answered([required("results", results)])),
    ]
}

fn claims() -> Json {
    let audience = object([
        ("description", "Who the token is for.".into()),
        (
            "anyOf",
            array([
                object([("type", "string".into())]),
                object([
                    ("type", "array".into()),
                    ("items", object([("type", "string".into())])),
                    ("minItems", 1.into()),
                ]),
            ]),
        ),
    ]);
    let owned = object([("enum", array(["iss", "iat", "exp", "jti"]))]);
    answered([
        optional("sub", text("Who the token is about.")),
        optional("aud", audience),
        optional("client_id", text("The client that asked for it.")),
        optional("scope", text("What it allows.")),
        optional(
            "nbf",
            integer(0, u64::MAX, "Not valid before, in Unix seconds."),
        ),
    ])
    .with(
        "description",
        "What is asserted; it may be empty. `iss`, `iat`, `exp` and `jti` are refused. Every other \
         claim passes as it is. A number is an integer from −2^63 to 2^64 − 1, or finite and at most \
         2^53 in magnitude; there are at most 32 levels of arrays and objects in the body.",
    )
    .with("propertyNames", object([("not", owned)]))
}
