//! The coming life of an issuer's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{KeyEventMembers, UnixSeconds};

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
    KeyActivated,
    KeyRetired,
    KeyRemoved,
    KeyRevoked,
}
