//! A client's terms as the JSON document of the interfaces and of the store.

use std::collections::BTreeSet;

use keywright_verifier::json::{FieldError, Object};
use keywright_verifier::{JwkSet, JwkSetError, PassedOver};
use serde_json::{Map, Value};

use super::certificate::{CertificateRule, CertificateRuleError};
use super::client::Terms;
use super::limits::{Limits, LimitsError};
use super::role::Role;
use super::workload::{WorkloadError, WorkloadRule};

/// Why a document has no terms.
#[derive(Debug, thiserror::Error)]
pub enum TermsError {
    /// A member is missing, unknown or of the wrong type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A name that people could not read.
    #[error("a client's name has 1 to 64 printable ASCII characters")]
    Name,
    /// No role.
    #[error("roles must name at least one of issuer, security, auditor, admin")]
    NoRole,
    /// A role that does not exist.
    #[error("\"{0}\" is not one of the roles issuer, security, auditor, admin")]
    UnknownRole(String),
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

/// How much of a caller's own text an error repeats, in characters.
const LONGEST_SHOWN: usize = 64;

/// The most public keys of one client.
const MOST_KEYS: usize = 10;

impl Terms {
    /// Takes a client's terms out of an object that may have other members. `name` and `roles` are
    /// required; absent limits do not limit.
    ///
    /// # Errors
    /// [`TermsError`] names the member and the rule that it breaks.
    pub fn take_from(object: &mut Object) -> Result<Self, TermsError> {
        Self::take(object, Source::Caller)
    }

    /// Takes the terms of a record. Rules that came later than the record do not refuse it.
    pub(super) fn take_stored(object: &mut Object) -> Result<Self, TermsError> {
        Self::take(object, Source::Store)
    }

    fn take(object: &mut Object, source: Source) -> Result<Self, TermsError> {
        let name = object.string("name")?;
        let legal = |character: char| character.is_ascii_graphic() || character == ' ';
        if !(1..=64).contains(&name.len()) || !name.chars().all(legal) {
            return Err(TermsError::Name);
        }
        let roles = object
            .optional_strings("roles")?
            .ok_or(FieldError::Missing { field: "roles" })?;
        let unknown = |name: &String| {
            TermsError::UnknownRole(name.escape_default().take(LONGEST_SHOWN).collect())
        };
        let roles = roles
            .iter()
            .map(|name| Role::parse(name).ok_or_else(|| unknown(name)));
        let roles: BTreeSet<Role> = roles.collect::<Result<_, _>>()?;
        if roles.is_empty() {
            return Err(TermsError::NoRole);
        }
        let limits = match object.optional_object("limits")? {
            Some(limits) => Limits::read(limits.into_map().into(), source)?,
            None => Limits::default(),
        };
        let certificates = entries(object, "certificates")?.into_iter();
        let workloads = entries(object, "workloads")?.into_iter();
        Ok(Self {
            name,
            roles,
            limits,
            certificates: certificates
                .map(CertificateRule::parse)
                .collect::<Result<_, _>>()?,
            workloads: workloads
                .map(|workload| WorkloadRule::read(workload, source))
                .collect::<Result<_, _>>()?,
            keys: object
                .optional_object("jwks")?
                .map(|set| keys(&set.into_map().into()))
                .transpose()?,
        })
    }

    /// The terms as members that [`Terms::take_from`] reads. What there is nothing of is left out.
    pub fn to_members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("name".to_owned(), self.name.as_str().into());
        let roles: Vec<&str> = self.roles.iter().map(|role| role.as_str()).collect();
        members.insert("roles".to_owned(), roles.into());
        if self.limits != Limits::default() {
            members.insert("limits".to_owned(), self.limits.to_document());
        }
        if !self.certificates.is_empty() {
            let rules = self.certificates.iter().map(CertificateRule::to_document);
            members.insert("certificates".to_owned(), rules.collect());
        }
        if !self.workloads.is_empty() {
            let rules = self.workloads.iter().map(WorkloadRule::to_document);
            members.insert("workloads".to_owned(), rules.collect());
        }
        if let Some(keys) = &self.keys {
            let keys = serde_json::from_slice(&keys.to_json()).unwrap_or_default();
            members.insert("jwks".to_owned(), keys);
        }
        members
    }
}

fn entries(object: &mut Object, member: &'static str) -> Result<Vec<Value>, TermsError> {
    let entries = object.optional_array(member)?.unwrap_or_default();
    if entries.len() > MOST_PROOFS {
        return Err(TermsError::Count(member));
    }
    Ok(entries)
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
