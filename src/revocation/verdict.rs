//! What revocations say of a token that is about to be signed.

use super::{Revocation, State};
use crate::lifecycle::Timestamp;

/// Whether a token may be signed, as far as revocations say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningVerdict {
    /// No revocation takes it back.
    Allowed,
    /// Verifiers would refuse it: the revocation is still open, or its bound lies ahead, at this Unix
    /// second. It may be signed soon.
    Settling(Option<u64>),
    /// It must not be signed.
    Banned,
}

impl SigningVerdict {
    /// What one matching revocation says of a token with this `iat`, at `now`.
    pub fn of(revocation: &Revocation, issued_at: u64, now: Timestamp) -> Self {
        if revocation.ban.is_some_and(|ban| ban.holds(now)) {
            return Self::Banned;
        }
        match revocation.state {
            State::Open => Self::Settling(None),
            State::Closed { issued_before, .. } if issued_at < issued_before => {
                Self::Settling(Some(issued_before))
            }
            State::Closed { .. } => Self::Allowed,
        }
    }

    /// What two revocations say together: the harder of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Banned, _) | (_, Self::Banned) => Self::Banned,
            (Self::Allowed, verdict) | (verdict, Self::Allowed) => verdict,
            (Self::Settling(one), Self::Settling(other)) => {
                Self::Settling(one.zip(other).map(|(one, other)| one.max(other)))
            }
        }
    }
}
