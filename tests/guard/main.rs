//! `keywright guard` from outside: a real guard that follows a real service.
//!
//! `verdicts` asks what is accepted, `headers` what a service behind a gateway is told, `hostile` tries
//! what a client may send, `outage` takes the issuer away, `settings` refuses what cannot be meant, `page`
//! runs the examples of docs/guard.md, and `gateways` puts real nginx and real Envoy in front, as
//! docs/verifiers.md sets them up, and bans a user.

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

#[path = "../tls/authority.rs"]
mod authority;
mod bound;
#[path = "../http/exchange.rs"]
mod exchange;
mod gateways;
mod headers;
mod hostile;
mod outage;
mod page;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod verdicts;
mod world;
