//! What every store must do, what SQLite must do beside it, and what stored records may look like.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by ending"
)]

mod conformance;
mod encryption;
mod postgres;
mod records;
mod replicas;
mod rows;
mod sqlite;
#[path = "../support/mod.rs"]
mod support;
mod tampering;
mod torn;
mod upgrade;
