//! The coming life of an issuer's keys.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::issuer_path;
use super::issuers::POLICY_REFUSALS;
use super::operation::{Operation, ResponseDescription, example};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::internal::PlanQuery;
use crate::http::response::ResponseStatus;

/// `GET /v1/issuers/{issuer}/plan`.
pub(in crate::http) fn show() -> Operation {
    let operation = Operation::new(Area::Plan, "readPlan", "Read the plan")
        .text(
            "What will happen to the keys by itself, at most about 1,000 occurrences. Keys that do \
             not exist yet are called `next-ES256-1` and so on.",
        )
        .one_of_the_roles(&Role::READERS);
    planned(operation)
}

/// `POST /v1/issuers/{issuer}/plan`.
pub(in crate::http) fn preview() -> Operation {
    let operation = Operation::new(Area::Plan, "previewPlan", "Preview another policy")
        .text("The plan under the policy of the body. Nothing is set and nothing is stored.")
        .one_of_the_roles(&Role::READERS);
    let body = json!({"url": "http://127.0.0.1:8080", "rotation": {"every": "60d"}});
    planned(operation)
        .body::<api::Policy>([example("slower", body)])
        .refuses(&POLICY_REFUSALS)
}

fn planned(operation: Operation) -> Operation {
    let plan = json!({"now": 1_795_294_675, "until": 1_803_070_675, "warnings": [], "waiting": [], "occurrences": [
        {"at": 1_800_392_275, "event": "key-published", "kid": "next-ES256-1",
         "algorithm": "ES256", "imported": false, "ready_at": 1_800_478_675},
        {"at": 1_800_478_675, "event": "key-activated",
         "kid": "YyERwHgpx1C8tFui8BBhRoiwR_hLDMOGJGGrHCOEFw8", "algorithm": "ES256",
         "imported": false, "forced": false},
    ]});
    issuer_path(operation)
        .query::<PlanQuery>()
        .answers(ResponseDescription::json::<api::Plan>(
            ResponseStatus::Ok,
            "The plan.",
            plan,
        ))
        .refuses(&[Code::NoSuccessor, Code::IssuerDeleted])
}
