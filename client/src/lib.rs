//! Calls a [keywright](https://docs.rs/keywright) service: signs tokens, rotates and revokes keys, takes tokens
//! back.
//!
//! A [`Client`] has a method for every operation of the internal API. Its name is the operation's in the
//! OpenAPI document, and what it takes and returns are the documents of [`keywright_api`]:
//!
//! ```no_run
//! use keywright_api::{IssuerName, RotateRequest};
//! use keywright_client::{Client, Credential, ServiceAddress};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let address = ServiceAddress::parse("https://keywright.internal:8081")?;
//! let credential = Credential::parse(&std::fs::read_to_string("/run/secrets/keywright")?)?;
//! let client = Client::new(&address)?.with_credential(credential);
//!
//! let issuer = IssuerName::parse("default")?;
//! let token = client.sign_token(&issuer, &serde_json::json!({"claims": {"sub": "user-1"}})).await?;
//! println!("signed by {}, expires at {}", token.kid, token.expires_at.0);
//!
//! let rotated = client.rotate(&issuer, &RotateRequest::default()).await?;
//! println!("{} keys changed hands", rotated.rotations.len());
//! # Ok(())
//! # }
//! ```
//!
//! Nothing happens before a [`Call`] is awaited. It then returns the document, or an [`Error`] that tells a
//! refusal ([`Error::Refused`]) from an operation that waits for a second person ([`Error::Awaits`]) and from
//! a service that cannot be reached.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )
)]

mod address;
mod call;
mod client;
mod connector;
mod consumption;
mod credential;
mod download;
mod error;
mod events;
mod exchange;
mod issuer_endpoint;
mod operations;
mod query;
mod signals;
mod tls;
mod token_source;

pub use address::{InvalidServiceAddress, ServiceAddress};
pub use call::{Answer, Call};
pub use client::Client;
pub use consumption::ConsumptionEndpoint;
pub use credential::{Credential, InvalidCredential};
pub use download::Download;
pub use error::{AwaitedApproval, Error, Refusal};
pub use events::Events;
pub use issuer_endpoint::InvalidEndpoint;
pub use query::{AuditFilter, RevocationFilter};
pub use signals::{GlobalRevocationEndpoint, SecurityEventEndpoint};
pub use tls::{InvalidTls, Tls};
pub use token_source::{AccessToken, InvalidIssuer, RefreshToken, TokenRequest, TokenSource};
