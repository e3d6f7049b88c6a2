//! Where keys come from.

mod file;
#[cfg(feature = "remote")]
pub(crate) mod remote;

use std::sync::Arc;

use crate::JwkSet;
#[cfg(feature = "remote")]
use crate::RemoteKeys;

pub use file::{KeyFile, KeyFileError};

/// Where a [`Verifier`](crate::Verifier) gets an issuer's keys from.
///
/// Made with `into()` from a [`JwkSet`], a [`KeyFile`] or a `RemoteKeys`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeySource {
    /// A set that never changes: for tests, and for a single check.
    Fixed(Arc<JwkSet>),
    /// A file that is read again when it changes: for a service without a network.
    File(KeyFile),
    /// The issuer itself.
    #[cfg(feature = "remote")]
    Remote(RemoteKeys),
}

impl KeySource {
    /// The keys at hand, without waiting.
    pub(crate) fn cached(&self) -> Result<Arc<JwkSet>, KeysUnavailable> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::File(file) => Ok(file.cached()),
            #[cfg(feature = "remote")]
            Self::Remote(remote) => remote.cached(),
        }
    }

    /// The keys after the source was asked once more; `None` when it is one that is never asked.
    #[cfg_attr(
        not(feature = "remote"),
        expect(clippy::unused_async, reason = "only a remote source is waited for")
    )]
    pub(crate) async fn refetched(&self) -> Option<Result<Arc<JwkSet>, KeysUnavailable>> {
        match self {
            Self::Fixed(_) | Self::File(_) => None,
            #[cfg(feature = "remote")]
            Self::Remote(remote) => Some(remote.refetched().await),
        }
    }
}

#[cfg(all(feature = "remote", feature = "revocations"))]
impl KeySource {
    /// Like [`KeySource::refetched`], also when a source was asked a short while ago.
    pub(crate) async fn refetched_outside_cool_down(
        &self,
    ) -> Option<Result<Arc<JwkSet>, KeysUnavailable>> {
        match self {
            Self::Fixed(_) | Self::File(_) => None,
            Self::Remote(remote) => Some(remote.refetched_outside_cool_down().await),
        }
    }
}

impl From<JwkSet> for KeySource {
    fn from(keys: JwkSet) -> Self {
        Self::Fixed(Arc::new(keys))
    }
}

impl From<KeyFile> for KeySource {
    fn from(file: KeyFile) -> Self {
        Self::File(file)
    }
}

#[cfg(feature = "remote")]
impl From<RemoteKeys> for KeySource {
    fn from(remote: RemoteKeys) -> Self {
        Self::Remote(remote)
    }
}

/// There are no keys that a token could be verified with. Says nothing about the token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysUnavailable {
    /// No fetch has succeeded yet.
    #[error("the issuer's keys have not been fetched yet")]
    NeverFetched,
    /// The last set that was fetched is older than the limit for a stale one.
    #[error("the issuer's keys could not be refreshed for too long")]
    TooOld,
}
