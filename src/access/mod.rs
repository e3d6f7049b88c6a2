//! Who may call, and what they may have signed: the pure core of access.
//!
//! A client is known by one of three proofs (a bearer credential, a TLS certificate, a signed
//! assertion), has roles that say which calls it may make, and limits that say what the tokens may
//! assert that it asks for. Nothing here reads a clock, a file or the network; the living
//! directory of clients is in [`crate::authority`].

pub mod approval;
pub mod certificate;
pub mod claim_name;
pub mod client;
pub mod credential;
mod document;
pub mod limits;
pub mod pattern;
pub mod precondition;
pub mod record;
pub mod session;
pub mod workload;

pub use client::{Client, Terms};
pub use document::TermsError;
pub use keywright_api::Role;
pub use limits::{Asked, LimitBroken, Limits, is_same_type};
pub use precondition::Precondition;
