//! The health report.

use serde_json::json;

use super::area::Area;
use super::issuer_name;
use super::json::Json;
use super::operation::{Operation, ResponseDescription};
use super::schema::{
    answered, flag, instant, integer, list, one_of, optional, reference, required, text,
};
use crate::access::Role;
use crate::authority::IssuerFault;
use crate::http::response::ResponseStatus;
use crate::telemetry::TaskState;

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
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "The report of the process that answers.",
            "HealthReport",
            report,
        ))
}

pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let store = answered([
        required("shared", flag("Whether other processes may use it.")),
        optional(
            "answers",
            flag("Whether it answers. Absent when it is shared: then the lease says it."),
        ),
        optional(
            "answered_at",
            instant("When it was asked when it last answered, in Unix seconds; while it answers."),
        ),
        optional(
            "disk_reserve",
            flag(
                "Whether the disk space is there that is kept for revocations, rotations, \
                 deletions and backups. While it is not, nothing else is committed unless there \
                 is space for it again. Absent when the store is shared.",
            ),
        ),
    ]);
    let lease = answered([required(
        "remaining_seconds",
        integer(
            0,
            u64::MAX,
            "For how long this process may go on without reaching the store again.",
        ),
    )]);
    let issuer = answered([
        required("issuer", issuer_name()),
        required("state", one_of(IssuerFault::STATES, "Its worst fault.")),
        optional(
            "since",
            instant("Since when, in Unix seconds, if that is known."),
        ),
        required("detail", text("One sentence that says what is wrong.")),
    ]);
    let task = answered([
        required("name", text("Its name, as in the metrics.")),
        required(
            "state",
            one_of(
                TaskState::ALL.map(TaskState::as_str),
                "`restarting`: it has panicked, and starts again after a pause of up to a minute.",
            ),
        ),
        required(
            "restarts",
            integer(
                0,
                u64::MAX,
                "How often it has panicked since the process began.",
            ),
        ),
        optional(
            "last_failure_at",
            instant("When it panicked last, in Unix seconds."),
        ),
    ]);
    let report = answered([
        required(
            "ready",
            flag("Whether this process can serve, as `/readyz` says."),
        ),
        optional("reason", text("Why it cannot serve.")),
        required("store", store),
        optional("lease", lease),
        required(
            "issuer_count",
            integer(
                0,
                u64::MAX,
                "How many issuers there are, with a fault or without.",
            ),
        ),
        required(
            "issuers",
            list(
                reference("IssuerHealth"),
                "The issuers that have a fault, by name.",
            ),
        ),
        required(
            "log_lines_lost",
            integer(
                0,
                u64::MAX,
                "How many lines of the service's log could not be written since the process began.",
            ),
        ),
        required(
            "tasks",
            list(
                reference("TaskHealth"),
                "The tasks of the background, by name.",
            ),
        ),
    ]);
    vec![
        ("HealthReport", report),
        ("IssuerHealth", issuer),
        ("TaskHealth", task),
    ]
}
