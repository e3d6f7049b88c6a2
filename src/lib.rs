//! keywright makes, rotates and publishes the asymmetric keys behind JSON Web Tokens.
//!
//! This library is the service itself; the binary only calls [`cli::run`]. A change takes one way:
//!
//! ```text
//! http, scheduler  →  authority: lock, stamp  →  lifecycle: decide  →  store: commit  →  install  →  answer
//!                          ↘ engine: generate the keys that are still wanted, for the next change
//! ```
//!
//! A commit is a batch of records and events, on the tokens that the change was decided on.
//! `docs/architecture.md` is the map.

pub mod access;
pub mod authority;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod data_folder;
pub mod declared;
mod disk;
pub mod engine;
pub mod event_stream;
pub mod guard;
pub mod http;
pub mod issuance_log;
pub mod lifecycle;
pub mod master_key;
pub mod oauth;
mod outgoing;
pub mod printable;
pub mod push;
pub mod revocation;
pub mod service;
pub mod spelling;
pub mod store;
pub mod stored_document;
pub mod supervision;
pub mod telemetry;
pub mod webhook;
pub mod wiped_stack;
