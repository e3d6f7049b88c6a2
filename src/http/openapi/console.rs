//! The way into the console.

use keywright_api as api;
use serde_json::json;

use super::area::Area;
use super::operation::{Operation, ResponseDescription};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

/// `POST /v1/console/links`.
pub(in crate::http) fn create_link() -> Operation {
    let link = json!({
        "path": "/console/enter?link=mXq9bTn0Zp3kV7wYc5rLhD1sFgUeAjIoKtWvBxNyQ2M",
        "expires_at": 1_795_294_735,
    });
    Operation::new(
        Area::Console,
        "createConsoleLink",
        "Make a link into the console",
    )
    .text(
        "It opens one session of the calling client within a minute. The session has the client\u{2019}s roles \
         and limits, and ends with the credential that this call is made with.",
    )
    .one_of_the_roles(&Role::ALL)
    .answers(ResponseDescription::json::<api::ConsoleLink>(
        ResponseStatus::Created,
        "The link.",
        link,
    ))
    .refuses(&[
        Code::NotFound,
        Code::ClockDoubted,
        Code::Contended,
        Code::StoreUnavailable,
        Code::StoreReplaced,
        Code::InternalError,
    ])
}
