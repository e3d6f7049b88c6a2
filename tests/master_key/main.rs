//! The master key from outside: where it comes from (`sources`), how another takes its place
//! (`rotation`, and `upgrade` for stores from before keys had names), what is done when it is lost
//! (`loss`), and what several processes on one store must agree on (`replicas`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "what is tested here is another process, which lives in real time"
)]
#![allow(
    unreachable_pub,
    reason = "the support module is shared by test targets"
)]

#[path = "../support/gate.rs"]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod gate;
mod grants;
mod loss;
mod memory;
mod replicas;
mod rotation;
mod sources;
#[path = "../support/mod.rs"]
mod support;
#[path = "../access/unreliable.rs"]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod unreliable;
mod upgrade;
mod world;
#[path = "../support/wrapped_store.rs"]
mod wrapped_store;
