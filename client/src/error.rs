//! Why a call brought no document.

use std::error::Error as StdError;

use keywright_api::{Approval, OauthError, OauthErrorName, Problem, SecurityEventError};

/// An error of any kind.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a call brought no document. No variant holds a credential or a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service refused, or says that it cannot.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The operation is not done: a second person has to confirm it.
    #[error("not done: this operation needs approval by a second person")]
    Awaits(Box<AwaitedApproval>),
    /// The service did not answer.
    #[error("cannot connect to {url}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        source: BoxError,
    },
    /// The service took too long.
    #[error("{url} took too long to answer")]
    Timeout {
        /// What was asked for.
        url: String,
    },
    /// What answered is no keywright, or a version whose documents this one cannot read.
    #[error("{url} answered {what}")]
    UnexpectedAnswer {
        /// What was asked for.
        url: String,
        /// What came.
        what: String,
    },
    /// A token endpoint refused (RFC 6749 §5.2).
    #[error("the token endpoint refuses: {}", .0.error_description)]
    TokenRefused(OauthError),
    /// A security event token is not taken (RFC 8935 §2.3).
    #[error("the security event token is refused: {}", .0.description)]
    EventRefused(SecurityEventError),
    /// A grant has ended, or the refresh token was used elsewhere (`invalid_grant`). It is asked for no more:
    /// the user has to log in again.
    #[error("the grant has ended: {}", .0.error_description)]
    GrantEnded(OauthError),
    /// A grant was renewed, and its new refresh token could not be saved. Saving is tried again with the next
    /// call. A process that ends before it has succeeded may have lost the grant.
    #[error("the new refresh token is not saved")]
    NotSaved {
        /// Why.
        source: BoxError,
    },
    /// The issuer's metadata is another issuer's, or names no token endpoint that may be sent a secret.
    #[error("the metadata of {issuer}: {what}")]
    Metadata {
        /// The issuer.
        issuer: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The last attempt to get a token has failed, and it is too early for another one.
    #[error("no token for {seconds} s more: {reason}")]
    Pausing {
        /// When there will be another attempt.
        seconds: u64,
        /// Why the last one failed.
        reason: String,
    },
    /// The body of the request cannot be written as JSON.
    #[error("the request cannot be written as JSON: {0}")]
    Request(#[from] serde_json::Error),
}

/// A problem that the service answered (RFC 9457).
#[derive(Debug, thiserror::Error)]
#[error("{} ({})", .problem.detail, .problem.code.0)]
pub struct Refusal {
    /// The problem. Decide on its `code`.
    pub problem: Problem,
    /// The document as it came, which may have members that this version does not know.
    pub text: String,
}

/// An operation that waits for a second person.
#[derive(Debug)]
pub struct AwaitedApproval {
    /// What waits, and until when it can be confirmed.
    pub approval: Approval,
    /// The document as it came.
    pub text: String,
}

impl Error {
    /// The code of the problem, where the service has refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.problem.code.0),
            _ => None,
        }
    }

    /// Whether a request that has failed may have been carried out: its answer is lost, or is none.
    pub(crate) fn may_have_been_done(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::UnexpectedAnswer { .. } => true,
            Self::TokenRefused(refusal) => matches!(
                refusal.error,
                OauthErrorName::ServerError | OauthErrorName::TemporarilyUnavailable
            ),
            _ => false,
        }
    }
}
