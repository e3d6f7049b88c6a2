//! Sessions of the console: who is signed in, by what, and until when.
//!
//! A session acts as its client does, and ends with what it was opened with. What is kept of its secret
//! is a hash, which is also the name of its record.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::Client;
use crate::lifecycle::Timestamp;
use crate::stored_document::Format;

/// How long a session may be unused.
pub const IDLE: Duration = Duration::from_secs(15 * 60);

/// How long a session lasts at most.
pub const ABSOLUTE: Duration = Duration::from_secs(8 * 3600);

/// How long a link opens a session.
pub const LINK: Duration = Duration::from_secs(60);

/// How much later a session's last use is written down: not each page needs a commit.
pub const USE_STEP: Duration = Duration::from_secs(60);

/// The most sessions and links of one client; the oldest gives way.
pub const MOST_OF_A_CLIENT: usize = 16;

/// What a client proved itself with. Each method has its own members, those of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionProof {
    /// The name of a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The thumbprint of a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The `jti` of an assertion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The trusted issuer of a workload's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The `sub` of a workload's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// What a secret is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionKind {
    /// It opens a session, once.
    Link,
    /// Each request shows it.
    Open,
}

/// A session, or a link that begins one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Which of the two.
    pub kind: SessionKind,
    /// Whose it is.
    pub client: String,
    /// What the client proved itself with.
    pub proof: SessionProof,
    /// The hash of the client's proofs other than credentials, as they were then.
    pub rules: String,
    /// When it was last used; it may have been a minute later.
    pub used_at: Timestamp,
    /// When it ends, used or not.
    pub ends_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format<1>,
    kind: SessionKind,
    client: String,
    proof: SessionProof,
    rules: String,
    used_at: u64,
    ends_at: u64,
}

impl Session {
    /// A session that begins now.
    pub fn begin(client: &Client, proof: SessionProof, now: Timestamp) -> Self {
        Self {
            kind: SessionKind::Open,
            client: client.id.clone(),
            proof,
            rules: rules_of(client),
            used_at: now,
            ends_at: now.after(ABSOLUTE),
        }
    }

    /// A link that is good from now on.
    pub fn link(client: &Client, proof: SessionProof, now: Timestamp) -> Self {
        Self {
            kind: SessionKind::Link,
            ends_at: now.after(LINK),
            ..Self::begin(client, proof, now)
        }
    }

    /// From when on it is over unless it is used before.
    pub fn over_at(&self) -> Timestamp {
        self.used_at.after(IDLE).min(self.ends_at)
    }

    /// Whether it is good for its client as that is now: its time is not over, and what it was opened
    /// with still is the client's.
    pub fn is_alive(&self, client: &Client, now: Timestamp) -> bool {
        let is_proven = match &self.proof.credential {
            Some(name) => {
                let mut credentials = client.credentials.iter();
                credentials.any(|one| one.id == *name && one.is_valid(now))
            }
            None => self.rules == rules_of(client),
        };
        self.client == client.id && is_proven && now < self.over_at()
    }

    /// As it is stored.
    pub fn to_document(&self) -> String {
        let document = Document {
            format: Format,
            kind: self.kind,
            client: self.client.clone(),
            proof: self.proof.clone(),
            rules: self.rules.clone(),
            used_at: self.used_at.millis(),
            ends_at: self.ends_at.millis(),
        };
        // Text and numbers always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads what was stored; `None` when this program could not have written it.
    pub fn from_document(document: &str) -> Option<Self> {
        let document: Document = serde_json::from_str(document).ok()?;
        Some(Self {
            kind: document.kind,
            client: document.client,
            proof: document.proof,
            rules: document.rules,
            used_at: Timestamp::from_millis(document.used_at),
            ends_at: Timestamp::from_millis(document.ends_at),
        })
    }
}

/// The name of the record of a session with this secret.
pub fn record_id(secret: &str) -> String {
    let hash = digest(&SHA256, secret.as_bytes());
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A secret as it stands in a cookie or a link: 43 characters.
pub fn secret_text(bytes: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The hash of what names a client beside its credentials: certificates, workloads and keys.
fn rules_of(client: &Client) -> String {
    let mut terms = client.terms.to_members();
    terms.retain(|name, _| ["certificates", "workloads", "jwks"].contains(&name.as_str()));
    let text = serde_json::to_string(&terms).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::access::certificate::CertificateRule;
    use crate::access::credential::{Credential, CredentialRecord};
    use crate::access::{Limits, Role, Terms};

    fn client() -> Client {
        let terms = Terms {
            name: "a".to_owned(),
            roles: BTreeSet::from([Role::Auditor]),
            limits: Limits::default(),
            certificates: vec![CertificateRule::Thumbprint([1; 32])],
            workloads: Vec::new(),
            keys: None,
        };
        let now = Timestamp::from_seconds(0);
        let mut client = Client::new("0123456789abcdef".to_owned(), terms, now);
        let credential = Credential::new(&client.id, &[7; 32]);
        let end = Some(Timestamp::from_seconds(3600));
        let record = CredentialRecord::of(&credential, "one".to_owned(), now, end);
        client.credentials.push(record);
        client
    }

    fn by_credential() -> SessionProof {
        SessionProof {
            credential: Some("one".to_owned()),
            ..SessionProof::default()
        }
    }

    #[test]
    fn a_session_ends_when_it_is_unused_at_its_end_and_with_its_credential() {
        let client = client();
        let at = Timestamp::from_seconds;
        let mut session = Session::begin(&client, by_credential(), at(0));
        assert!(session.is_alive(&client, at(899)));
        assert!(!session.is_alive(&client, at(900)), "unused");
        session.used_at = at(3000);
        assert!(session.is_alive(&client, at(3599)));
        assert!(!session.is_alive(&client, at(3600)), "the credential ends");
        let other = client.clone().without_credential("one").unwrap();
        assert!(
            !session.is_alive(&other, at(3001)),
            "the credential is gone"
        );
        let proof = SessionProof {
            sha256: Some("x".to_owned()),
            ..SessionProof::default()
        };
        let mut session = Session::begin(&client, proof, at(0));
        session.used_at = at(8 * 3600 - 1);
        assert!(session.is_alive(&client, at(8 * 3600 - 1)));
        assert!(!session.is_alive(&client, at(8 * 3600)), "its end");
    }

    #[test]
    fn a_session_by_certificate_ends_when_the_rules_change() {
        let client = client();
        let at = Timestamp::from_seconds;
        let session = Session::begin(&client, SessionProof::default(), at(0));
        assert!(session.is_alive(&client, at(1)));
        let mut terms = client.terms.clone();
        terms.name = "b".to_owned();
        assert!(session.is_alive(&client.clone().under(terms.clone()), at(1)));
        terms.certificates.clear();
        assert!(!session.is_alive(&client.under(terms), at(1)));
    }

    #[test]
    fn a_document_is_read_as_it_was_written_and_another_format_is_not() {
        let session = Session::link(&client(), by_credential(), Timestamp::from_seconds(5));
        let document = session.to_document();
        assert_eq!(Session::from_document(&document), Some(session));
        let later = document.replace("\"format\":1", "\"format\":2");
        assert_eq!(Session::from_document(&later), None);
    }
}
