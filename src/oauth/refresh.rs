//! What becomes of a grant's line of tokens when one of them is presented.
//!
//! Each use of the current token moves the line on by one. An answer can be lost, and two tabs can
//! renew at the same time: the token before is answered with the *same* successor again for a short
//! time ([`LONGEST_GRACE`] at most), until the successor is used. Everything else that was issued once
//! is reuse: two hold what one should hold, and the line ends (RFC 9700 §4.14.2).

use std::time::Duration;

use super::refresh_token::{GrantKey, RefreshToken, TokenHash};
use crate::lifecycle::Timestamp;

/// The `grant_type` (RFC 6749 §6).
pub const REFRESH_TOKEN: &str = "refresh_token";

/// For how long the token before may be presented again, at most.
pub const LONGEST_GRACE: Duration = Duration::from_secs(60);

/// How often one token is answered again.
pub const MOST_REPEATS: u32 = 5;

/// The tokens of a grant, as far as they are stored. There is no mark that the successor was used: the
/// use of it makes it the token before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLine {
    /// The place of the current token.
    pub number: u32,
    /// Its hash.
    pub current: TokenHash,
    /// The hash of the token before; `None` while there is none.
    pub previous: Option<TokenHash>,
    /// When the current token was issued first.
    pub rotated_at: Timestamp,
    /// How often the token before was answered again since then.
    pub repeats: u32,
}

/// The answer to a token.
#[derive(Debug)]
pub struct Renewal {
    /// What the client uses next time.
    pub successor: RefreshToken,
    /// The line afterwards.
    pub line: TokenLine,
}

/// Why a token is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefreshRefusal {
    /// It was never issued. Nothing follows from it: anyone could make it up.
    #[error("the refresh token was not issued here")]
    NeverIssued,
    /// It was used before. The grant ends.
    #[error("the refresh token was used before")]
    Reused,
    /// It was issued after everything that the store knows of: the store has lost commits, and cannot
    /// tell which tokens were used. The grant ends.
    #[error("the refresh token is ahead of what the store has of its grant")]
    Ahead,
}

impl TokenLine {
    /// A line of one token.
    pub fn begin(first: &RefreshToken, now: Timestamp) -> Self {
        Self {
            number: first.number(),
            current: first.hash(),
            previous: None,
            rotated_at: now,
            repeats: 0,
        }
    }

    /// What a token that names the grant of this line is answered with.
    ///
    /// # Errors
    /// [`RefreshRefusal`].
    pub fn renew(
        &self,
        presented: &RefreshToken,
        key: &GrantKey,
        grace: Duration,
        now: Timestamp,
    ) -> Result<Renewal, RefreshRefusal> {
        if !presented.is_of(key) {
            return Err(RefreshRefusal::NeverIssued);
        }
        let successor = presented.successor(key).ok_or(RefreshRefusal::Reused)?;
        let hash = presented.hash();
        if presented.number() >= self.number {
            // Of the same number there are two if the store went back.
            if hash != self.current {
                return Err(RefreshRefusal::Ahead);
            }
            let line = Self {
                number: successor.number(),
                current: successor.hash(),
                previous: Some(hash),
                rotated_at: now,
                repeats: 0,
            };
            return Ok(Renewal { successor, line });
        }
        let is_in_time = now.since(self.rotated_at) < grace;
        let is_previous = self.previous == Some(hash) && successor.hash() == self.current;
        if is_previous && is_in_time && self.repeats < MOST_REPEATS {
            let line = Self {
                repeats: self.repeats + 1,
                ..self.clone()
            };
            return Ok(Renewal { successor, line });
        }
        Err(RefreshRefusal::Reused)
    }
}

#[cfg(test)]
mod tests;
