//! Whose tokens a key has signed that are still alive.

use std::io;

use keywright_verifier::Kid;

use super::Authority;
use super::issuer::Issuer;
use crate::issuance_log::{LiveTokens, LiveTokensOf};
use crate::lifecycle::State;

/// Why live tokens are not counted.
#[derive(Debug, thiserror::Error)]
pub enum LiveTokensError {
    /// The issuer has no such key.
    #[error("there is no key {0}")]
    UnknownKey(Kid),
    /// The issuance log of this process is off, or goes to standard output.
    #[error("this process writes no issuance log to a file")]
    NoLog,
    /// The log cannot be read.
    #[error("the issuance log cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

impl Authority {
    /// Counts the live tokens of a key by client and audience in the issuance log of this process. It
    /// reads files and does not return before that.
    ///
    /// # Errors
    /// [`LiveTokensError`]: the issuer has no such key, or the log no file that can be read.
    pub fn live_tokens(&self, issuer: &Issuer, kid: &Kid) -> Result<LiveTokens, LiveTokensError> {
        let (snapshot, now) = (issuer.snapshot(), self.services.clock.read().wall);
        let unknown = || LiveTokensError::UnknownKey(kid.clone());
        let key = snapshot.set().key(kid).ok_or_else(unknown)?;
        let signed_since = match key.state() {
            State::Active(active) => active.activated_at.max(now.before(active.longest_ttl)),
            _ => key.activated_at().unwrap_or(now),
        };
        let of = LiveTokensOf {
            issuer: issuer.name().to_string(),
            kid: kid.clone(),
            signed_since,
            now,
        };
        let log = self.issuance_log().ok_or(LiveTokensError::NoLog)?;
        let counted = log.live_tokens(&of).ok_or(LiveTokensError::NoLog)?;
        Ok(counted?)
    }
}
