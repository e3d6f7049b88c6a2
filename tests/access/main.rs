//! Who may have what signed, in process: limits as a table and as a property, rates, credentials,
//! what a second person confirms, schemas of earlier versions, and a clock that was wrong.
//!
//! What takes a connection, a file or a restart is in `tests/http` and `tests/tls`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a rate is measured in real time, and a comparison is timed"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "nothing outside this target sees it"
)]

#[path = "../support/gate.rs"]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod gate;
#[allow(dead_code, reason = "the target `authority` uses more of it")]
mod unreliable;

mod approvals;
mod clock;
mod corpus;
mod credentials;
mod exchange;
mod limits;
mod oracle;
mod property;
mod rates;
mod revocations;
mod stored_schemas;
mod world;
#[path = "../support/wrapped_store.rs"]
mod wrapped_store;
