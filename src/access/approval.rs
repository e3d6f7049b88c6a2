//! What one person has asked for and a second one must confirm.

use std::time::Duration;

use keywright_api::{ApprovedOperation, RevocationSelector};
use keywright_verifier::revocation::Selector;
use keywright_verifier::{Algorithm, Kid};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Role;
use crate::lifecycle::{IssuerName, Key, KeySet, Policy, Timestamp};
use crate::revocation::{Ban, BanDocument, selector_document, selector_of};
use crate::stored_document::Format;

/// How long a second person has.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(15 * 60);

/// An operation on an issuer that can lock many out.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// A rotation that does not wait until verifiers know the successor.
    ForceRotation {
        /// The algorithm; all of the policy's when absent.
        algorithm: Option<Algorithm>,
    },
    /// A revocation.
    Revoke {
        /// The key.
        kid: Kid,
        /// Whether its successors are distrusted with it.
        discard_successor: bool,
    },
    /// Tokens that are taken back.
    RevokeTokens {
        /// Which.
        selector: Selector,
        /// Whether matching ones are signed from now on.
        ban: Option<Ban>,
    },
    /// The end of the issuer.
    Delete,
    /// Another policy.
    SetPolicy {
        /// The policy.
        policy: Box<Policy>,
    },
}

impl Operation {
    /// The operation without its data.
    pub const fn kind(&self) -> ApprovedOperation {
        match self {
            Self::ForceRotation { .. } => ApprovedOperation::ForceRotation,
            Self::Revoke { .. } => ApprovedOperation::Revoke,
            Self::RevokeTokens { .. } => ApprovedOperation::RevokeTokens,
            Self::Delete => ApprovedOperation::DeleteIssuer,
            Self::SetPolicy { .. } => ApprovedOperation::SetPolicy,
        }
    }

    /// Its word.
    pub const fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// The role that a client needs to ask for it.
    pub const fn role(&self) -> Role {
        match self {
            Self::ForceRotation { .. }
            | Self::Revoke { .. }
            | Self::RevokeTokens { .. }
            | Self::Delete => Role::Security,
            Self::SetPolicy { .. } => Role::Admin,
        }
    }

    /// What it rests on, to be compared: who asks for another rotation does not mean the one after
    /// it, and who changes a policy does not mean to undo what others make of it meanwhile. Empty
    /// for what means the same whatever has happened.
    pub fn basis(&self, set: &KeySet) -> String {
        let active = |algorithm: Option<Algorithm>| {
            let all = Algorithm::ALL.into_iter();
            let meant = all.filter(|one| algorithm.is_none_or(|algorithm| *one == algorithm));
            let kids = meant.filter_map(|one| set.active(one).map(|key| key.kid().as_str()));
            kids.collect::<Vec<_>>().join(" ")
        };
        match self {
            Self::ForceRotation { algorithm } => active(*algorithm),
            Self::Revoke {
                kid,
                discard_successor: true,
            } => active(set.key(kid).map(Key::algorithm)),
            Self::SetPolicy { .. } => set.policy().to_document().to_string(),
            Self::Revoke { .. } | Self::RevokeTokens { .. } | Self::Delete => String::new(),
        }
    }
}

/// An operation that waits for a second person.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Its identifier.
    pub id: String,
    /// The issuer.
    pub issuer: IssuerName,
    /// What was asked for.
    pub operation: Operation,
    /// What it rests on; `None` in records of before there was a basis.
    pub basis: Option<String>,
    /// The client that asked.
    pub requester: String,
    /// Who asked, as the audit log names it.
    pub requested_by: Value,
    /// Why, in their own words.
    pub reason: Option<String>,
    /// When.
    pub requested_at: Timestamp,
    /// Until when it can be confirmed.
    pub expires_at: Timestamp,
}

/// Instants in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format<1>,
    issuer: String,
    operation: OperationDocument,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<String>,
    requester: String,
    requested_by: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    requested_at: u64,
    expires_at: u64,
}

/// An earlier build wrote a precondition beside the policy, which is passed over.
#[derive(Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
enum OperationDocument {
    ForceRotation {
        algorithm: Option<String>,
    },
    Revoke {
        kid: String,
        discard_successor: bool,
    },
    RevokeTokens {
        selector: RevocationSelector,
        ban: Option<BanDocument>,
    },
    DeleteIssuer {},
    SetPolicy {
        policy: Value,
    },
}

impl Approval {
    /// The stored document, which leaves out the id that its row has.
    pub fn to_document(&self) -> String {
        let document = Document {
            format: Format,
            issuer: self.issuer.as_str().to_owned(),
            operation: match &self.operation {
                Operation::ForceRotation { algorithm } => OperationDocument::ForceRotation {
                    algorithm: algorithm.map(|algorithm| algorithm.as_str().to_owned()),
                },
                Operation::Revoke {
                    kid,
                    discard_successor,
                } => OperationDocument::Revoke {
                    kid: kid.as_str().to_owned(),
                    discard_successor: *discard_successor,
                },
                Operation::RevokeTokens { selector, ban } => OperationDocument::RevokeTokens {
                    selector: selector_document(selector),
                    ban: ban.map(BanDocument::from),
                },
                Operation::Delete => OperationDocument::DeleteIssuer {},
                Operation::SetPolicy { policy } => OperationDocument::SetPolicy {
                    policy: policy.to_record(),
                },
            },
            basis: self.basis.clone(),
            requester: self.requester.clone(),
            requested_by: self.requested_by.clone(),
            reason: self.reason.clone(),
            requested_at: self.requested_at.millis(),
            expires_at: self.expires_at.millis(),
        };
        // Text, numbers and JSON values always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads a stored document; `None` when this program could not have written it.
    pub fn from_document(id: &str, document: &str) -> Option<Self> {
        let document: Document = serde_json::from_str(document).ok()?;
        let operation = match document.operation {
            OperationDocument::ForceRotation { algorithm } => Operation::ForceRotation {
                algorithm: algorithm.map(|name| name.parse()).transpose().ok()?,
            },
            OperationDocument::Revoke {
                kid,
                discard_successor,
            } => Operation::Revoke {
                kid: Kid::parse(&kid).ok()?,
                discard_successor,
            },
            OperationDocument::RevokeTokens { selector, ban } => Operation::RevokeTokens {
                selector: selector_of(&selector).ok()?,
                ban: ban.map(Ban::from),
            },
            OperationDocument::DeleteIssuer {} => Operation::Delete,
            OperationDocument::SetPolicy { policy } => Operation::SetPolicy {
                policy: Box::new(Policy::from_record(policy).ok()?),
            },
        };
        Some(Self {
            id: id.to_owned(),
            issuer: IssuerName::parse(&document.issuer).ok()?,
            operation,
            basis: document.basis,
            requester: document.requester,
            requested_by: document.requested_by,
            reason: document.reason,
            requested_at: Timestamp::from_millis(document.requested_at),
            expires_at: Timestamp::from_millis(document.expires_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lifecycle::IssuerUrl;

    #[test]
    fn an_approval_reads_as_it_is_written() {
        let url = IssuerUrl::parse("https://id.example.com").unwrap();
        for operation in [
            Operation::ForceRotation { algorithm: None },
            Operation::ForceRotation {
                algorithm: Some(Algorithm::Rs256),
            },
            Operation::Revoke {
                kid: Kid::parse("-a").unwrap(),
                discard_successor: true,
            },
            Operation::RevokeTokens {
                selector: Selector::Issuer,
                ban: Some(Ban::UntilLifted),
            },
            Operation::Delete,
            Operation::SetPolicy {
                policy: Box::new(Policy::for_url(url)),
            },
        ] {
            let approval = Approval {
                id: "one".to_owned(),
                issuer: IssuerName::parse("default").unwrap(),
                operation,
                basis: Some("what was there".to_owned()),
                requester: "client".to_owned(),
                requested_by: json!({"kind": "client"}),
                reason: Some("a leak".to_owned()),
                requested_at: Timestamp::from_seconds(1),
                expires_at: Timestamp::from_seconds(901),
            };
            let document = approval.to_document();
            assert_eq!(Approval::from_document("one", &document), Some(approval));
        }
    }
}
