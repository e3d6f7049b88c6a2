//! Why a token's status is not good, or its list not accepted.

use crate::keys::KeysUnavailable;
use crate::status_list::{InvalidStatusList, InvalidStatusListToken, InvalidStatusReference};
use crate::{InvalidAddress, JwsError, RemoteKeysError};

/// Why status lists cannot be read with these settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStatusLists {
    /// The issuer's lists are read already.
    #[error("the status lists of \"{issuer}\" are read already")]
    Duplicate {
        /// The issuer.
        issuer: String,
    },
    /// A timeout, a number of lists or of bytes of zero reads nothing.
    #[error("timeout, max_lists and max_list_bytes must be more than zero")]
    Zero,
    /// The issuer is no address, and none was given.
    #[error("the issuer is no URL, so that it must be said where its lists may be")]
    NoPlace,
    /// A prefix is no address that ends with a slash.
    #[error("a place of status lists is refused: it must end with a slash")]
    Prefix(#[source] InvalidAddress),
    /// There are no trusted certificates.
    #[error(transparent)]
    Remote(#[from] RemoteKeysError),
}

/// Why a token that is good in every other way is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The issuer says that it is invalid: it was taken back for ever.
    #[error("the token is invalid, as its status list says")]
    Invalid,
    /// The issuer says that it does not count for now.
    #[error("the token is suspended, as its status list says")]
    Suspended,
    /// Its status is one that this verifier does not know.
    #[error("the token has a status that this verifier does not know")]
    Unknown,
    /// It has no status, and one is asked for.
    #[error("the token has no status")]
    Missing,
    /// Its claim does not read.
    #[error(transparent)]
    Reference(#[from] InvalidStatusReference),
    /// Its list is at an address that this verifier does not ask.
    #[error("the token's status list is not where this issuer's lists may be")]
    Elsewhere,
    /// Its entry is past the end of the list.
    #[error("the token's entry is past the end of its status list")]
    OutOfBounds,
    /// The list at hand has expired, or its key has left the issuer's set, and no other can be had.
    #[error("the token's status list could not be refreshed for too long")]
    Unavailable,
    /// The list that was fetched is not accepted.
    #[error("the token's status list is not accepted")]
    List(#[source] StatusListError),
}

impl StatusError {
    /// A stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid => "status-invalid",
            Self::Suspended => "status-suspended",
            Self::Unknown => "status-unknown",
            Self::Missing => "status-missing",
            Self::Reference(_) => "status-malformed",
            Self::Elsewhere => "status-list-elsewhere",
            Self::OutOfBounds => "status-out-of-bounds",
            Self::Unavailable => "status-list-unavailable",
            Self::List(error) => error.code(),
        }
    }
}

/// Why a list is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusListError {
    /// It could not be fetched, or took too long; a warning in the log says why.
    #[error("it could not be fetched")]
    Unreachable,
    /// It is no token, or its signature cannot be trusted.
    #[error(transparent)]
    Token(#[from] JwsError),
    /// There are no keys that it could be verified with.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
    /// Its `typ` is that of another kind of token.
    #[error("the token is no status list")]
    OtherType,
    /// Its claims are no status list.
    #[error(transparent)]
    Claims(InvalidStatusListToken),
    /// Inflated, it has more bytes than are read.
    #[error(transparent)]
    TooLarge(InvalidStatusListToken),
    /// Its `sub` is another address than the one that it was fetched from.
    #[error("the list belongs to another address")]
    OtherAddress,
    /// Its `exp` has passed.
    #[error("the list has expired")]
    Expired,
    /// Its `iat` lies in the future.
    #[error("the list comes from the future; one of the clocks is wrong")]
    FromTheFuture,
}

impl StatusListError {
    const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable | Self::Keys(_) => "status-list-unavailable",
            Self::Token(_) => "status-list-untrusted",
            Self::OtherType => "status-list-wrong-type",
            Self::Claims(_) => "status-list-malformed",
            Self::TooLarge(_) => "status-list-too-large",
            Self::OtherAddress => "status-list-wrong-address",
            Self::Expired => "status-list-expired",
            Self::FromTheFuture => "status-list-from-the-future",
        }
    }
}

impl From<InvalidStatusListToken> for StatusListError {
    fn from(error: InvalidStatusListToken) -> Self {
        match error {
            InvalidStatusListToken::List(InvalidStatusList::Size { .. }) => Self::TooLarge(error),
            error => Self::Claims(error),
        }
    }
}
