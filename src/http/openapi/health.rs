//! The health report.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::operation::{Operation, ResponseDescription};
use crate::access::Role;
use crate::http::response::ResponseStatus;

/// `GET /v1/health`.
pub(in crate::http) fn report() -> Operation {
    let report = json!({
        "ready": true,
        "store": { "shared": false, "answers": true, "answered_at": 1_795_294_674, "disk_reserve": true },
        "issuer_count": 2,
        "issuers": [{
            "issuer": "shop", "state": "rotation-overdue", "since": 1_795_290_000,
            "detail": "the rotation of the ES256 key is overdue",
        }],
        "log_lines_lost": 0,
        "tasks": [{
            "name": "scheduler", "state": "running", "restarts": 1,
            "last_failure_at": 1_795_290_000,
        }],
    });
    Operation::new(Area::Health, "readHealthReport", "Read the health report")
        .text(
            "Whether this process can serve, which issuers have a fault, and how the tasks of the \
             background are doing. What is wrong with one issuer does not make the process unready. \
             A client that is limited to issuers reads of those alone.",
        )
        .one_of_the_roles(&Role::READERS)
        .answers(ResponseDescription::json::<api::HealthReport>(ResponseStatus::Ok, "The report of the process that answers.", report,
        ))
}
