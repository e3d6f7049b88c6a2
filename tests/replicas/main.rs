//! Several processes on one store, as several authorities in one process: each with a clock that
//! the test turns, and each round made when the test says so. What real processes do on a real
//! database is in `tests/fleet`, what every interleaving does in `tests/model`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]

mod access;
mod adoption;
mod clocks;
mod fail_over;
mod grants;
mod joining;
mod locked_file;
#[path = "../support/other_process.rs"]
mod other_process;
mod preconditions;
mod propagation;
mod revocation;
mod revocation_laws;
mod revocations;
mod rotation;
mod security_events;
mod single_use;
mod starvation;
mod status_lists;
mod tracked_tokens;
mod world;
#[path = "../support/wrapped_store.rs"]
mod wrapped_store;
