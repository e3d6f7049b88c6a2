//! What goes wrong in the background: a task that panics goes on, and what is late for one issuer
//! does not make the process unready.
//!
//! A panic is injected where it happened in practice: in the engine, in the store, and in a line of
//! the log.

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

mod certificates;
mod issuers;
mod listeners;
mod log;
mod overdue;
mod paused_stream;
mod readiness;
mod tasks;
mod world;
