//! Backups, the register, restores and copies: from the bytes of a file to drills with real
//! processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, also in the functions around it, and meets real processes"
)]

mod copy;
mod drills;
mod ends;
mod file;
mod grants;
mod refusals;
mod single_use;
mod site;
mod status_lists;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/wrapped_store.rs"]
mod wrapped_store;
