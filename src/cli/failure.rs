//! Why a command did not do what it was asked to.

use std::error::Error;
use std::io;

/// Why a command did not do what it was asked to. No variant holds a credential or a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The service said no, or that it cannot.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The service did not answer.
    #[error("no answer from {url}: {source}")]
    Unreachable {
        url: String,
        source: Box<dyn Error + Send + Sync>,
    },
    /// The service answered something that is not its contract.
    #[error("{url} answered {what}; is this the internal listener of keywright?")]
    UnexpectedAnswer { url: String, what: String },
    /// Neither a flag nor the data folder says where the service is or who is calling.
    #[error("{0}")]
    NoConnection(String),
    /// A file or standard input cannot be read.
    #[error("{what}: {source}")]
    Unreadable { what: String, source: io::Error },
    /// A file cannot be written.
    #[error("{what}: {source}")]
    Unwritable { what: String, source: io::Error },
    /// What was read breaks a rule; `code` is stable.
    #[error("{detail}")]
    Rejected { code: &'static str, detail: String },
    /// The flags do not fit together.
    #[error("{0}")]
    Usage(String),
    /// Standard output cannot be written.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
    /// A store could not be copied or restored.
    #[error("{0}")]
    Offline(Box<dyn Error>),
    /// The service could not start or did not end well.
    #[error("{0}")]
    Service(Box<dyn Error>),
}

/// An error of the internal API (RFC 9457).
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) detail: String,
    /// The document as the service sent it.
    pub(super) document: String,
}

impl Failure {
    pub(super) fn rejected(code: &'static str, error: impl ToString) -> Self {
        Self::Rejected {
            code,
            detail: error.to_string(),
        }
    }

    /// A stable name for programs.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Refused(problem) => &problem.code,
            Self::Unreachable { .. } => "unreachable",
            Self::UnexpectedAnswer { .. } => "unexpected-answer",
            Self::NoConnection(_) => "no-connection",
            Self::Unreadable { .. } => "unreadable",
            Self::Unwritable { .. } => "unwritable",
            Self::Rejected { code, .. } => code,
            Self::Usage(_) => "wrong-usage",
            Self::Output(_) => "output-failed",
            Self::Offline(_) => "store-refused",
            Self::Service(_) => "service-failed",
        }
    }
}
