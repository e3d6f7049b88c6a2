//! The coming life of an issuer's keys.

use keywright_verifier::{Algorithm, Kid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{KeyEventMembers, Share, UnixSeconds};

/// What will happen to the keys of an issuer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub struct Plan<O = Occurrence> {
    /// When this was asked.
    pub now: UnixSeconds,
    /// How far it looks.
    pub until: UnixSeconds,
    /// Why the policy would break verifiers in common use.
    pub warnings: Vec<String>,
    /// What will happen, in order.
    pub occurrences: Vec<O>,
    /// The rotations that are due and wait until verifiers hold the successor. What is planned counts with them
    /// waiting as long as they may, and with later ones not waiting.
    pub waiting: Vec<WaitingRotation>,
}

/// A rotation that is due, and waits until enough verifiers hold the successor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingRotation {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The successor.
    pub kid: Kid,
    /// The share of the verifiers that must hold it.
    pub share: Share,
    /// How many verifiers hold it, of all replicas.
    pub holders: u64,
    /// How many verifiers are known, of all replicas.
    pub verifiers: u64,
    /// Replicas that have not counted for long enough to tell who holds what. The rotation waits for them, too.
    pub uncounted_replicas: u64,
    /// When it happens at the latest.
    pub until: UnixSeconds,
}

/// Something that will happen. Which members it has depends on `event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Occurrence {
    /// When, in Unix seconds.
    pub at: UnixSeconds,
    /// What will happen.
    pub event: KeyEvent,
    /// More about it.
    #[serde(flatten)]
    pub members: KeyEventMembers,
}

/// An event of a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the words say it; the audit log's table explains them"
)]
pub enum KeyEvent {
    IssuerCreated,
    IssuerDeleted,
    PolicyChanged,
    KeyPublished,
    AdoptionMissed,
    KeyCanaryStarted,
    KeyCanaryStopped,
    KeyConfirmed,
    KeyUnconfirmed,
    KeyActivated,
    KeyRetired,
    KeyRemoved,
    KeyRevoked,
}
