//! Two listeners: `public` for verifiers, `internal` for everyone who signs, rotates and audits.
//!
//! This is the only place that knows HTTP, and `response` the only file with status codes.
//! Nothing that is answered derives from the `Host` header.

mod authentication;
mod body;
mod code;
mod connection;
mod guard;
mod internal;
mod openapi;
mod problem;
mod public;
mod renewal;
mod response;
mod server;
mod shown;
mod tls;

pub use connection::Peer;
pub use guard::{Guarded, RequestLimits};
pub use internal::router as internal_router;
pub use public::Public;
pub use renewal::{Certificates, Renewal};
pub use server::{Answers, Limits, Listener, Socket, serve};
pub use tls::{ClientRoots, Demand, TlsError, TlsFiles};
