//! How an issuer changes, in process: what a change waits for, what happens when two come at once,
//! and what is left when its commit is slow, is lost, panics or lacks randomness.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "nothing outside this target sees it"
)]

#[path = "../access/world.rs"]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod access;
#[path = "../support/gate.rs"]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod gate;
#[path = "../access/unreliable.rs"]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod unreliable;

mod confirmation;
mod founding;
mod generation;
mod lost_answers;
#[path = "../support/other_process.rs"]
mod other_process;
mod other_processes;
mod randomness;
mod republish;
mod restart;
mod revocation;
mod slow_commit;
mod two_people;
mod world;
#[path = "../support/wrapped_store.rs"]
mod wrapped_store;
