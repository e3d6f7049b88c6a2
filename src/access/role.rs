//! The four rights that a client can have.

use serde::{Deserialize, Serialize};

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs tokens, within its limits.
    Issuer,
    /// Rotates, revokes and imports keys.
    Security,
    /// Reads keys, plans, histories and the audit log.
    Auditor,
    /// Manages issuers and clients.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Issuer, Self::Security, Self::Auditor, Self::Admin];

    /// The roles that read what is neither secret nor a record of who did what: issuers, keys, plans,
    /// replicas. Whoever changes them has to see them first.
    pub const READERS: [Self; 3] = [Self::Auditor, Self::Security, Self::Admin];

    /// The role's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Security => "security",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// Reads a role's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}
