//! Two listeners: `public` for verifiers, `internal` for everyone who signs, rotates and audits.
//!
//! This is the only place that knows HTTP, and `response` the only file with status codes.
//! Nothing that is answered derives from the `Host` header.

mod authentication;
mod body;
mod code;
mod guard;
mod internal;
mod openapi;
mod public;
mod response;
mod server;
mod shown;

pub use guard::Guarded;
pub use internal::router as internal_router;
pub use public::Public;
pub use server::{Answers, Listener, serve};
