//! The description of both listeners as an OpenAPI 3.1 document, made from the routes.
//!
//! Each route is written once, with its handler and with the function that describes it
//! (`internal::table`, `public::operations`): the router, the `Allow` header and this document come
//! from the same entry, so that no route is undocumented. What the entries say is held against
//! the running service by tests: every example is sent, every answer is checked against its
//! schema, every role tries every operation.
//!
//! The schemas are those of the types of `keywright-api`: what an operation takes and answers is named
//! here by its type, and never described a second time.

mod area;
mod operation;
mod page;
mod problem;

pub(super) mod approvals;
pub(super) mod audit;
pub(super) mod backups;
pub(super) mod clients;
pub(super) mod clock;
pub(super) mod console;
pub(super) mod event_streams;
pub(super) mod grants;
pub(super) mod health;
pub(super) mod issuers;
pub(super) mod keys;
pub(super) mod master_key;
pub(super) mod oauth;
pub(super) mod plan;
pub(super) mod public;
pub(super) mod replicas;
pub(super) mod revocations;
pub(super) mod service;
pub(super) mod tokens;
pub(super) mod webhooks;

use axum::http::Method;
use keywright_api as api;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::http::code::Code;
use operation::insert;

pub(super) use page::SCRIPT as PAGE_SCRIPT;
use problem::CODES;

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
pub(super) struct Document(Value);

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
        let mut generator = api::schema::generator();
        let paths = paths(operations, &mut generator);
        Self(json!({
            "openapi": "3.1.0",
            "info": {
                "title": "keywright",
                "version": env!("CARGO_PKG_VERSION"),
                "description": INTRODUCTION,
                "license": {
                    "name": env!("CARGO_PKG_LICENSE"),
                    "identifier": env!("CARGO_PKG_LICENSE"),
                },
            },
            "servers": [{
                "url": "/",
                "description": "The internal listener, which serves this document.",
            }],
            "tags": area::tags(),
            "paths": paths,
            "components": components(operations, generator),
        }))
    }

    /// As JSON text, for people, too.
    pub(super) fn to_json(&self) -> String {
        format!("{:#}\n", self.0)
    }

    /// As a page.
    pub(super) fn to_html(&self) -> String {
        page::render(&self.0)
    }
}

fn paths(operations: &[Described], generator: &mut SchemaGenerator) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for described in operations {
        let Described {
            path,
            method,
            operation,
        } = described;
        let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
        if operation.area().is_public() {
            insert(item, "servers", public::servers());
        }
        let method = method.as_str().to_ascii_lowercase();
        insert(item, &method, operation.render(generator));
    }
    paths.into()
}

fn components(operations: &[Described], mut generator: SchemaGenerator) -> Value {
    generator.subschema_for::<api::Problem>();
    generator.subschema_for::<api::OauthError>();
    generator.subschema_for::<api::SecurityEventError>();
    let mut schemas = generator.take_definitions(true);
    if let Some(problem) = schemas.get_mut("Problem") {
        insert(problem, "examples", json!([problem::example()]));
    }
    if let Some(code) = schemas.get_mut("ProblemCode") {
        insert(code, CODES, problem::codes());
    }
    let problem_responses = operations
        .iter()
        .flat_map(|described| described.operation.problem_responses());
    let responses: Map<String, Value> = problem_responses
        .filter_map(|refusal| refusal.shared())
        .collect();
    json!({
        "securitySchemes": {
            "credential": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "kw_<client>_<secret>",
                "description": "A client's credential, sent once and in this header only. An operation \
                                names the role that the client needs.",
            },
            "client": {
                "type": "http",
                "scheme": "basic",
                "description": "A client's id, and its credential as the secret (RFC 6749 §2.3.1). The \
                                body of an OAuth request can have another proof instead.",
            },
        },
        "schemas": schemas,
        "responses": responses,
        "headers": headers(),
    })
}

/// A header of answers: its name, what it says, and whether it is always there.
type Header = (&'static str, &'static str, bool);

const HEADERS: [Header; 15] = [
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
    ("Content-Language", "`en`.", true),
    (
        "Content-Security-Policy",
        "What the page may load: nothing.",
        true,
    ),
];

fn headers() -> Value {
    let headers = HEADERS.map(|(name, description, required)| {
        let header = json!({
            "description": description,
            "required": required,
            "schema": {"type": "string"},
        });
        (name.to_owned(), header)
    });
    Map::from_iter(headers).into()
}

/// An operation on the issuer that the path names.
fn issuer_path(operation: Operation) -> Operation {
    operation
        .path::<api::IssuerName>("issuer", "The issuer's name.", "default")
        .refuses(&[Code::ClientLimit, Code::UnknownIssuer, Code::IssuerUnusable])
}

/// An operation that replaces a record, on the caller's condition.
fn conditional(operation: Operation) -> Operation {
    operation
        .header(
            "If-Match",
            "`*`, or a list of entity tags (RFC 9110 §13.1.1). Replace it only if it exists (`*`) or has one of these entity tags now. Weak tags match \
             nothing. It is judged together with the change: of those that send one tag, one is \
             done.",
        )
        .refuses(&[Code::PreconditionFailed])
}
