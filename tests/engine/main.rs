//! Keys that are made, brought in and signed with, judged by verifiers that did not make them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by ending"
)]

mod import;
mod key_files;
mod keys;
mod queue;
mod reserve;
mod rsa_libraries;
mod signing;
