//! The processes that share the store.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::operation::{Operation, ResponseDescription};
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
        .answers(ResponseDescription::json::<api::Replicas>(
            ResponseStatus::Ok,
            "The processes.",
            roll,
        ))
        .refuses(&[
            Code::ClientLimit,
            Code::StoreUnavailable,
            Code::StoreReplaced,
        ])
}
