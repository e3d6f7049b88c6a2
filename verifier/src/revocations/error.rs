//! Why revocations cannot be followed, or no newer ones are in force.

use std::io;
use std::path::PathBuf;

use crate::keys::KeysUnavailable;
use crate::revocation::{InvalidHead, InvalidRevocationDocument, SegmentMismatch};
#[cfg(feature = "remote")]
use crate::{FetchError, InvalidAddress, RemoteKeysError};
use crate::{JwsError, VerifyError};

/// Why an issuer's revocations cannot be followed with these settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRevocations {
    /// They are another issuer's than the one whose rules were given last.
    #[error("these are the revocations of \"{issuer}\", which is not the issuer of the rules")]
    OtherIssuer {
        /// Whose they are.
        issuer: String,
    },
    /// The issuer's revocations are followed already.
    #[error("the revocations of \"{issuer}\" are followed already")]
    Duplicate {
        /// The issuer.
        issuer: String,
    },
    /// Within a bound of zero no token is accepted.
    #[error("the bound must be longer than zero")]
    Bound,
    /// The feed cannot be followed: an address that is refused, a timeout of zero, no tokio runtime, or
    /// no trusted certificates.
    #[cfg(feature = "remote")]
    #[error(transparent)]
    Remote(#[from] RemoteKeysError),
}

#[cfg(feature = "remote")]
impl From<InvalidAddress> for InvalidRevocations {
    fn from(error: InvalidAddress) -> Self {
        Self::Remote(error.into())
    }
}

/// Why no newer revocations are in force. Those that were known stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationsError {
    /// There are no keys that a head could be verified with.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
    /// The head is no token, or its signature cannot be trusted: its key may have been revoked.
    #[error("the head of the revocations is not accepted")]
    Token(#[from] JwsError),
    /// `typ` of the head is that of another kind of token.
    #[error("the token is no head of revocations of this kind")]
    OtherType,
    /// The head is another issuer's.
    #[error("the head comes from another issuer")]
    OtherIssuer,
    /// The head belongs to another address.
    #[error("the head belongs to another address")]
    OtherFeed,
    /// The claims are no head.
    #[error(transparent)]
    Head(#[from] InvalidHead),
    /// `iat` of the head lies in the future.
    #[error("the head comes from the future; one of the clocks is wrong")]
    FromTheFuture,
    /// The head is older than the one that is known. It may have been replayed, or come from a replica
    /// that lags.
    #[error("the head is older than one that is known")]
    Older,
    /// The head does not have the nonce of the request, so that it may be from any time.
    #[error("the head was not signed for this request")]
    OtherNonce,
    /// More is revoked than this verifier holds.
    #[error("{count} revoked tokens and names are more than {max_records}")]
    TooManyRecords {
        /// How many records the head names.
        count: u64,
        /// How many are held at most.
        max_records: u64,
    },
    /// A segment is missing or another one.
    #[error(transparent)]
    Segment(#[from] SegmentMismatch),
    /// Nothing could be fetched.
    #[cfg(feature = "remote")]
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// `revocations_uri` of the metadata is at another origin than the issuer.
    #[cfg(feature = "remote")]
    #[error("revocations_uri of the metadata is not at the issuer")]
    OtherOrigin,
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is a folder, a pipe or a device.
    #[error("{} is no regular file", path.display())]
    NoFile {
        /// Its path.
        path: PathBuf,
    },
    /// The file has more bytes than the most records take.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The most bytes that are read.
        limit: usize,
    },
    /// The file holds no document of revocations.
    #[error("the file holds no revocations")]
    Document(#[from] InvalidRevocationDocument),
}

/// No revocations are in force, so nothing older than its bound is accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no revocations are in force yet")]
pub struct NoRevocations;

impl From<crate::revocation::TooManySelectors> for VerifyError {
    fn from(error: crate::revocation::TooManySelectors) -> Self {
        crate::ClaimError::Malformed {
            claim: error.claim,
            expected: "no longer than all of it can be taken back: 16 names, or 4 ancestors",
        }
        .into()
    }
}
