//! Connections from outside: TLS on both listeners, certificates of callers, renewal under load,
//! and clients that take their time.
//!
//! Certificates are made by each test. `openssl` is asked for a second opinion where it is there.

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
    dead_code,
    reason = "nothing outside this target sees it, and it shares modules with others"
)]

mod authority;
mod callers;
mod client;
mod collector;
#[path = "../http/exchange.rs"]
mod exchange;
mod handshake;
mod mtls;
mod openssl;
mod renewal;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod timeouts;
mod webhooks;
