//! The audit log, and the events that it shares with plans.

use serde_json::json;

use super::area::Area;
use super::json::{Json, array, object};
use super::operation::{Operation, ResponseDescription};
use super::schema::{
    Member, answered, flag, instant, integer, list, one_of, optional, or_null, pattern, reference,
    required, text,
};
use super::{algorithm, issuer_name, kid};
use crate::access::Role;
use crate::authority::audit::{KEY_EVENTS, OTHER_EVENTS};
use crate::http::code::Code;
use crate::http::internal::LARGEST_PAGE;
use crate::http::response::ResponseStatus;

const HASH: &str = "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab";

/// `GET /v1/audit`.
pub(in crate::http) fn list_events() -> Operation {
    let page = json!({"events": [
        {"sequence": 6, "hash": HASH, "at": 1_795_294_639, "issuer": "default", "actor": {"kind": "bootstrap"},
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
            "since",
            instant("Unix seconds."),
            "Only events then or later.",
        )
        .query(
            "until",
            instant("Unix seconds."),
            "Only events before then.",
        )
        .query(
            "client",
            text("A client's identifier."),
            "Only what this client did.",
        )
        .query(
            "event",
            one_of(
                KEY_EVENTS.into_iter().chain(OTHER_EVENTS),
                "An event's word.",
            ),
            "Only events of this kind.",
        )
        .query("kid", kid("A key."), "Only events of this key.")
        .query(
            "after",
            integer(0, u64::MAX, "A sequence number."),
            "Only events with a larger sequence number. Default: 0.",
        )
        .query(
            "limit",
            integer(1, LARGEST_PAGE as u64, "A number of events."),
            "At most so many. Default: 100.",
        )
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "A page of the log.",
            "AuditPage",
            page,
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::UnknownIssuer,
            Code::StoreUnavailable,
            Code::StoreReplaced,
        ])
}

/// `GET /v1/audit/export`.
pub(in crate::http) fn export() -> Operation {
    Operation::new(Area::Audit, "exportAudit", "Export the audit log")
        .text(
            "One line an event, as it stands in the hash chain: `hash` is the SHA-256 of the hash \
             before it (32 bytes, zero before the first) and the exact text of `event`. A store \
             that fails on the way cuts the answer off.",
        )
        .role(Role::Auditor)
        .query(
            "after",
            integer(0, u64::MAX, "A sequence number."),
            "Only events with a larger sequence number. Default: 0.",
        )
        .answers(ResponseDescription::text(
            ResponseStatus::Ok,
            "The log, oldest first.",
            "application/jsonl",
            text(
                "`{\"hash\":\"<64 hexadecimal digits>\",\"event\":{…}}` and a line feed, repeated.",
            ),
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::StoreUnavailable,
            Code::StoreReplaced,
        ])
}

/// `GET /v1/audit/head`.
pub(in crate::http) fn head() -> Operation {
    let head = json!({"sequence": 6, "hash": HASH});
    Operation::new(
        Area::Audit,
        "readAuditHead",
        "Read the head of the audit log",
    )
    .text("The last event's number and hash, to be kept where nobody who keeps the log can write.")
    .role(Role::Auditor)
    .answers(ResponseDescription::json(
        ResponseStatus::Ok,
        "The head.",
        "AuditHead",
        head,
    ))
    .refuses(&[
        Code::ClientLimit,
        Code::StoreUnavailable,
        Code::StoreReplaced,
    ])
}

fn hash() -> Json {
    pattern("^[0-9a-f]{64}$", "The event's hash in the chain.")
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
        (
            "AuditHead",
            answered([
                required("sequence", integer(0, u64::MAX, "The last event's number.")),
                required("hash", hash()),
            ]),
        ),
        ("AuditEvent", event()),
        ("Actor", actor()),
    ]
}

fn event() -> Json {
    let words = KEY_EVENTS.into_iter().chain(OTHER_EVENTS);
    let mut members = vec![
        required("sequence", integer(0, u64::MAX, "Its number in the log.")),
        required("hash", hash()),
        required("at", instant("When, in Unix seconds.")),
        required("event", one_of(words, "What happened.")),
        optional("issuer", issuer_name()),
        optional("actor", reference("Actor")),
        optional("confirmed_by", reference("Actor")),
        optional("reason", text("Why, if a reason was given.")),
        optional("approval", text("The identifier of what waits or waited.")),
        optional("operation", text("What waits or waited.")),
        optional(
            "by_seconds",
            integer(
                0,
                u64::MAX,
                "How far the issuer's time was ahead of the clock.",
            ),
        ),
        optional("client", text("The client's identifier.")),
        optional("credential", text("The credential's name.")),
        optional(
            "to",
            text("The fingerprint of the master key that seals from then on."),
        ),
        optional(
            "records",
            integer(0, u64::MAX, "How many private keys it seals."),
        ),
        optional(
            "expires_at",
            or_null(instant("In Unix seconds."), "When the credential ends."),
        ),
        optional(
            "previous_until",
            or_null(
                instant("In Unix seconds."),
                "When the credential before it ends.",
            ),
        ),
    ];
    members.extend(restored());
    members.extend(lifecycle());
    answered(members).with(
        "description",
        "One change. Which members it has depends on `event`; a stored record that does not read is \
         shown as `corrupt-record`.",
    )
}

/// The members of the event that says that the store came back from a backup.
fn restored() -> [Member; 6] {
    let head = || text("`SEQUENCE:HASH`.");
    [
        optional("backup_at", instant("When the backup was taken.")),
        optional("backup_head", head()),
        optional("register_at", instant("When the register was written.")),
        optional("register_head", head()),
        optional(
            "revoked",
            list(kid("A key."), "Keys that were named as revoked since."),
        ),
        optional(
            "deleted",
            list(issuer_name(), "Issuers that were named as deleted since."),
        ),
    ]
}

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
    let either = || object([("anyOf", array([policy(), reference("Terms")]))]);
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
        optional(
            "from",
            or_null(
                text("The state of a key, or the fingerprint of a master key."),
                "The state before a key was revoked, or the master key before another one, if its \
                 fingerprint is known.",
            ),
        ),
        optional(
            "tokens_until",
            instant("When the last token that it may have signed would have expired."),
        ),
        optional("policy", policy()),
        optional(
            "takes_over",
            flag("Whether the issuer continues another set."),
        ),
        optional("before", either()),
        optional("after", either()),
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
            one_of(
                ["client", "scheduler", "bootstrap", "operator"],
                "What kind of actor.",
            ),
        ),
        optional("id", text("The client's identifier.")),
        optional("name", text("The client's name.")),
        optional(
            "via",
            one_of(
                ["credential", "certificate", "assertion", "workload"],
                "How it proved who it is.",
            ),
        ),
        optional("credential", text("The credential's name.")),
        optional("sha256", text("The certificate's thumbprint.")),
        optional("jti", text("The assertion's `jti`.")),
        optional("issuer", text("The trusted issuer's name.")),
        optional("subject", text("The `sub` of the trusted issuer's token.")),
        optional("address", text("Where the connection came from.")),
        optional(
            "user",
            integer(0, u64::MAX, "The operator's user of the operating system."),
        ),
    ])
    .with("description", "Who did it.")
    .with("if", object([("properties", kind("client"))]))
    .with("then", client)
}
