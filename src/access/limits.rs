//! What a client may assert: the claim policy that keeps the signing API from being a confused
//! deputy.
//!
//! A limit that is absent does not limit. One that is present must be met, also by silence: a
//! client whose audiences are limited must name one, because a token without `aud` is accepted by
//! verifiers that do not look. A refusal names the claim and the rule, and nothing of other
//! clients.

mod document;
mod schema;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use keywright_verifier::Algorithm;
use keywright_verifier::json::{AnyValue, BorrowedValue, Members};
use keywright_verifier::revocation::Selector;
use serde_json::Value;

use super::pattern::Pattern;
use crate::lifecycle::IssuerName;

pub use document::LimitsError;
pub use schema::{ClaimsSchema, InvalidSchema, LITTLE_WORK, MOST_WORK_OF_BATCH};

/// Everything that can be held against a request of one client.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// The issuers that it may call at all, with any of its roles.
    pub issuers: Option<BTreeSet<IssuerName>>,
    /// What each `aud` must match; `aud` is required then.
    pub audiences: Option<Vec<Pattern>>,
    /// What `sub` must match; `sub` is required then.
    pub subjects: Option<Subjects>,
    /// What `client_id` must match; it is required then.
    pub client_ids: Option<Vec<Pattern>>,
    /// The scope tokens of which `scope` may name any subset, the empty one included.
    pub scopes: Option<BTreeSet<String>>,
    /// The claims that it may set beside `sub`, `aud`, `scope` and `nbf`.
    pub claims: Option<BTreeSet<String>>,
    /// What the `claims` of a request must satisfy as a whole.
    pub claims_schema: Option<ClaimsSchema>,
    /// The longest lifetime of a token.
    pub max_ttl: Option<Duration>,
    /// The algorithms.
    pub algorithms: Option<Vec<Algorithm>>,
    /// The types of tokens, without regard to case and to a leading `application/`.
    pub types: Option<Vec<String>>,
    /// How many signatures it may ask for.
    pub rate: Option<Rate>,
}

/// Whose tokens a client may have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subjects {
    /// Its own: `sub` is the client's id.
    OwnId,
    /// Those that match one of these.
    Matching(Vec<Pattern>),
}

/// Signatures in the long run and at once. A batch counts as many as it has requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Signatures a second.
    pub signatures_per_second: NonZeroU32,
    /// Signatures that may come at once after a pause.
    pub burst: NonZeroU32,
}

/// What a client asks to have signed, with the policy's defaults filled in.
pub struct Asked<'a> {
    /// The caller's claims.
    pub claims: &'a Members<'a>,
    /// The lifetime.
    pub lifetime: Duration,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The type.
    pub typ: &'a str,
}

/// A limit that a request breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{claim} breaks the limit \"{rule}\" of this client: {why}")]
pub struct LimitBroken {
    /// The claim, or the member of the request, that breaks it.
    pub claim: String,
    /// The limit, as the client's document spells it.
    pub rule: &'static str,
    /// What is wrong, without the values that would be right.
    pub why: &'static str,
}

/// The longest part of a caller's own text that a refusal repeats, in characters.
const SHOWN: usize = 64;

/// The claims that limits of their own look after.
const LIMITED_BY_NAME: [&str; 4] = ["sub", "aud", "scope", "nbf"];

impl Limits {
    /// Whether the client may call this issuer at all.
    ///
    /// # Errors
    /// [`LimitBroken`] of the rule `issuers`.
    pub fn check_issuer(&self, issuer: &str) -> Result<(), LimitBroken> {
        match &self.issuers {
            Some(issuers) if !issuers.contains(issuer) => {
                broken("iss", "issuers", "the issuer is not among them")
            }
            _ => Ok(()),
        }
    }

    /// Whether the client with this id may have this signed, as far as the schema does not say it:
    /// that takes longer, and comes last ([`ClaimsSchema::check`]).
    ///
    /// # Errors
    /// [`LimitBroken`]: the first limit that is broken.
    pub fn check(&self, client: &str, asked: &Asked<'_>) -> Result<(), LimitBroken> {
        self.check_kind(asked)?;
        self.check_audience(asked.claims.get("aud"))?;
        self.check_subject(client, text(asked.claims, "sub"))?;
        self.check_client_id(text(asked.claims, "client_id"))?;
        self.check_scope(asked.claims.get("scope"))?;
        self.check_claims(asked.claims)
    }

    fn check_kind(&self, asked: &Asked<'_>) -> Result<(), LimitBroken> {
        if self.max_ttl.is_some_and(|longest| asked.lifetime > longest) {
            return broken("exp", "max_ttl", "the token would live longer");
        }
        if let Some(algorithms) = &self.algorithms
            && !algorithms.contains(&asked.algorithm)
        {
            return broken("alg", "algorithms", "the algorithm is not among them");
        }
        if let Some(types) = &self.types
            && !types.iter().any(|typ| is_same_type(typ, asked.typ))
        {
            return broken("typ", "types", "the type is not among them");
        }
        Ok(())
    }

    fn check_audience(&self, audience: Option<&BorrowedValue<'_>>) -> Result<(), LimitBroken> {
        let Some(patterns) = &self.audiences else {
            return Ok(());
        };
        let is_within = |value: &BorrowedValue<'_>| {
            let text = value.as_str();
            text.is_some_and(|text| patterns.iter().any(|pattern| pattern.matches(text)))
        };
        match audience {
            None => broken("aud", "audiences", "the claim is required"),
            Some(BorrowedValue::Array(values))
                if !values.is_empty() && values.iter().all(is_within) =>
            {
                Ok(())
            }
            Some(value) if is_within(value) => Ok(()),
            Some(_) => broken("aud", "audiences", "an audience is outside it"),
        }
    }

    /// Whether one of a token's audiences is within the limit, so that the client may be told of it.
    pub fn has_audience(&self, audience: Option<&Value>) -> bool {
        let Some(patterns) = &self.audiences else {
            return true;
        };
        let values = match audience {
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        let mut texts = values.iter().filter_map(Value::as_str);
        texts.any(|text| patterns.iter().any(|pattern| pattern.matches(text)))
    }

    /// Whether the client with this id may have tokens signed for this subject.
    ///
    /// # Errors
    /// [`LimitBroken`].
    pub fn check_subject(&self, client: &str, subject: Option<&str>) -> Result<(), LimitBroken> {
        let Some(subjects) = &self.subjects else {
            return Ok(());
        };
        let Some(subject) = subject else {
            return broken("sub", "subjects", "the claim is required");
        };
        let is_within = match subjects {
            Subjects::OwnId => subject == client,
            Subjects::Matching(patterns) => patterns.iter().any(|pattern| pattern.matches(subject)),
        };
        if is_within {
            Ok(())
        } else {
            broken("sub", "subjects", "the subject is outside it")
        }
    }

    /// Whether the client with this id may take back what a selector names, with the role `revoker`: a
    /// subject that it could have tokens signed for, alone or together with a session.
    ///
    /// # Errors
    /// [`LimitBroken`].
    pub fn check_revocation(&self, client: &str, selector: &Selector) -> Result<(), LimitBroken> {
        match selector {
            Selector::Subject(subject) | Selector::SubjectAndSession { subject, .. } => {
                self.check_subject(client, Some(subject.as_str()))
            }
            _ => broken(
                selector.kind().as_str(),
                "revoker",
                "it is for the role security: a revoker names a token, or a subject within its \
                 limits, alone or with a session",
            ),
        }
    }

    fn check_client_id(&self, client_id: Option<&str>) -> Result<(), LimitBroken> {
        let Some(patterns) = &self.client_ids else {
            return Ok(());
        };
        let Some(client_id) = client_id else {
            return broken("client_id", "client_ids", "the claim is required");
        };
        match patterns.iter().any(|pattern| pattern.matches(client_id)) {
            true => Ok(()),
            false => broken("client_id", "client_ids", "the client is outside it"),
        }
    }

    fn check_scope(&self, scope: Option<&BorrowedValue<'_>>) -> Result<(), LimitBroken> {
        let (Some(scopes), Some(scope)) = (&self.scopes, scope) else {
            return Ok(());
        };
        // Anything but one space between two tokens leaves a part that is no token (RFC 6749 §3.3).
        let is_within = scope
            .as_str()
            .is_some_and(|scope| scope.split(' ').all(|token| scopes.contains(token)));
        if is_within {
            Ok(())
        } else {
            broken("scope", "scopes", "a scope is outside it")
        }
    }

    fn check_claims(&self, claims: &Members<'_>) -> Result<(), LimitBroken> {
        if let Some(allowed) = &self.claims {
            let mut names = claims.iter().map(|(name, _)| name);
            let outside =
                names.find(|name| !LIMITED_BY_NAME.contains(name) && !allowed.contains(*name));
            if let Some(name) = outside {
                let shown: String = name.escape_default().take(SHOWN).collect();
                return broken(&shown, "claims", "the claim is not among them");
            }
        }
        Ok(())
    }
}

/// A claim that is a string.
fn text<'c>(claims: &'c Members<'_>, name: &str) -> Option<&'c str> {
    claims.get(name)?.as_str()
}

/// Media types are compared without regard to case, and `application/` may be left out
/// (RFC 7515 §4.1.9).
pub fn is_same_type(one: &str, other: &str) -> bool {
    bare_type(one).eq_ignore_ascii_case(bare_type(other))
}

fn bare_type(typ: &str) -> &str {
    const APPLICATION: &str = "application/";
    match typ.split_at_checked(APPLICATION.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(APPLICATION) && !rest.contains('/') => {
            rest
        }
        _ => typ,
    }
}

fn broken(claim: &str, rule: &'static str, why: &'static str) -> Result<(), LimitBroken> {
    Err(LimitBroken {
        claim: claim.to_owned(),
        rule,
        why,
    })
}
