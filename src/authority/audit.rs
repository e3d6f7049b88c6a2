//! Who did what: lifecycle events with their actor, as the store keeps them.

mod authentication_method;
mod event_streams;
mod following;
mod page;
mod service_log;

use std::net::IpAddr;

use keywright_verifier::{Algorithm, Kid};
use serde::Serialize;
use serde_json::{Map, Value};

use super::revocations::RevocationSecret;
use crate::lifecycle::{Change, IssuerName, Timestamp};
use crate::revocation::{Ban, Revocation};
use crate::store::{EventRow, NumberedEvent, WhenDiskFull};

pub use authentication_method::AuthenticationMethod;
pub use event_streams::EventStreamEvent;
pub use following::{FollowError, Followed, LogFollower};
pub(super) use page::search;
pub use page::{Filter, Page};
pub(super) use service_log::{Subject, log_event};

/// Who changed something. Serialised as `{"kind": "client", "id": …, "name": …, "via": "credential",
/// "credential": …, "address": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Actor {
    /// A caller of the internal API.
    Client {
        /// The client's identifier.
        id: String,
        /// Its name.
        name: String,
        /// How it proved who it is.
        #[serde(flatten)]
        via: AuthenticationMethod,
        /// Where its connection came from.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    /// A caller with a refresh token of a public grant.
    Holder {
        /// Where its connection came from.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    /// The schedule.
    Scheduler,
    /// The first start.
    Bootstrap,
    /// A start, with what files declare.
    Configuration,
    /// An operator at the machine, while nothing served.
    Operator {
        /// The user of the operating system.
        user: u32,
    },
    /// A caller as it was recorded when it asked for what a second one has confirmed since.
    #[serde(untagged)]
    Recorded(Value),
}

impl Actor {
    /// The client's identifier, if it is a caller of the internal API.
    pub fn client(&self) -> Option<&str> {
        match self {
            Self::Client { id, .. } => Some(id),
            Self::Holder { .. }
            | Self::Scheduler
            | Self::Bootstrap
            | Self::Configuration
            | Self::Operator { .. }
            | Self::Recorded(_) => None,
        }
    }
}

/// Who stands behind a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// Who asked for it.
    pub actor: Actor,
    /// Who confirmed it, where a second person was needed.
    pub confirmed_by: Option<Actor>,
}

impl From<Actor> for Attribution {
    fn from(actor: Actor) -> Self {
        Self {
            actor,
            confirmed_by: None,
        }
    }
}

/// A change of who may call. `before` and `after` are a client's terms.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum AccessEvent {
    /// A client may call from here on.
    ClientCreated {
        /// Its identifier.
        client: String,
        /// What was laid down for it.
        after: Map<String, Value>,
    },
    /// A client is under other terms.
    ClientChanged {
        /// Its identifier.
        client: String,
        /// What was laid down for it until now.
        before: Map<String, Value>,
        /// What is laid down for it from now on.
        after: Map<String, Value>,
    },
    /// A client may not call any more.
    ClientDeleted {
        /// Its identifier.
        client: String,
        /// What was laid down for it.
        before: Map<String, Value>,
    },
    /// A client has one more credential.
    CredentialCreated {
        /// The client's identifier.
        client: String,
        /// The credential's name.
        credential: String,
        /// When it ends, in Unix seconds.
        expires_at: Option<u64>,
        /// When the one before it ends, in Unix seconds.
        previous_until: Option<u64>,
    },
    /// An operation waits for a second person.
    ApprovalRequested {
        /// The approval's identifier.
        approval: String,
        /// What was asked for.
        operation: &'static str,
    },
    /// A second person has confirmed an operation, which is carried out.
    ApprovalConfirmed {
        /// The approval's identifier.
        approval: String,
        /// What was asked for.
        operation: &'static str,
    },
    /// An operation was taken back, or refused.
    ApprovalRejected {
        /// The approval's identifier.
        approval: String,
        /// What was asked for.
        operation: &'static str,
    },
    /// No second person has confirmed an operation in time, or the client that asked may not any more.
    ApprovalExpired {
        /// The approval's identifier.
        approval: String,
        /// What was asked for.
        operation: &'static str,
    },
    /// A backup of the whole store was taken. It changes nothing.
    BackupTaken {},
    /// A credential was taken away.
    CredentialRevoked {
        /// The client's identifier.
        client: String,
        /// The credential's name.
        credential: String,
    },
}

impl AccessEvent {
    /// How the log names an operation that begins to wait.
    pub(super) const APPROVAL_REQUESTED: &'static str = "approval-requested";

    /// What takes access away must not fail because the disk is full, nor a backup. What gives
    /// access may.
    pub(super) fn when_disk_full(&self) -> WhenDiskFull {
        match self {
            Self::ClientCreated { .. } | Self::ClientChanged { .. } => WhenDiskFull::Fail,
            Self::ClientDeleted { .. }
            | Self::CredentialCreated { .. }
            | Self::CredentialRevoked { .. }
            | Self::ApprovalRequested { .. }
            | Self::ApprovalConfirmed { .. }
            | Self::ApprovalRejected { .. }
            | Self::ApprovalExpired { .. }
            | Self::BackupTaken {} => WhenDiskFull::UseReserve,
        }
    }
}

/// Tokens are taken back, or a ban is lifted. What was named is told by its kind and a keyed hash,
/// because the log is never erased. Other replicas find what they have to read by the members
/// `revocation` and `revocations`, which no other event has ([`names_revocations`]).
///
/// [`names_revocations`]: crate::store::replicas::names_revocations
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RevocationEvent {
    /// Tokens were taken back.
    TokensRevoked {
        /// The revocation's identifier.
        revocation: String,
        /// Which claims it looks at.
        selector: &'static str,
        /// The keyed hash of their values.
        selector_hash: String,
        /// Whether matching tokens are signed from then on.
        banned: bool,
        /// When the ban ends, in Unix seconds, if it ends by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
    /// Every process knows of them: from then on they refuse what was issued before.
    RevocationsClosed {
        /// Their identifiers.
        revocations: Vec<String>,
    },
    /// The values that its record had were erased.
    RevocationErased {
        /// The revocation's identifier.
        revocation: String,
        /// Which claims it looks at.
        selector: &'static str,
        /// The keyed hash of their values.
        selector_hash: String,
    },
    /// Matching tokens are signed again.
    BanLifted {
        /// The revocation's identifier.
        revocation: String,
        /// Which claims it looks at.
        selector: &'static str,
        /// The keyed hash of their values.
        selector_hash: String,
    },
}

impl RevocationEvent {
    /// A revocation begins.
    pub(crate) fn opened(revocation: &Revocation, secret: &RevocationSecret) -> Self {
        Self::TokensRevoked {
            revocation: revocation.id.clone(),
            selector: revocation.selector.kind().as_str(),
            selector_hash: secret.selector_hash(&revocation.selector),
            banned: revocation.ban.is_some(),
            until: match revocation.ban {
                Some(Ban::Until(end)) => Some(end.ceil_seconds()),
                Some(Ban::UntilLifted) | None => None,
            },
        }
    }

    /// The values of its selector are erased. It is told of the revocation that still has them.
    pub(super) fn erased(revocation: &Revocation, secret: &RevocationSecret) -> Self {
        Self::RevocationErased {
            revocation: revocation.id.clone(),
            selector: revocation.selector.kind().as_str(),
            selector_hash: secret.selector_hash(&revocation.selector),
        }
    }

    /// A ban ends.
    pub(super) fn lifted(revocation: &Revocation, secret: &RevocationSecret) -> Self {
        Self::BanLifted {
            revocation: revocation.id.clone(),
            selector: revocation.selector.kind().as_str(),
            selector_hash: secret.selector_hash(&revocation.selector),
        }
    }
}

/// A change of who is told of what. The URL may be a secret, so that it is not said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum WebhookChange {
    /// A webhook is told of what happens from then on.
    WebhookCreated {
        /// Its identifier.
        webhook: String,
    },
    /// A webhook is told of nothing any more.
    WebhookDeleted {
        /// Its identifier.
        webhook: String,
    },
    /// Messages are signed with another secret.
    WebhookSecretRotated {
        /// The webhook's identifier.
        webhook: String,
    },
    /// The receiver has accepted nothing for too long, or is gone: nothing is sent to it.
    WebhookPaused {
        /// The webhook's identifier.
        webhook: String,
    },
    /// Messages are sent again.
    WebhookResumed {
        /// The webhook's identifier.
        webhook: String,
    },
}

/// A rotation should have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RotationEvent {
    /// It is late.
    RotationOverdue {
        /// Of the key of this algorithm.
        algorithm: Algorithm,
        /// When it was due, in Unix seconds.
        due_at: u64,
    },
}

/// A grant has ended before its time. Grants leave no other event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum GrantEvent {
    /// It was ended, or a refresh token of it was used twice.
    GrantEnded {
        /// Its identifier, the `sid` of its tokens.
        grant: String,
        /// Why.
        cause: &'static str,
    },
}

/// A store has come back from a backup. Serialised with `"event": "restored"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "restored")]
pub struct Restored {
    /// When the backup was taken, in Unix seconds.
    pub backup_at: u64,
    /// Where its audit log ended.
    pub backup_head: String,
    /// When the register was written, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register_at: Option<u64>,
    /// Where the audit log ended then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register_head: Option<String>,
    /// The keys that were named as revoked since.
    pub revoked: Vec<Kid>,
    /// The issuers that were named as deleted since.
    pub deleted: Vec<String>,
}

/// A change of the master key. Keys are named by their fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum MasterKeyEvent {
    /// The key that has sealed the store all along got its name there.
    MasterKeyNamed {
        /// The key.
        to: String,
    },
    /// Another key seals what is new, and everything else is being sealed anew with it.
    MasterKeyRotationStarted {
        /// The key until now.
        from: String,
        /// The key from now on.
        to: String,
    },
    /// Everything is sealed with the new key; no other one is needed any more.
    MasterKeyRotationFinished {
        /// The key.
        to: String,
        /// How many private keys it seals.
        records: usize,
    },
    /// A key was lost, and another one seals from here on.
    MasterKeyReplaced {
        /// The lost key, if the store knew its name.
        from: Option<String>,
        /// The key from now on.
        to: String,
    },
}

/// The rows of a change's events.
pub fn rows(change: &Change, attribution: &Attribution, reason: Option<&str>) -> Vec<EventRow> {
    let issuer = change.set.issuer();
    change
        .events
        .iter()
        .map(|event| row(event, change.at, Some(issuer), attribution, reason))
        .collect()
}

/// The row of one event: the event's own members, `actor`, `confirmed_by` where a second person was
/// needed, and `reason` when one was given.
pub fn row(
    event: &impl Serialize,
    at: Timestamp,
    issuer: Option<&IssuerName>,
    attribution: &Attribution,
    reason: Option<&str>,
) -> EventRow {
    #[derive(Serialize)]
    struct Document<'a, E> {
        #[serde(flatten)]
        event: &'a E,
        actor: &'a Actor,
        #[serde(skip_serializing_if = "Option::is_none")]
        confirmed_by: Option<&'a Actor>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    }
    // Text, numbers and JSON values always serialise.
    let document = serde_json::to_string(&Document {
        event,
        actor: &attribution.actor,
        confirmed_by: attribution.confirmed_by.as_ref(),
        reason,
    })
    .unwrap_or_default();
    EventRow {
        at: at.millis(),
        issuer: issuer.cloned(),
        document,
    }
}

/// An event as the API shows it: its own members, `sequence`, `hash` (hexadecimal), `at` in Unix
/// seconds, and `issuer` if it concerns one.
pub(super) fn shown(numbered: &NumberedEvent) -> Map<String, Value> {
    let mut shown = match serde_json::from_str(&numbered.event.document) {
        Ok(Value::Object(members)) => members,
        // A record that does not parse is shown as such: an audit log hides nothing.
        _ => Map::from_iter([("event".to_owned(), "corrupt-record".into())]),
    };
    // They come last: no document may speak for its row.
    let at = Timestamp::from_millis(numbered.event.at).floor_seconds();
    shown.insert("sequence".to_owned(), numbered.sequence.into());
    shown.insert("at".to_owned(), at.into());
    shown.insert("hash".to_owned(), numbered.hash.to_string().into());
    match &numbered.event.issuer {
        Some(issuer) => drop(shown.insert("issuer".to_owned(), issuer.as_str().into())),
        None => drop(shown.remove("issuer")),
    }
    shown
}
