//! The audit log, and the events that it shares with plans.

use serde_json::json;

use super::area::Area;
use super::json::{Json, array, object};
use super::operation::{Answer, Operation};
use super::schema::{
    Member, answered, flag, instant, integer, list, one_of, optional, or_null, reference, required,
    text,
};
use super::{algorithm, issuer_name, kid};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::internal::LARGEST_PAGE;
use crate::http::response::Outcome;

/// `GET /v1/audit`.
pub(in crate::http) fn list_events() -> Operation {
    let page = json!({"events": [
        {"sequence": 6, "at": 1_795_294_639, "issuer": "default", "actor": {"kind": "bootstrap"},
         "event": "key-published", "kid": "09Z58t8X-WJlSYzbaPhzinuSR5CT-0Yxy4A9NXtiYhE",
         "algorithm": "RS256", "imported": false, "ready_at": 1_795_294_640},
    ], "next": 6});
    Operation::new(Area::Audit, "readAudit", "Read the audit log")
        .text(
            "Who changed what, oldest first. Single signatures are not in the log; `/metrics` \
             counts them.",
        )
        .role(Role::Auditor)
        .query("issuer", issuer_name(), "Only this issuer's events.")
        .query(
            "after",
            integer(0, u64::MAX, "A sequence number."),
            "Only events with a larger sequence number. Default: 0.",
        )
        .query(
            "limit",
            integer(1, LARGEST_PAGE.into(), "A number of events."),
            "At most so many. Default: 100.",
        )
        .answers(Answer::json(
            Outcome::Ok,
            "A page of the log.",
            "AuditPage",
            page,
        ))
        .refuses(&[Code::UnknownIssuer, Code::StoreUnavailable])
}

/// The components.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let next = or_null(
        integer(0, u64::MAX, "A sequence number."),
        "For `after` of the next call, when the page was full; otherwise `null`.",
    );
    let page = answered([
        required("events", list(reference("AuditEvent"), "Oldest first.")),
        required("next", next),
    ]);
    vec![
        ("AuditPage", page),
        ("AuditEvent", event()),
        ("Actor", actor()),
    ]
}

fn event() -> Json {
    let words = KEY_EVENTS.into_iter().chain(OTHER_EVENTS);
    let mut members = vec![
        required("sequence", integer(0, u64::MAX, "Its number in the log.")),
        required("at", instant("When, in Unix seconds.")),
        required("event", one_of(words, "What happened.")),
        optional("issuer", issuer_name()),
        optional("actor", reference("Actor")),
        optional("reason", text("Why, if a reason was given.")),
        optional("client", text("The client's identifier.")),
        optional("name", text("The client's name.")),
        optional("roles", list(text("A role."), "The client's roles.")),
    ];
    members.extend(lifecycle());
    answered(members).with(
        "description",
        "One change. Which members it has depends on `event`; a stored record that does not read is \
         shown as `corrupt-record`.",
    )
}

const KEY_EVENTS: [&str; 7] = [
    "issuer-created",
    "policy-changed",
    "key-published",
    "key-activated",
    "key-retired",
    "key-removed",
    "key-revoked",
];

const OTHER_EVENTS: [&str; 3] = ["client-created", "client-deleted", "corrupt-record"];

/// Something that will happen to a key set, for plans.
pub(super) fn occurrence() -> Json {
    let mut members = vec![
        required("at", instant("When, in Unix seconds.")),
        required("event", one_of(KEY_EVENTS, "What will happen.")),
    ];
    members.extend(lifecycle());
    answered(members).with(
        "description",
        "Something that will happen. Which members it has depends on `event`.",
    )
}

/// The members that events of a key set have, each only some of them.
fn lifecycle() -> Vec<Member> {
    let policy = || reference("PolicyInForce");
    vec![
        optional("kid", kid("The key.")),
        optional("algorithm", algorithm("Its algorithm.")),
        optional("imported", flag("Whether another system made it.")),
        optional("ready_at", instant("When it may sign.")),
        optional(
            "forced",
            flag("Whether it began before verifiers could be sure to know it."),
        ),
        optional("published_until", instant("Until when it is published.")),
        optional("from", text("The state before it was revoked.")),
        optional(
            "tokens_until",
            instant("When the last token that it may have signed would have expired."),
        ),
        optional("policy", policy()),
        optional(
            "takes_over",
            flag("Whether the issuer continues another set."),
        ),
        optional("before", policy()),
        optional("after", policy()),
    ]
}

fn actor() -> Json {
    let kind = |word: &'static str| object([("kind", object([("const", word.into())]))]);
    let client = object([
        ("properties", kind("client")),
        ("required", array(["kind", "id", "name"])),
    ]);
    answered([
        required(
            "kind",
            one_of(["client", "scheduler", "bootstrap"], "What kind of actor."),
        ),
        optional("id", text("The client's identifier.")),
        optional("name", text("The client's name.")),
    ])
    .with("description", "Who did it.")
    .with("if", object([("properties", kind("client"))]))
    .with("then", client)
}
