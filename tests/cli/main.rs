//! The command line as people meet it: each case file holds commands and all that they answer.
//!
//! Only what works without a server is there; the commands that need one are tested against a
//! real one. `TRYCMD=overwrite cargo test --test cli` writes the answers down anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test fails by panicking, also in the functions around it, and meets real processes"
)]

mod apply;
mod check;
mod command;
mod environment;
mod first_start;
mod irreversible;
mod issuer_endpoints;
mod key_files;
mod output;
mod process;
mod reading;
mod repetition;
mod revocations;
mod search;
mod service_log;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod words;

/// The variables that the commands read.
const CLIENT_VARIABLES: [&str; 6] = [
    "KEYWRIGHT_URL",
    "KEYWRIGHT_TOKEN",
    "KEYWRIGHT_DATA_DIR",
    "KEYWRIGHT_CA",
    "KEYWRIGHT_CLIENT_CERTIFICATE",
    "KEYWRIGHT_CLIENT_KEY",
];

#[test]
fn the_command_line_answers_as_its_case_files_say() {
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .case("tests/cli/cases/*.trycmd");
}
