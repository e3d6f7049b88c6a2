//! The processes that share the store.

use serde_json::json;

use super::area::Area;
use super::json::Json;
use super::operation::{Operation, ResponseDescription};
use super::schema::{
    answered, flag, instant, integer, list, optional, or_null, reference, required, text,
};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

/// `GET /v1/replicas`.
pub(in crate::http) fn list_replicas() -> Operation {
    let replica = json!({
        "id": "5b1f0a77c2d94e13", "host": "keywright-1", "version": "0.1.0",
        "started_at": 1_795_290_000, "seen_at": 1_795_294_674, "live": true, "through": 412,
    });
    let roll = json!({ "max_staleness": "30s", "head": 412, "replicas": [replica] });
    Operation::new(Area::Replicas, "listReplicas", "Read who shares the store")
        .text(
            "How far each process has come. On the embedded store, which one process alone uses, \
             the list is empty.",
        )
        .one_of_the_roles(&Role::READERS)
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "The processes.",
            "Replicas",
            roll,
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::StoreUnavailable,
            Code::StoreReplaced,
        ])
}

pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let number = |text| integer(0, u64::MAX, text);
    let replica = answered([
        required("id", text("Its identifier: new with each start.")),
        optional("host", text("The name of its machine.")),
        optional("version", text("Its version of keywright.")),
        optional("started_at", instant("When it began, in Unix seconds.")),
        optional(
            "master_keys",
            list(
                text("A fingerprint."),
                "The master keys that it can open with.",
            ),
        ),
        required(
            "seen_at",
            instant("When it was last heard of, by the store's clock, in Unix seconds."),
        ),
        required(
            "live",
            flag("Whether it may still sign and serve by what it said last."),
        ),
        required(
            "through",
            number("The number of the event up to which it serves every change."),
        ),
    ]);
    let replicas = answered([
        required(
            "max_staleness",
            or_null(
                text("A length of time."),
                "For how long a process goes on without asking the store; `null` without others.",
            ),
        ),
        required(
            "head",
            or_null(number("A number."), "The number of the last event."),
        ),
        required(
            "replicas",
            list(
                reference("Replica"),
                "Who has been heard of within the last hour.",
            ),
        ),
    ]);
    vec![("Replicas", replicas), ("Replica", replica)]
}
