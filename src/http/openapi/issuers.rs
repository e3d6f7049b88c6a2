//! Issuers and their policies.

use serde_json::{Value, json};

use super::approvals::awaits;
use super::area::Area;
use super::json::{Json, array, object};
use super::operation::{Operation, ResponseDescription, example};
use super::schema::{
    Member, accepted, answered, duration, flag, instant, integer, list, one_of, optional, pattern,
    reference, required, text,
};
use super::{algorithm, conditional, issuer_name, issuer_path};
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
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "The issuers.",
            "Issuers",
            json!({"issuers": [default()]}),
        ))
}

/// `GET /v1/issuers/{issuer}`.
pub(in crate::http) fn show() -> Operation {
    let operation = Operation::new(Area::Issuers, "readIssuer", "Read an issuer")
        .one_of_the_roles(&Role::READERS);
    issuer_path(operation).answers(
        ResponseDescription::json(ResponseStatus::Ok, "The issuer.", "Issuer", default())
            .headers(&["ETag"]),
    )
}

/// `PUT /v1/issuers/{issuer}`.
pub(in crate::http) fn set() -> Operation {
    let warned = |status, text| ResponseDescription::json(status, text, "Issuer", shop());
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
        .path("issuer", issuer_name(), "The issuer's name.", "shop")
        .body(
            "IssuerRequest",
            [
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
    })
}

/// The members of a policy. Only `url` must be sent; all of them are answered.
fn members() -> Vec<Member> {
    let algorithms = list(algorithm("An algorithm."), "Default: `ES256` and `RS256`.")
        .with("minItems", 1)
        .with("uniqueItems", true);
    let bits = object([
        ("type", "integer".into()),
        (
            "description",
            "The size of RSA keys that are made from now on. Default: 2048.".into(),
        ),
        ("enum", array([2048, 3072, 4096])),
    ]);
    vec![
        required("url", url()),
        optional("algorithms", algorithms),
        optional(
            "default_algorithm",
            algorithm("One of `algorithms`, with an active key. Default: the first of them."),
        ),
        optional("rsa_bits", bits),
        optional("rotation", reference("Rotation")),
        optional(
            "lead",
            duration(
                "How long a key is published before it signs: at least `jwks_max_age` + \
                 `stale_if_error` + `clock_skew`. Default: `24h`.",
            ),
        ),
        optional(
            "jwks_max_age",
            duration("How long a served set is fresh, at least `1s`. Default: `5m`."),
        ),
        optional(
            "stale_if_error",
            duration(
                "How long a cache may serve a stale set in an outage. Default: `1h`; `0s` leaves \
                 the directive out.",
            ),
        ),
        optional(
            "default_token_ttl",
            duration("The lifetime of a token that names none, at least `1s`. Default: `15m`."),
        ),
        optional(
            "max_token_ttl",
            duration("The longest lifetime, at least `default_token_ttl`. Default: `1h`."),
        ),
        optional(
            "clock_skew",
            duration("How far clocks may disagree. Default: `5m`."),
        ),
        optional(
            "max_token_bytes",
            integer(512, 65_536, "The largest token. Default: 4096."),
        ),
        optional(
            "confirmation",
            one_of(
                ["none", "second-person"],
                "Whether a forced rotation, a revocation that puts a key to work which verifiers \
                 may not know, the deletion of the issuer and taking this back need a second client \
                 with the role `security`. Default: `none`.",
            ),
        ),
    ]
}

fn url() -> Json {
    pattern(
        "^https?://[^?#@]+$",
        "The `iss` claim, byte for byte, in its normal form. `https`, or `http` on a loopback host; \
         no query, fragment or user; the path has segments of letters, digits and `._~-`, and tells \
         issuers apart. Fixed once the issuer exists.",
    )
    .with("maxLength", 512)
}

/// The components.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let issuer = answered([
        required("name", issuer_name()),
        required(
            "version",
            integer(0, u64::MAX, "Counts the changes of the key set."),
        ),
        required("policy", reference("PolicyInForce")),
        optional("deleted_at", instant("When it was deleted, if it was.")),
        optional(
            "warnings",
            list(
                text("A sentence."),
                "Why a policy that is legal would make verifiers in common use trip. Only in the \
                 answer to a PUT.",
            ),
        ),
    ]);
    let mut request = members();
    request.push(optional(
        "takes_over",
        flag(
            "Only when the issuer is created: it continues another system's key set. Not a part of \
             the policy that is read back. Default: `false`.",
        ),
    ));
    let listed = list(reference("Issuer"), "The issuers.");
    let whole = members().into_iter().map(Member::always);
    vec![
        ("Issuers", answered([required("issuers", listed)])),
        ("Issuer", issuer),
        (
            "IssuerRequest",
            accepted(request).with("description", "A policy, and how the issuer begins."),
        ),
        ("Policy", accepted(members())),
        (
            "PolicyInForce",
            answered(whole).with("description", "A policy with all its members."),
        ),
        ("Rotation", rotation()),
    ]
}

fn rotation() -> Json {
    let interval = accepted([required(
        "every",
        duration("The time between two rotations."),
    )]);
    let crontab = accepted([
        required("cron", text("Five crontab fields, such as `0 3 1 * *`.")),
        optional("timezone", text("An IANA name. Default: `UTC`.")),
    ]);
    object([
        ("type", "object".into()),
        (
            "description",
            "When keys rotate: at an interval, or by a crontab line in a time zone. Default: every \
             `30d`."
                .into(),
        ),
        ("oneOf", array([interval, crontab])),
    ])
}
