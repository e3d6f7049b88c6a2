//! The audit log, and the events that it shares with plans.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::operation::{Operation, ResponseDescription};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::internal::{AuditQuery, EventsQuery, ExportQuery};
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
        .query::<AuditQuery>()
        .answers(ResponseDescription::json::<api::AuditPage>(
            ResponseStatus::Ok,
            "A page of the log.",
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
        .query::<ExportQuery>()
        .answers(ResponseDescription::text(
            ResponseStatus::Ok,
            "The log, oldest first.",
            "application/jsonl",
            "`{\"hash\":\"<64 hexadecimal digits>\",\"event\":{…}}` and a line feed, repeated.",
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::StoreUnavailable,
            Code::StoreReplaced,
        ])
}

/// `GET /v1/events`.
pub(in crate::http) fn follow_events() -> Operation {
    Operation::new(Area::Audit, "followEvents", "Follow the audit log")
        .text(
            "The audit log as it grows, as server-sent events (`text/event-stream`). The `id` of each is its \
             sequence number, its `data` what `GET /v1/audit` shows of it. A client that was cut off sends the \
             last one in `Last-Event-ID` and misses nothing. A comment comes every 15 seconds while \
             nothing happens. The stream ends after an hour or `max_seconds`, when the client is changed or its credential \
             ends, when the service ends, and when the log has lost events.",
        )
        .role(Role::Auditor)
        .header(
            "Last-Event-ID",
            "The sequence number of the last event that was seen. It stands above `after`.",
        )
        .query::<EventsQuery>()
        .answers(ResponseDescription::text(
            ResponseStatus::Ok,
            "The events, until the stream ends.",
            "text/event-stream",
            "`id: <sequence>`, `data: {…}` and an empty line, repeated.",
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::UnknownIssuer,
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
    .text(
        "The last event's number and hash, to be kept where the operators of the log cannot write.",
    )
    .role(Role::Auditor)
    .answers(ResponseDescription::json::<api::AuditHead>(
        ResponseStatus::Ok,
        "The head.",
        head,
    ))
    .refuses(&[
        Code::ClientLimit,
        Code::StoreUnavailable,
        Code::StoreReplaced,
    ])
}
