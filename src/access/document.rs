//! A client's terms as the JSON document of the interfaces and of the store.

use std::collections::BTreeSet;

use keywright_api as api;
use keywright_api::{ReadError, read};
use keywright_verifier::{JwkSet, JwkSetError, PassedOver};
use serde_json::{Map, Value};

use super::certificate::{CertificateRule, CertificateRuleError};
use super::client::Terms;
use super::limits::{Limits, LimitsError};
use super::workload::{WorkloadError, WorkloadRule};

/// Why a document has no terms.
#[derive(Debug, thiserror::Error)]
pub enum TermsError {
    /// A member is missing, unknown, of the wrong type or of the wrong form.
    #[error(transparent)]
    Form(#[from] ReadError),
    /// A name that people could not read.
    #[error("a client's name has 1 to 64 printable ASCII characters")]
    Name,
    /// No role.
    #[error("roles must name at least one of issuer, security, auditor, admin")]
    NoRole,
    /// A limit breaks a rule.
    #[error("limits: {0}")]
    Limits(#[from] LimitsError),
    /// Too many ways to prove itself.
    #[error("{0} has at most 100 entries")]
    Count(&'static str),
    /// A certificate's rule does not read.
    #[error("certificates: {0}")]
    Certificate(#[from] CertificateRuleError),
    /// A workload's rule does not read.
    #[error("workloads: {0}")]
    Workload(#[from] WorkloadError),
    /// The keys do not read.
    #[error("jwks: {0}")]
    Keys(#[from] JwkSetError),
    /// No keys, or too many.
    #[error("jwks: there must be 1 to {MOST_KEYS} keys")]
    KeyCount,
    /// A key that assertions cannot be verified with.
    #[error(
        "jwks: every key must be a public ES256 or RS256 key; key {}: {}", .0.index, .0.reason
    )]
    UnusableKey(PassedOver),
}

/// Where a document comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From an admin who sets it: every rule holds.
    Caller,
    /// From the store: an earlier version may have taken what this one does not.
    Store,
}

/// The most certificates, and the most workloads, of one client.
const MOST_PROOFS: usize = 100;

/// The most public keys of one client.
const MOST_KEYS: usize = 10;

impl Terms {
    /// Reads a client's terms. `name` and `roles` are required; absent limits do not limit.
    ///
    /// # Errors
    /// [`TermsError`] names the member and the rule that it breaks.
    pub fn from_document(document: Value) -> Result<Self, TermsError> {
        Self::new(read(document, "terms")?)
    }

    /// The terms of a document, if they keep the rules.
    ///
    /// # Errors
    /// As [`Terms::from_document`].
    pub fn new(document: api::Terms) -> Result<Self, TermsError> {
        Self::of(document, Source::Caller)
    }

    /// The terms of a record. Rules that came later than the record do not refuse it.
    pub(super) fn from_record(document: Value) -> Result<Self, TermsError> {
        Self::of(read(document, "terms")?, Source::Store)
    }

    fn of(document: api::Terms, source: Source) -> Result<Self, TermsError> {
        let name = document.name;
        let legal = |character: char| character.is_ascii_graphic() || character == ' ';
        if !(1..=64).contains(&name.len()) || !name.chars().all(legal) {
            return Err(TermsError::Name);
        }
        let roles = BTreeSet::from_iter(document.roles);
        if roles.is_empty() {
            return Err(TermsError::NoRole);
        }
        let limits = document.limits.map(|limits| Limits::of(limits, source));
        let certificates = proofs(document.certificates, "certificates")?;
        let workloads = proofs(document.workloads, "workloads")?;
        Ok(Self {
            name,
            roles,
            limits: limits.transpose()?.unwrap_or_default(),
            certificates: certificates
                .map(CertificateRule::new)
                .collect::<Result<_, _>>()?,
            workloads: workloads
                .map(|workload| WorkloadRule::of(workload, source))
                .collect::<Result<_, _>>()?,
            keys: document
                .jwks
                .map(|set| keys(&Value::Object(set)))
                .transpose()?,
        })
    }

    /// The members of the terms as a document that [`Terms::from_document`] reads.
    pub fn to_members(&self) -> Map<String, Value> {
        // Text, numbers and lists always serialise, as an object.
        match serde_json::to_value(api::Terms::from(self)) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }
}

/// What there is nothing of is left out.
impl From<&Terms> for api::Terms {
    fn from(terms: &Terms) -> Self {
        fn some<T, R: for<'r> From<&'r T>>(rules: &[T]) -> Option<Vec<R>> {
            (!rules.is_empty()).then(|| rules.iter().map(R::from).collect())
        }
        let limits = &terms.limits;
        let jwks = terms.keys.as_ref();
        Self {
            name: terms.name.clone(),
            roles: terms.roles.iter().copied().collect(),
            limits: (*limits != Limits::default()).then(|| limits.into()),
            certificates: some(&terms.certificates),
            workloads: some(&terms.workloads),
            jwks: jwks.map(|keys| serde_json::from_slice(&keys.to_json()).unwrap_or_default()),
        }
    }
}

fn proofs<T>(
    rules: Option<Vec<T>>,
    member: &'static str,
) -> Result<impl Iterator<Item = T>, TermsError> {
    let rules = rules.unwrap_or_default();
    match rules.len() > MOST_PROOFS {
        true => Err(TermsError::Count(member)),
        false => Ok(rules.into_iter()),
    }
}

/// A set that passes keys over is right for a verifier and wrong here: a client that believes in
/// one of them would be locked out.
fn keys(document: &Value) -> Result<JwkSet, TermsError> {
    let set = JwkSet::parse(document.to_string().as_bytes())?;
    if let Some(unusable) = set.passed_over().first() {
        return Err(TermsError::UnusableKey(unusable.clone()));
    }
    if !(1..=MOST_KEYS).contains(&set.keys().len()) {
        return Err(TermsError::KeyCount);
    }
    Ok(set)
}
