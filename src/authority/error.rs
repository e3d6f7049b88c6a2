//! Why something could not be done.

use super::approvals::{EndedApproval, MOST_OF_A_CLIENT, MOST_ON_AN_ISSUER};
use super::load::LoadError;
use super::revocations::{MOST_OF_A_CLIENT as MOST_REVOCATIONS_OF_A_CLIENT, MOST_OF_AN_ISSUER};
use crate::engine::{EngineError, RandomnessUnavailable};
use crate::event_stream::{MOST_STREAMS, MOST_STREAMS_OF_A_CLIENT};
use crate::lifecycle::{IssuerName, RuleViolation};
use crate::store::seal::{Fingerprint, UnsealError};
use crate::store::{CommitError, StoreError};
use crate::webhook::MOST_WEBHOOKS;

/// Why a change did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A rule forbids it; the caller can ask for something else.
    #[error(transparent)]
    Refused(RuleViolation),
    /// There is no such issuer.
    #[error("there is no issuer {0}")]
    UnknownIssuer(String),
    /// The issuer's stored records cannot be used; an operator must look.
    #[error("issuer {0} is out of service: its stored records cannot be used")]
    UnusableIssuer(IssuerName),
    /// There is no such client.
    #[error("there is no client {0}")]
    UnknownClient(String),
    /// The client has no such credential.
    #[error("client {client} has no credential {credential}")]
    UnknownCredential {
        /// The client.
        client: String,
        /// The credential's name.
        credential: String,
    },
    /// What is to be replaced is not what the caller expects.
    #[error("the record is not the one that If-Match names; read it again")]
    PreconditionFailed,
    /// No client could manage access any more.
    #[error(
        "no client with the role admin, without a limit on issuers and with a way in would be left; \
         make another one first"
    )]
    LastAdmin,
    /// Two clients would be named by one certificate.
    #[error("another client is named by the same certificate rule; a certificate is of one client")]
    CertificateTaken,
    /// No such operation waits for a second person, and the log says of none that it did lately.
    #[error("no operation {0} waits to be confirmed; 15 minutes after it was asked for it is over")]
    UnknownApproval(String),
    /// The operation waits no more.
    #[error(transparent)]
    ApprovalEnded(#[from] EndedApproval),
    /// What an operation was asked for on has changed since.
    #[error(
        "what operation {0} was asked for on has changed since; reject it, look again, and ask anew"
    )]
    ApprovalOutdated(String),
    /// The second person is the first.
    #[error(
        "the client that requested an operation cannot confirm it; another client with the role security must"
    )]
    OwnApproval,
    /// More operations wait than people can look at.
    #[error(
        "too many operations on the issuer wait to be confirmed ({MOST_OF_A_CLIENT} of one client, \
         {MOST_ON_AN_ISSUER} in all, are the most); confirm or reject some"
    )]
    TooManyApprovals,
    /// There is no such webhook.
    #[error("there is no webhook {0}")]
    UnknownWebhook(String),
    /// More webhooks than a store has.
    #[error("there are {MOST_WEBHOOKS} webhooks, which is the most; delete one first")]
    TooManyWebhooks,
    /// The client has no such stream.
    #[error("the client has no event stream {0}")]
    UnknownEventStream(String),
    /// More streams than a client, or a store, has.
    #[error(
        "a client has {MOST_STREAMS_OF_A_CLIENT} event streams at most, and all together {MOST_STREAMS}; \
         delete one first"
    )]
    TooManyEventStreams,
    /// The stream has no events.
    #[error("the event stream is disabled; enable it first")]
    EventStreamDisabled,
    /// There is no such revocation.
    #[error("there is no revocation {0}; one of which nothing follows any more is deleted")]
    UnknownRevocation(String),
    /// The revocation keeps nothing from being signed.
    #[error("revocation {0} is not a ban, or not any more; what it takes back stays so")]
    NotABan(String),
    /// More revocations than an issuer keeps.
    #[error(
        "too many revocations ({MOST_REVOCATIONS_OF_A_CLIENT} of one client, {MOST_OF_AN_ISSUER} in all, \
         are the most): some end by themselves, and one of subject, client or issuer stands for many"
    )]
    TooManyRevocations,
    /// A client names a trusted issuer that is not configured.
    #[error("workloads name the trusted issuer \"{0}\", which the configuration does not have")]
    UntrustedIssuer(String),
    /// A policy names a target to which key sets cannot be pushed.
    #[error(
        "push names the target \"{name}\", which the configuration does not have for this issuer; it has {}",
        if known.is_empty() { "none" } else { known }
    )]
    UnknownPushTarget {
        /// The target.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Another issuer is published under the same path.
    #[error("another issuer has a url with the same path; the path alone tells issuers apart")]
    PathTaken,
    /// What is in memory has not been held against the store for too long, or the clock is not the
    /// store's.
    #[error("what is in memory may be out of date: the store has not confirmed it for too long")]
    SnapshotStale,
    /// The clock has just jumped ahead; nothing is stamped by it until it has stayed there.
    #[error("the clock has jumped ahead; no change is stamped before it has stayed there for 10 s")]
    ClockDoubted,
    /// A replica does not publish the successor yet.
    #[error("a replica does not publish the successor yet")]
    AwaitsReplicas,
    /// Other writers were faster every time; the caller can try again.
    #[error("the key set is being changed by others")]
    Contended,
    /// The task that made the change ended before its time: it panicked, or the process is going
    /// down.
    #[error("the change was interrupted")]
    Interrupted,
    /// The store has no set for an issuer that is in memory.
    #[error("the store has lost the issuer")]
    Vanished,
    /// The store refuses to change a record that is final, whatever was decided here.
    #[error(
        "the store has a record that is final, such as that of a revoked key, and refuses to change it"
    )]
    RecordFinal,
    /// The store failed; the caller can try again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine failed; the caller can try again.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    /// This process does not have the master key that is asked for.
    #[error("this process does not have the master key {0}: its configuration names it nowhere")]
    UnknownMasterKey(Fingerprint),
    /// It is not said which master key is meant.
    #[error(
        "say which master key is to seal the store from now on: beside the one that does, this \
         process has {0}, not one"
    )]
    UnclearMasterKey(usize),
    /// Other processes could not open what the new master key seals.
    #[error(
        "the master key {fingerprint} is not everywhere: {} serving without it; give it to them \
         first", replicas.join(", ")
    )]
    MasterKeyNotEverywhere {
        /// The key.
        fingerprint: Fingerprint,
        /// Who does not have it.
        replicas: Vec<String>,
    },
    /// The store is sealed with a master key that this process does not have.
    #[error("what seals the store cannot be used: {0}")]
    Sealing(UnsealError),
    /// The cipher refused.
    #[error("a private key could not be sealed")]
    Unsealable,
    /// A record cannot be used; an operator must look.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl From<CommitError> for ChangeError {
    /// What a refused batch means where it is not decided on again.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict | CommitError::Late | CommitError::NotUnique => Self::Contended,
            CommitError::Final => Self::RecordFinal,
            CommitError::Store(error) | CommitError::Unknown(error) => Self::Store(error),
        }
    }
}
