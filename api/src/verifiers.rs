//! Who verifies with what.

use keywright_verifier::Kid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{KeyState, UnixSeconds, WaitingRotation};

/// Who has fetched an issuer's key set from this process in the last 24 hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verifiers {
    /// The entity tag of the key set that is served now.
    pub etag: String,
    /// The keys of that set, and how many verifiers have each.
    pub keys: Vec<HeldKey>,
    /// The verifiers, at most 1,024; those that asked last first.
    pub verifiers: Vec<Verifier>,
    /// Requests of verifiers that are not among them, because there was no room.
    pub unrecorded_requests: u64,
    /// The rotations that are due and wait until verifiers hold the successor. They count the verifiers of all
    /// replicas.
    pub waiting: Vec<WaitingRotation>,
}

/// A published key, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldKey {
    /// Its identifier.
    pub kid: Kid,
    /// What it may do.
    pub state: KeyState,
    /// How many of the verifiers have it.
    pub verifiers: u64,
}

/// Something that fetches a key set. What has the same address, `User-Agent` and certificate is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verifier {
    /// Where its connection comes from: the address, of IPv6 its network of 64 bits. A proxy hides it.
    pub address: String,
    /// Its `User-Agent`, up to 128 bytes; empty without one.
    pub user_agent: String,
    /// The SHA-256 thumbprint of its client certificate (`x5t#S256`), if it has shown one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The entity tag of the key set that it has.
    pub etag: String,
    /// Whether that is the key set that is served now.
    pub current: bool,
    /// Whether it has named that tag itself in `If-None-Match`. Otherwise it was sent the key set.
    pub confirmed: bool,
    /// The keys of that key set that it lacks: a rotation to one of them may wait for it.
    pub lacks: Vec<Kid>,
    /// When it was first seen, in Unix seconds.
    pub first_seen_at: UnixSeconds,
    /// When it asked last, in Unix seconds.
    pub seen_at: UnixSeconds,
    /// How often it has asked.
    pub requests: u64,
}
