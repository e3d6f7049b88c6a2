//! A token that is good.

use std::fmt;
use std::time::SystemTime;

use crate::{Algorithm, Confirmation, Kid};

/// A token that is good: its header and its claims.
///
/// Its `Debug` leaves the claims out, because they are about a person.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified<C> {
    /// The header.
    pub header: Header,
    /// The claims, in the type that the caller asked for.
    pub claims: C,
    /// Up to when it is known that the token was not taken back: when the issuer said so, or when the
    /// token was signed, whichever is later. `None` when revocations are not followed, or when it is not
    /// known and no bound asks for it. A handler may ask for more than a verifier's bound: less than
    /// 5 s ago, before it moves money.
    pub vouched_at: Option<SystemTime>,
    /// What the token is bound to, and what the request has proven; `None` for a bearer token.
    pub confirmation: Option<Confirmation>,
}

impl<C> fmt::Debug for Verified<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verified")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// The header of a token that is good.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Header {
    /// What the token is signed with.
    pub algorithm: Algorithm,
    /// The key that it is signed with, by the name that the issuer's set gives it.
    pub kid: Kid,
    /// `typ`, as written.
    pub typ: Option<String>,
}
