//! One caller of the internal API: what it may do, and how it proves that it is itself.

use std::collections::BTreeSet;
use std::time::Duration;

use keywright_api::Role;
use keywright_verifier::JwkSet;

use super::certificate::CertificateRule;
use super::credential::CredentialRecord;
use super::limits::Limits;
use super::workload::WorkloadRule;
use crate::lifecycle::Timestamp;

/// A caller of the internal API.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    /// Its public identifier.
    pub id: String,
    /// From 1; grows with every change.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// What an admin has laid down for it.
    pub terms: Terms,
    /// Its bearer credentials, the newest last. At most two of them are valid.
    pub credentials: Vec<CredentialRecord>,
}

/// What an admin lays down for a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// What it may assert, and where.
    pub limits: Limits,
    /// The TLS certificates that are its own.
    pub certificates: Vec<CertificateRule>,
    /// The tokens of trusted issuers that are its own.
    pub workloads: Vec<WorkloadRule>,
    /// The public keys of the assertions that it signs itself (`private_key_jwt`, RFC 7523).
    pub keys: Option<JwkSet>,
}

impl Terms {
    /// Whether such a client manages clients without any credential: it has the role and proves who it is in
    /// another way, and no list of issuers confines it.
    pub fn manages_access(&self) -> bool {
        self.allow_managing_access() && self.has_proof()
    }

    fn allow_managing_access(&self) -> bool {
        self.roles.contains(&Role::Admin) && self.limits.issuers.is_none()
    }

    /// Whether there is a way in that needs no credential.
    fn has_proof(&self) -> bool {
        !self.certificates.is_empty() || !self.workloads.is_empty() || self.keys.is_some()
    }
}

impl Client {
    /// A client that did not exist until now.
    pub fn new(id: String, terms: Terms, now: Timestamp) -> Self {
        Self {
            id,
            version: 1,
            created_at: now,
            terms,
            credentials: Vec::new(),
        }
    }

    /// Whether the client has a role.
    pub fn has(&self, role: Role) -> bool {
        self.terms.roles.contains(&role)
    }

    /// Whether the client could manage clients now: it has the role and a way in, and no list of
    /// issuers confines it.
    pub fn manages_access(&self, now: Timestamp) -> bool {
        let has_credential = self.credentials.iter().any(|one| one.is_valid(now));
        self.terms.allow_managing_access() && (has_credential || self.terms.has_proof())
    }

    /// The same client under other terms.
    pub fn under(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self.version += 1;
        self
    }

    /// The same client with one more credential. The newest of the others that is valid stays so for
    /// the overlap, or until its own end if that comes first; older ones are gone.
    pub fn with_credential(
        mut self,
        credential: CredentialRecord,
        now: Timestamp,
        overlap: Duration,
    ) -> Self {
        self.credentials.retain(|record| record.is_valid(now));
        let previous = self.credentials.pop().map(|mut previous| {
            let end = now.after(overlap);
            previous.expires_at = Some(previous.expires_at.map_or(end, |own| own.min(end)));
            previous
        });
        self.credentials = previous
            .into_iter()
            .filter(|previous| previous.is_valid(now))
            .chain([credential])
            .collect();
        self.version += 1;
        self
    }

    /// The same client without one of its credentials; `None` when it has none of that name.
    pub fn without_credential(mut self, credential: &str) -> Option<Self> {
        let before = self.credentials.len();
        self.credentials.retain(|record| record.id != credential);
        self.version += 1;
        (self.credentials.len() < before).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::credential::Credential;

    fn record(id: &str, expires_at: Option<u64>) -> CredentialRecord {
        let credential = Credential::new("0123456789abcdef", &[7; 32]);
        let now = Timestamp::from_seconds(0);
        let expires_at = expires_at.map(Timestamp::from_seconds);
        CredentialRecord::of(&credential, id.to_owned(), now, expires_at)
    }

    fn client() -> Client {
        let terms = Terms {
            name: "a".to_owned(),
            roles: BTreeSet::from([Role::Issuer]),
            limits: Limits::default(),
            certificates: Vec::new(),
            workloads: Vec::new(),
            keys: None,
        };
        Client::new(
            "0123456789abcdef".to_owned(),
            terms,
            Timestamp::from_seconds(0),
        )
    }

    fn valid(client: &Client, now: u64) -> Vec<&str> {
        let now = Timestamp::from_seconds(now);
        let valid = client.credentials.iter().filter(|one| one.is_valid(now));
        valid.map(|one| one.id.as_str()).collect()
    }

    #[test]
    fn a_new_credential_lets_one_other_live_for_the_overlap() {
        let (at, overlap) = (Timestamp::from_seconds, Duration::from_secs(60));
        let client = client().with_credential(record("one", None), at(0), overlap);
        let client = client.with_credential(record("two", Some(500)), at(100), overlap);
        assert_eq!(valid(&client, 159), ["one", "two"]);
        assert_eq!(valid(&client, 160), ["two"]);
        let third = client
            .clone()
            .with_credential(record("three", None), at(110), overlap);
        assert_eq!(valid(&third, 110), ["two", "three"]);
        assert_eq!(valid(&third, 170), ["three"]);
        let none = third.with_credential(record("four", None), at(120), Duration::ZERO);
        assert_eq!(valid(&none, 120), ["four"]);
        // Its own end comes first.
        let late = client.with_credential(record("three", None), at(490), overlap);
        assert_eq!(valid(&late, 500), ["three"]);
        assert_eq!(late.version, 4);
    }

    #[test]
    fn a_credential_can_be_taken_away_by_its_name() {
        let now = Timestamp::from_seconds(0);
        let client = client().with_credential(record("one", None), now, Duration::ZERO);
        assert!(client.clone().without_credential("two").is_none());
        let without = client.without_credential("one").unwrap();
        assert!(without.credentials.is_empty());
    }
}
