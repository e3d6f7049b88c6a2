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
    #[error("cannot connect to {url}: {}", words(&**source))]
    Unreachable {
        url: String,
        source: Box<dyn Error + Send + Sync>,
    },
    /// The service answered something that is not its contract.
    #[error("{url} answered {what}")]
    UnexpectedAnswer { url: String, what: String },
    /// Neither a flag nor the data folder says where the service is or who is calling.
    #[error("{what}")]
    NoConnection { what: String, hint: &'static str },
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
    /// What the user can do, where the command knows that better than the code does.
    pub(super) hint: Option<String>,
}

/// Another listener, or another program, was asked.
const NOT_INTERNAL: &str = "is this the internal listener of keywright? --url takes its scheme, \
                            host and port alone; verifiers' listener (public.listen) has key sets only";

/// What became of a connection, without the numbers of the operating system.
fn words(error: &(dyn Error + Send + Sync + 'static)) -> String {
    match error.downcast_ref() {
        Some(ureq::Error::Io(error)) if speaks_no_tls(error) => {
            "it does not speak TLS at this port".to_owned()
        }
        Some(ureq::Error::Io(error)) => error.to_string(),
        _ => error.to_string(),
    }
}

/// Whether what came in place of a handshake was no TLS.
fn speaks_no_tls(error: &io::Error) -> bool {
    let source = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(
        source,
        Some(rustls::Error::InvalidMessage(
            rustls::InvalidMessage::InvalidContentType
        ))
    )
}

impl Problem {
    fn hint(&self) -> Option<&str> {
        let known = match self.code.as_str() {
            "not-found" => NOT_INTERNAL,
            "credential-missing" | "credential-invalid" => {
                "name another credential: KEYWRIGHT_TOKEN, --token-file or --client-certificate"
            }
            "role-missing" => {
                "use a client with this role; an admin sees the roles with keywright clients list"
            }
            "banned" => {
                "keywright revocations --subject SUB shows the ban, keywright unban SUB lifts it"
            }
            "not-a-ban" => "keywright revocations shows what is banned",
            "client-limit" => {
                "an admin sees the limits with keywright clients show, and can change them"
            }
            "too-many-revocations" => {
                "they end by themselves; one of --client or --subject stands for many of --jti"
            }
            "invalid-token" => {
                "a token that is not this issuer's is taken back at its own: --issuer"
            }
            "unknown-issuer" => "keywright issuers list shows the issuers",
            "precondition-failed" => "it was changed while this command ran: run the command again",
            "store-unavailable" | "snapshot-stale" | "overloaded" => {
                "wait some seconds and run the command again; the service's log has the cause"
            }
            _ => return self.hint.as_deref(),
        };
        self.hint.as_deref().or(Some(known))
    }
}

impl Failure {
    pub(super) fn rejected(code: &'static str, error: impl ToString) -> Self {
        Self::Rejected {
            code,
            detail: error.to_string(),
        }
    }

    /// What the user can do about it.
    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => problem.hint(),
            Self::Unreachable { source, .. } => Some(match source.downcast_ref() {
                Some(ureq::Error::Io(error)) if speaks_no_tls(error) => {
                    "the URL begins with http://"
                }
                _ => {
                    "is the service running? Its address comes from listen.json in the data \
                     folder; --url overrides it"
                }
            }),
            Self::UnexpectedAnswer { .. } => Some(NOT_INTERNAL),
            Self::NoConnection { hint, .. } => Some(hint),
            Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Rejected { .. }
            | Self::Usage(_)
            | Self::Output(_)
            | Self::Offline(_)
            | Self::Service(_) => None,
        }
    }

    /// A stable name for programs.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Refused(problem) => &problem.code,
            Self::Unreachable { .. } => "unreachable",
            Self::UnexpectedAnswer { .. } => "unexpected-answer",
            Self::NoConnection { .. } => "no-connection",
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
