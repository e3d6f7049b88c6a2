//! The OAuth endpoints from outside: a real process, and the requests of OAuth clients.
//!
//! `token` holds what a token says, `errors` the table of errors row by row, `credentials` every way
//! to authenticate, `origins` which pages may call, and `metadata` what a client finds by discovery.
//! `revocation` and `introspection` are two more endpoints, `global_revocation` is that for identity providers. `event_streams`
//! are polled by receivers of security events, `event_streams_push` pushes to them, and
//! `event_stream_terms` has what they decide. `token_source` is the Rust client, and
//! `grant_source` and `exchange_source` the same with a grant and with the token of another source.
//! `grants` are opened, changed and ended on the internal API, renewed in `refresh` and, at
//! replicas that are killed, in `lines`, and counted in `grant_metrics`. `dpop` binds tokens and
//! grants to keys.
//! `exchange`, `exchange_errors`, `exchange_property`, `exchange_revocation`, `exchange_workload` and
//! `transaction` trade tokens in. `single_use` uses up tokens that count once, `single_use_replicas` at three
//! replicas that race and are killed.

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

mod credentials;
mod dpop;
mod errors;
mod event_stream_terms;
mod event_streams;
mod event_streams_push;
mod exchange;
mod exchange_errors;
mod exchange_property;
mod exchange_revocation;
mod exchange_source;
mod exchange_workload;
mod global_revocation;
mod grant_metrics;
mod grant_source;
mod grants;
mod introspection;
mod lines;
mod metadata;
mod origins;
mod refresh;
mod revocation;
mod security_events;
mod signal_replicas;
mod single_use;
mod single_use_replicas;
#[path = "../support/mod.rs"]
mod support;
mod token;
mod token_source;
mod transaction;
mod world;
