//! The clock, when it was wrong.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::operation::{Operation, ResponseDescription, example};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

/// `POST /v1/clock/correct`.
pub(in crate::http) fn correct() -> Operation {
    let body = json!({"reason": "the machine came up with the time of 2027"});
    let answer = json!({"corrected": ["shop"], "now": 1_795_294_674});
    Operation::new(
        Area::Clock,
        "correctClock",
        "Say that the clock was ahead and is right now",
    )
    .text(
        "Times that the clock made too late are put back to what it would make now: a successor is \
         ready a lead from now, a retired key is published for its own retention from now, and the \
         next rotation is planned from now. No time is put off, and an issuer whose times are not \
         ahead stays as it is. Set the clock right first.\n\nThis gives up four things. Tokens that \
         were signed while the clock was ahead may outlive the publication of their key. Where an \
         earlier policy had a longer freshness or clock skew, a successor may sign while a verifier \
         still trusts a set without it. Keys that were removed because the clock was ahead stay \
         removed, and their tokens fail. Keys that were revoked meanwhile keep their times.",
    )
    .role(Role::Security)
    .body::<api::CorrectClockRequest>([example("ahead", body)])
    .answers(ResponseDescription::json::<api::ClockCorrection>(ResponseStatus::Ok, "What was put back.", answer,
    ))
    .refuses(&[Code::ClientLimit, Code::InvalidReason])
    .changes()
}
