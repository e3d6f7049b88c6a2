//! The public listener: what verifiers fetch, and the probes.

use keywright_api as api;
use keywright_verifier::status_list::STATUS_LIST_MEDIA_TYPE;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::area::Area;
use super::operation::{Operation, ResponseDescription};
use super::service::IF_NONE_MATCH;
use crate::event_stream;
use crate::http::code::Code;
use crate::http::public::FeedQuery;
use crate::http::response::ResponseStatus;

const ISSUER: &str = "http://127.0.0.1:8080";

/// `GET …/.well-known/jwks.json`.
pub(in crate::http) fn jwks() -> Operation {
    let set = json!({"keys": [
        {"kty": "EC", "kid": "01dhNlKGJ62dbtc91pKnKcmJnF14qjl_V9SAmExg3LY", "use": "sig",
         "alg": "ES256", "crv": "P-256", "x": "vgBQvZIpTFy9T-zltAVAe_59oeoNtMSjSs8ZTH34E64",
         "y": "94fk34TKo8e9svafXymyXcdmkXtI-nDe7Lgj7ZJuzuo"},
    ]});
    cached(
        Operation::new(Area::Documents, "readKeySet", "Read the key set").text(
            "The pending, active and retired keys of one issuer. Nothing in the set tells which \
             key signs: take the key whose `kid` stands in the token's header.",
        ),
        ResponseDescription::of::<api::JwkSet>(
            ResponseStatus::Ok,
            "The key set.",
            "application/jwk-set+json",
            set,
        ),
    )
}

/// `GET …/.well-known/openid-configuration`.
pub(in crate::http) fn openid_configuration() -> Operation {
    let metadata = json!({
        "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256"],
    });
    cached(
        Operation::new(
            Area::Documents,
            "readOpenidConfiguration",
            "Read the OpenID configuration",
        )
        .text("There is none while the set has no RS256 key."),
        ResponseDescription::json::<api::OpenidConfiguration>(
            ResponseStatus::Ok,
            "OpenID Connect discovery.",
            metadata,
        ),
    )
}

/// `GET /.well-known/oauth-authorization-server…`.
pub(in crate::http) fn oauth_metadata() -> Operation {
    let metadata = json!({
        "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
        "response_types_supported": ["id_token"],
    });
    cached(
        Operation::new(
            Area::Documents,
            "readOauthMetadata",
            "Read the OAuth metadata",
        ),
        ResponseDescription::json::<api::OauthMetadata>(
            ResponseStatus::Ok,
            "RFC 8414 metadata.",
            metadata,
        ),
    )
}

/// `GET /.well-known/ssf-configuration…`.
pub(in crate::http) fn ssf_configuration() -> Operation {
    let configuration =
        event_stream::configuration(ISSUER, format!("{ISSUER}/.well-known/jwks.json"));
    cached(
        Operation::new(
            Area::Documents,
            "readSsfConfiguration",
            "Read the configuration of security events",
        )
        .text(
            "Where receivers of security events have their streams (Shared Signals Framework 1.0 §7), if \
             `oauth.enabled`.",
        ),
        ResponseDescription::json::<api::SsfConfiguration>(
            ResponseStatus::Ok,
            "The transmitter's configuration.",
            json!(configuration),
        ),
    )
}

/// `GET …/.well-known/revocations`.
pub(in crate::http) fn revocations() -> Operation {
    Operation::new(
        Area::Documents,
        "readRevocations",
        "Read what was taken back",
    )
    .text(
        "The head of the feed: a compact JWS of type `keywright-revocations+jwt`, always newly \
         signed. A crate for Rust and recipes for other languages follow it. Where the policy has \
         `revocation_feed` as `authenticated`, it takes the credential of any client; as `off`, \
         there is none.",
    )
    .query::<FeedQuery>()
    .answers(
        ResponseDescription::text(
            ResponseStatus::Ok,
            "The head.",
            "application/keywright-revocations+jwt",
            "A compact JWS.",
        )
        .headers(&["Cache-Control"]),
    )
    .refuses(&[
        Code::NotFound,
        Code::InvalidQuery,
        Code::UnknownAlgorithm,
        Code::AlgorithmNotActive,
        Code::RevocationsUnavailable,
        Code::IssuerUnusable,
        Code::CredentialMissing,
        Code::CredentialInvalid,
        Code::ClientLimit,
    ])
}

/// `GET …/.well-known/revocations/{hash}`.
pub(in crate::http) fn segment() -> Operation {
    let operation = Operation::new(
        Area::Documents,
        "readRevocationSegment",
        "Read older revocations",
    )
    .text("A segment that a head names: records of 24 bytes. It never changes.")
    .answers(
        ResponseDescription::text(
            ResponseStatus::Ok,
            "The records.",
            "application/octet-stream",
            "Records of 24 bytes.",
        )
        .headers(&["Cache-Control"]),
    )
    .refuses(&[
        Code::NotFound,
        Code::IssuerUnusable,
        Code::CredentialMissing,
        Code::CredentialInvalid,
        Code::ClientLimit,
    ]);
    segment_path(operation)
}

/// `GET …/status`.
pub(in crate::http) fn status_lists() -> Operation {
    let lists = json!({"status_lists": [format!("{ISSUER}/status/3q2-7wAHnX8mQkF1c3RvbQ")]});
    refusable(Operation::new(
        Area::Documents,
        "readStatusLists",
        "Read where the status lists are",
    ))
    .text("For a verifier that fetches all of them ahead (Token Status List, draft 21, §9).")
    .answers(
        ResponseDescription::json::<api::StatusLists>(
            ResponseStatus::Ok,
            "The addresses of the lists of which a token may be valid.",
            lists,
        )
        .headers(&["Cache-Control"]),
    )
    .refuses(&[Code::StoreUnavailable])
}

/// `GET …/status/{list}`.
pub(in crate::http) fn status_list() -> Operation {
    let operation = refusable(Operation::new(
        Area::Documents,
        "readStatusList",
        "Read a status list",
    ))
    .text(
        "A compact JWS of type `statuslist+jwt` (Token Status List, draft 21): one bit for each of 2^20 \
         tokens, which is 1 where the token was taken back. It is signed by the key that signs tokens by \
         default, counts for a minute, and is to be fetched again after 5 seconds (`ttl`).",
    )
    .answers(
        ResponseDescription::text(
            ResponseStatus::Ok,
            "The list.",
            STATUS_LIST_MEDIA_TYPE,
            "A compact JWS.",
        )
        .headers(&["Cache-Control"]),
    )
    .refuses(&[
        Code::InvalidQuery,
        Code::NoStatusHistory,
        Code::AlgorithmNotActive,
        Code::RevocationsUnavailable,
    ]);
    status_list_path(operation)
}

/// The address of a list in the path.
pub(in crate::http) fn status_list_path(operation: Operation) -> Operation {
    operation.path::<StatusListAddress>(
        "list",
        "The last part of the list's address, as tokens and the aggregation have it.",
        "3q2-7wAHnX8mQkF1c3RvbQ",
    )
}

/// The last part of a list's address.
#[derive(JsonSchema)]
#[schemars(inline, extend("pattern" = "^[A-Za-z0-9_-]{22}$"))]
struct StatusListAddress(#[expect(dead_code, reason = "it describes text of a path")] String);

/// The hash of a segment in the path.
pub(in crate::http) fn segment_path(operation: Operation) -> Operation {
    operation.path::<SegmentHash>(
        "hash",
        "The SHA-256 of the segment, in base64url.",
        "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
    )
}

/// The name of a segment.
#[derive(JsonSchema)]
#[schemars(inline, extend("pattern" = "^[A-Za-z0-9_-]{43}$"))]
struct SegmentHash(#[expect(dead_code, reason = "it describes text of a path")] String);

/// `OPTIONS` of a document: the preflight of a browser.
pub(in crate::http) fn preflight(document: &str) -> Operation {
    refusable(Operation::new(
        Area::Documents,
        format!("preflight{document}"),
        format!("Preflight of {document}"),
    ))
    .answers(
        ResponseDescription::empty(ResponseStatus::NoContent, "Read it.").headers(&[
            "Allow",
            "Access-Control-Allow-Methods",
            "Access-Control-Allow-Headers",
            "Access-Control-Max-Age",
        ]),
    )
}

/// `GET /healthz`.
pub(in crate::http) fn health() -> Operation {
    Operation::new(Area::Probes, "readHealth", "Is it alive?").answers(plain(
        ResponseStatus::Ok,
        "The process answers.",
        "alive\n",
    ))
}

/// `GET /readyz`.
pub(in crate::http) fn readiness() -> Operation {
    Operation::new(Area::Probes, "readReadiness", "Is it ready?")
        .text(
            "Whether this process can serve. What is late or missing for one issuer stands in the \
             health report on the internal listener, and does not count here.",
        )
        .answers(plain(
            ResponseStatus::Ok,
            "This process can serve.",
            "ready\n",
        ))
        .answers(ResponseDescription::text(
            ResponseStatus::Unready,
            "One line that says why not.",
            "text/plain; charset=utf-8",
            "Such as `the key store does not answer`.",
        ))
}

fn plain(status: ResponseStatus, meaning: &'static str, line: &'static str) -> ResponseDescription {
    let media_type = "text/plain; charset=utf-8";
    ResponseDescription::text(status, meaning, media_type, "One line.").example(line)
}

fn cached(operation: Operation, answer: ResponseDescription) -> Operation {
    let headers = &["ETag", "Cache-Control"];
    refusable(operation)
        .header("If-None-Match", IF_NONE_MATCH)
        .answers(answer.headers(headers))
        .answers(
            ResponseDescription::empty(
                ResponseStatus::NotModified,
                "What the caller has is current.",
            )
            .headers(headers),
        )
}

fn refusable(operation: Operation) -> Operation {
    operation.refuses(&[Code::NotFound, Code::IssuerUnusable])
}

/// The path of an issuer's URL, for documents of issuers that have one.
pub(in crate::http) fn with_issuer_path(operation: Operation) -> Operation {
    operation.of_each().path::<IssuerPath>(
        "issuer_path",
        "The path of the issuer's URL without its first slash. It may have several segments, which \
         OpenAPI cannot say.",
        "shop",
    )
}

/// The path of an issuer's URL.
#[derive(JsonSchema)]
#[schemars(inline, extend("pattern" = "^[A-Za-z0-9._~-]+$"))]
struct IssuerPath(#[expect(dead_code, reason = "it describes text of a path")] String);

/// Where the public listener is: at an address of its own.
pub(super) fn servers() -> Value {
    json!([{
        "url": "{public}",
        "description": "The public listener.",
        "variables": {"public": {
            "default": ISSUER,
            "description":
                "The public listener's address, behind whatever proxy stands before it.",
        }},
    }])
}
