//! The description of both listeners as an OpenAPI 3.1 document, made from the routes.
//!
//! Each route is written once, with its handler and with the function that describes it
//! (`internal::table`, `public::operations`): the router, the `Allow` header and this document come
//! from the same entry, so that no route is undocumented. What the entries say is held against
//! the running service by tests: every example is sent, every answer is checked against its
//! schema, every role tries every operation.
//!
//! The document is built from plain values. A crate that derives schemas from types would have
//! nothing to derive them from: bodies are read member by member, strictly, and answers are written
//! so. Structures that exist for the document alone would be a second truth.

mod area;
mod json;
mod operation;
mod page;
mod problem;
mod schema;

pub(super) mod approvals;
pub(super) mod audit;
pub(super) mod backups;
pub(super) mod clients;
pub(super) mod clock;
pub(super) mod health;
pub(super) mod issuers;
pub(super) mod keys;
pub(super) mod master_key;
pub(super) mod plan;
pub(super) mod public;
pub(super) mod replicas;
pub(super) mod service;
pub(super) mod tokens;

use std::collections::BTreeMap;

use axum::http::Method;
use keywright_verifier::Algorithm;

use crate::http::code::Code;
use crate::http::internal::LONGEST_REASON;
use json::{Json, array, object};
use schema::{one_of, pattern, text};

pub(super) use operation::Operation;

/// Makes the description of one operation.
pub(super) type Describe = fn() -> Operation;

/// An operation and where it is.
pub(super) struct Described {
    /// The path, with its parameters in braces.
    pub(super) path: String,
    /// The method.
    pub(super) method: Method,
    /// What it takes and answers.
    pub(super) operation: Operation,
}

/// The document of these operations.
pub(super) struct Document(Json);

const INTRODUCTION: &str = "keywright makes, rotates and publishes JWT signing keys. Its internal \
    listener signs, rotates, revokes, configures and audits; its public listener serves key sets \
    and metadata to verifying services.\n\nA body is one JSON object with `Content-Type: \
    application/json`, read strictly: an unknown member, a member that stands twice and a `null` \
    are refused. Answers may get new members; a client must ignore members that it does not know. \
    All times are Unix seconds.\n\nThe checks come in this order: credential (401), role (403), \
    path (404), body (4xx), rules (409). What takes `GET` takes `HEAD`, too; any other method is 405 \
    `method-not-allowed` with `Allow`, any other path 404 `not-found`. Send `X-Request-Id` (1 to 64 \
    characters of letters, digits, `-`, `_`, `.`) to the internal listener and it is used in the \
    answer and in the log. A request whose head is malformed gets a bare 4xx.\n\nOn 400, 404, 409, \
    412, 413 and 415 nothing has changed. After a 408, a 5xx or a broken connection the outcome of a \
    change is not known: read the state, or repeat the call.";

impl Document {
    /// Puts it together.
    pub(super) fn new(operations: &[Described]) -> Self {
        let information = object([
            ("title", "keywright".into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("description", INTRODUCTION.into()),
            (
                "license",
                object([
                    ("name", env!("CARGO_PKG_LICENSE").into()),
                    ("identifier", env!("CARGO_PKG_LICENSE").into()),
                ]),
            ),
        ]);
        let internal = object([
            ("url", "/".into()),
            (
                "description",
                "The internal listener, which serves this document.".into(),
            ),
        ]);
        Self(object([
            ("openapi", "3.1.0".into()),
            ("info", information),
            ("servers", array([internal])),
            ("tags", area::tags()),
            ("paths", paths(operations)),
            ("components", components(operations)),
        ]))
    }

    /// As JSON text, for people, too.
    pub(super) fn to_json(&self) -> String {
        // Text, numbers and lists always serialise.
        let mut text = serde_json::to_string_pretty(&self.0).unwrap_or_default();
        text.push('\n');
        text
    }

    /// As a page.
    pub(super) fn to_html(&self) -> String {
        page::render(&self.0)
    }
}

fn paths(operations: &[Described]) -> Json {
    let mut paths: Vec<(String, Json)> = Vec::new();
    for described in operations {
        let Described {
            path,
            method,
            operation,
        } = described;
        let method = method.as_str().to_ascii_lowercase();
        let shown = operation.render();
        match paths.iter_mut().find(|(other, _)| other == path) {
            Some((_, Json::Object(item))) => item.push((method, shown)),
            _ => {
                let mut item = Vec::new();
                if operation.area().is_public() {
                    item.push(("servers".to_owned(), public::servers()));
                }
                item.push((method, shown));
                paths.push((path.clone(), Json::Object(item)));
            }
        }
    }
    Json::Object(paths)
}

fn components(operations: &[Described]) -> Json {
    let credential = object([
        ("type", "http".into()),
        ("scheme", "bearer".into()),
        ("bearerFormat", "kw_<client>_<secret>".into()),
        (
            "description",
            "A client's credential, sent once and in this header only. An operation names the role \
             that the client needs."
                .into(),
        ),
    ]);
    let schemas = [
        tokens::schemas(),
        keys::schemas(),
        issuers::schemas(),
        plan::schemas(),
        clients::schemas(),
        approvals::schemas(),
        audit::schemas(),
        backups::schemas(),
        replicas::schemas(),
        health::schemas(),
        clock::schemas(),
        master_key::schemas(),
        public::schemas(),
        problem::schemas(),
    ];
    let problem_responses = operations
        .iter()
        .flat_map(|described| described.operation.problem_responses());
    let responses: BTreeMap<String, Json> = problem_responses
        .filter_map(|refusal| refusal.shared())
        .collect();
    object([
        ("securitySchemes", object([("credential", credential)])),
        ("schemas", object(schemas.into_iter().flatten())),
        ("responses", Json::Object(responses.into_iter().collect())),
        ("headers", headers()),
    ])
}

/// A header of answers: its name, what it says, and whether it is always there.
type Header = (&'static str, &'static str, bool);

const HEADERS: [Header; 14] = [
    (
        "X-Request-Id",
        "The request's id, which the service's log has. 503 `overloaded` comes without it.",
        false,
    ),
    ("Location", "Where it is.", true),
    ("WWW-Authenticate", "The challenge (RFC 6750 §3).", true),
    (
        "Retry-After",
        "After how many seconds to try again, when that is known.",
        false,
    ),
    (
        "ETag",
        "A strong entity tag: of a document over its exact bytes, of an issuer or a client for \
         `If-Match`.",
        true,
    ),
    ("Cache-Control", "How long the answer is fresh.", true),
    ("Access-Control-Allow-Origin", "`*`.", true),
    ("Allow", "The methods.", true),
    ("Access-Control-Allow-Methods", "The methods.", true),
    ("Access-Control-Allow-Headers", "`*`.", true),
    (
        "Access-Control-Max-Age",
        "For how many seconds a browser may remember it.",
        true,
    ),
    (
        "RateLimit",
        "What is left of the client's signatures, when its rate is limited.",
        false,
    ),
    (
        "RateLimit-Policy",
        "The burst and the seconds in which an empty bucket fills, when the rate is limited.",
        false,
    ),
    (
        "Content-Security-Policy",
        "What the page may load: nothing.",
        true,
    ),
];

fn headers() -> Json {
    object(HEADERS.map(|(name, description, required)| {
        let schema = object([("type", "string".into())]);
        let header = object([
            ("description", description.into()),
            ("required", required.into()),
            ("schema", schema),
        ]);
        (name, header)
    }))
}

/// One of the algorithms.
fn algorithm(description: &str) -> Json {
    one_of(Algorithm::ALL.map(Algorithm::as_str), description)
}

/// A kid, of keywright's own making or of another's.
fn kid(description: &str) -> Json {
    pattern("^[!-~]{1,256}$", description)
}

/// The caller's reason for a change.
fn reason(description: &str) -> Json {
    let form = format!("^[^\\u0000-\\u001F\\u007F-\\u009F]{{1,{LONGEST_REASON}}}$");
    pattern(&form, description)
}

/// The name of an issuer.
fn issuer_name() -> Json {
    pattern(
        "^[a-z0-9-]{1,63}$",
        "1 to 63 characters of `a-z`, `0-9` and `-`.",
    )
}

/// An operation on the issuer that the path names.
fn issuer_path(operation: Operation) -> Operation {
    operation
        .path("issuer", issuer_name(), "The issuer's name.", "default")
        .refuses(&[Code::ClientLimit, Code::UnknownIssuer, Code::IssuerUnusable])
}

/// An operation that replaces a record, on the caller's condition.
fn conditional(operation: Operation) -> Operation {
    operation
        .header(
            "If-Match",
            text("`*`, or a list of entity tags (RFC 9110 §13.1.1)."),
            "Replace it only if it exists (`*`) or has one of these entity tags now. Weak tags match \
             nothing. It is judged together with the change: of those that send one tag, one is \
             done.",
        )
        .refuses(&[Code::PreconditionFailed])
}
