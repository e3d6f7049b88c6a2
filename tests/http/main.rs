//! The HTTP contract from outside: a real process on free ports, in a folder of its own.
//!
//! `surface` holds every answer against a golden file, `bad_input` what must be refused,
//! `openapi` the description (which `document` reads), `schemathesis` what a stranger makes of it,
//! `publication` what verifiers are served, `roles` who may do what, `signing` what a token is,
//! `signing_check` whether one would be signed, `issuance` the log of tokens, `history` what is told of the past, `audit` how the log is read and
//! proved, `startup` how the process begins and ends, `declared` what it makes of files then, and `secrets` and `urls` what must never be
//! seen anywhere. `assertions` tries every way in that begins with a signature, `credentials` what
//! becomes of credentials across restarts, `hostile_claims` what a small credential can do with claims,
//! `overload` who waits when a client asks too fast, `shares` that one caller takes no more than its
//! share, `connections` that silent connections keep no other client out, `stalled_keys` that no
//! client waits long for an issuer that stalls, `health` what probes and the health report say, `metrics` that each is documented, `traces` what a collector receives, `verifiers` who has which key set, `adoption` what waits for them, `canary` which key signs a share first, and `client`
//! that the Rust client does every operation.

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
    missing_docs,
    reason = "nothing outside this target sees it"
)]

mod adoption;
mod assertions;
mod audit;
mod bad_input;
mod canary;
mod client;
mod connections;
mod credentials;
mod declared;
mod document;
mod events;
mod exchange;
mod feed;
mod health;
mod history;
mod hostile_claims;
mod issuance;
mod metrics;
mod openapi;
mod overload;
mod preconditions;
mod publication;
mod revocations;
mod roles;
mod schemathesis;
mod secrets;
mod shares;
mod signing;
mod signing_check;
mod stalled_keys;
mod startup;
mod status_lists;
#[path = "../support/mod.rs"]
mod support;
mod surface;
mod traces;
mod unix_socket;
mod urls;
mod verifiers;
mod webhooks;
mod world;
