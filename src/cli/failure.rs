//! Why a command did not do what it was asked to.

use std::error::Error;
use std::io;

use keywright_client::{AwaitedApproval, Refusal};

use super::moment::rfc3339;

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
    /// A deployment is not what files declare, in so many places.
    #[error("not as declared: {0}")]
    Drift(usize),
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

/// What became of a connection: the reason at the bottom of all that were given.
fn words(error: &(dyn Error + 'static)) -> String {
    match speaks_no_tls(error) {
        true => "it does not speak TLS at this port".to_owned(),
        false => chain(error).last().unwrap_or(error).to_string(),
    }
}

/// An error and its causes.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Whether what came in place of a handshake was no TLS.
fn speaks_no_tls(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| {
        matches!(
            error.downcast_ref(),
            Some(rustls::Error::InvalidMessage(
                rustls::InvalidMessage::InvalidContentType
            ))
        )
    })
}

impl From<keywright_client::Error> for Failure {
    fn from(error: keywright_client::Error) -> Self {
        match error {
            keywright_client::Error::Refused(refusal) => Self::Refused(Box::new((*refusal).into())),
            keywright_client::Error::Awaits(awaited) => Self::Refused(Box::new((*awaited).into())),
            keywright_client::Error::Unreachable { url, source } => {
                Self::Unreachable { url, source }
            }
            keywright_client::Error::Timeout { url } => Self::Unreachable {
                url,
                source: "it took too long to answer".into(),
            },
            keywright_client::Error::UnexpectedAnswer { url, what } => {
                Self::UnexpectedAnswer { url, what }
            }
            error => Self::rejected("invalid-request", error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(Refusal { problem, text }: Refusal) -> Self {
        Self {
            status: problem.status,
            code: problem.code.0,
            detail: problem.detail,
            document: text,
            hint: None,
        }
    }
}

/// The operation waits for approval: a script must not continue as if it had happened.
impl From<AwaitedApproval> for Problem {
    fn from(AwaitedApproval { approval, text }: AwaitedApproval) -> Self {
        Self {
            status: 202,
            code: "awaits-confirmation".to_owned(),
            detail: "not done: this operation needs approval by a second person".to_owned(),
            hint: Some(format!(
                "until {} another client with the role security can run: keywright approvals \
                 confirm {}",
                rfc3339(approval.expires_at.0),
                approval.id
            )),
            document: text,
        }
    }
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
            Self::Unreachable { source, .. } => Some(match speaks_no_tls(&**source) {
                true => "the URL begins with http://",
                false => {
                    "is the service running? Its address comes from listen.json in the data \
                     folder; --url overrides it"
                }
            }),
            Self::UnexpectedAnswer { .. } => Some(NOT_INTERNAL),
            Self::NoConnection { hint, .. } => Some(hint),
            Self::Drift(_) => {
                Some("without --check, keywright apply makes it what the files declare")
            }
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
            Self::Drift(_) => "not-as-declared",
            Self::Output(_) => "output-failed",
            Self::Offline(_) => "store-refused",
            Self::Service(_) => "service-failed",
        }
    }
}
