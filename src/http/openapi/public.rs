//! The public listener: what verifiers fetch, and the probes.

use serde_json::json;

use super::area::Area;
use super::json::{Json, array, object};
use super::operation::{Operation, ResponseDescription};
use super::schema::{answered, list, one_of, optional, pattern, reference, required, text};
use super::service::if_none_match;
use super::{algorithm, kid};
use crate::http::code::Code;
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
        ResponseDescription::of(
            ResponseStatus::Ok,
            "The key set.",
            "application/jwk-set+json",
            reference("JwkSet"),
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
        ResponseDescription::json(
            ResponseStatus::Ok,
            "OpenID Connect discovery.",
            "OpenidConfiguration",
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
        ResponseDescription::json(
            ResponseStatus::Ok,
            "RFC 8414 metadata.",
            "OauthMetadata",
            metadata,
        ),
    )
}

/// `OPTIONS` of a document: the preflight of a browser.
pub(in crate::http) fn preflight(document: &str) -> Operation {
    refusable(Operation::new(
        Area::Documents,
        format!("preflight{document}"),
        "Ask what a page may do",
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
            text("Such as `the key store does not answer`."),
        ))
}

fn plain(status: ResponseStatus, meaning: &'static str, line: &'static str) -> ResponseDescription {
    ResponseDescription::of(
        status,
        meaning,
        "text/plain; charset=utf-8",
        one_of([line], "One line."),
        line.into(),
    )
}

fn cached(operation: Operation, answer: ResponseDescription) -> Operation {
    let headers = &["ETag", "Cache-Control"];
    refusable(operation)
        .header("If-None-Match", if_none_match(), "What the caller has.")
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
    operation.of_each().path(
        "issuer_path",
        pattern("^[A-Za-z0-9._~-]+$", "The path of the issuer's URL."),
        "The path of the issuer's URL without its first slash. It may have several segments, which \
         OpenAPI cannot say.",
        "shop",
    )
}

/// The components.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let number = |description| pattern("^[A-Za-z0-9_-]+$", description);
    let jwk = answered([
        required("kty", one_of(["EC", "RSA"], "The kind of key.")),
        required("kid", kid("Its identifier.")),
        required("use", one_of(["sig"], "What it is for.")),
        required("alg", algorithm("Its one algorithm.")),
        optional("crv", one_of(["P-256"], "EC: the curve.")),
        optional("x", number("EC: a coordinate, base64url.")),
        optional("y", number("EC: a coordinate, base64url.")),
        optional("n", number("RSA: the modulus, base64url.")),
        optional("e", number("RSA: the exponent, base64url.")),
    ]);
    let keys = list(jwk, "At most 100 keys, less than 51,200 bytes.").with("maxItems", 100);
    let metadata = || {
        vec![
            required("issuer", text("The issuer's URL.")),
            required("jwks_uri", text("Where its key set is.")),
            required(
                "response_types_supported",
                list(text("A response type."), "`id_token`."),
            ),
        ]
    };
    let mut openid = metadata();
    openid.extend([
        required(
            "subject_types_supported",
            list(text("A subject type."), "`public`."),
        ),
        required(
            "id_token_signing_alg_values_supported",
            list(algorithm("An algorithm."), "What signs, or will."),
        ),
    ]);
    vec![
        ("JwkSet", answered([required("keys", keys)])),
        ("OpenidConfiguration", answered(openid)),
        ("OauthMetadata", answered(metadata())),
    ]
}

/// Where the public listener is: at an address of its own.
pub(super) fn servers() -> Json {
    let variable = object([
        ("default", ISSUER.into()),
        (
            "description",
            "The public listener's address, behind whatever proxy stands before it.".into(),
        ),
    ]);
    array([object([
        ("url", "{public}".into()),
        ("description", "The public listener.".into()),
        ("variables", object([("public", variable)])),
    ])])
}
