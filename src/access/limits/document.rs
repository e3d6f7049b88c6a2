//! Limits as the JSON document of the interfaces and of the store.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use keywright_api as api;
use keywright_api::{Entries, OwnId, PositiveDuration, ReadError, read};
use serde_json::Value;

use super::{ClaimsSchema, InvalidSchema, Limits, Rate, Subjects};
use crate::access::claim_name;
use crate::access::document::Source;
use crate::access::pattern::{InvalidPattern, Pattern};

/// Why a document has no limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A member is unknown, of the wrong type or of the wrong form.
    #[error(transparent)]
    Form(#[from] ReadError),
    /// A pattern does not read.
    #[error("{member}: {source}")]
    Pattern {
        /// The member.
        member: &'static str,
        /// What a pattern looks like.
        source: InvalidPattern,
    },
    /// An entry of a list does not read.
    #[error("{member}: {rule}")]
    Entry {
        /// The member.
        member: &'static str,
        /// What an entry looks like.
        rule: &'static str,
    },
    /// The schema is none.
    #[error("claims_schema: {0}")]
    Schema(#[from] InvalidSchema),
    /// The rate is out of range.
    #[error("rate has signatures_per_second and burst, each from 1 to 1000000")]
    Rate,
}

/// The largest rate, and the largest burst.
const LARGEST_RATE: u64 = 1_000_000;

impl Limits {
    /// Reads a document of limits. Every member may be absent, and does not limit then.
    ///
    /// # Errors
    /// [`LimitsError`] names the member and the rule that it breaks.
    pub fn from_document(document: Value) -> Result<Self, LimitsError> {
        Self::of(read(document, "limits")?, Source::Caller)
    }

    pub(in crate::access) fn of(
        document: api::Limits,
        source: Source,
    ) -> Result<Self, LimitsError> {
        let schema = document.claims_schema.map(|schema| match source {
            Source::Caller => ClaimsSchema::compile(schema),
            Source::Store => Ok(ClaimsSchema::stored(schema)),
        });
        let subjects = document.subjects.map(|subjects| match subjects {
            api::Subjects::OwnId(OwnId::OwnId) => Ok(Subjects::OwnId),
            api::Subjects::Matching(texts) => patterns("subjects", &texts).map(Subjects::Matching),
        });
        let audiences = document.audiences.as_deref();
        Ok(Self {
            issuers: document
                .issuers
                .map(|names| names.into_vec().into_iter().collect()),
            audiences: audiences
                .map(|texts| patterns("audiences", texts))
                .transpose()?,
            subjects: subjects.transpose()?,
            client_ids: document
                .client_ids
                .as_deref()
                .map(|texts| patterns("client_ids", texts))
                .transpose()?,
            scopes: entries("scopes", document.scopes, |api::Scope(text)| {
                scope_token(&text)
            })?,
            claims: entries("claims", document.claims, |api::ClaimName(text)| {
                claim_name(&text, source)
            })?,
            claims_schema: schema.transpose()?,
            max_ttl: document.max_ttl.map(|PositiveDuration(longest)| longest),
            algorithms: document.algorithms.map(|names| {
                let mut algorithms = Vec::new();
                for name in names.into_vec() {
                    if !algorithms.contains(&name) {
                        algorithms.push(name);
                    }
                }
                algorithms
            }),
            types: entries("types", document.types, |api::TypeName(text)| {
                type_name(&text)
            })?
            .map(|types: BTreeSet<String>| types.into_iter().collect()),
            rate: document.rate.map(rate).transpose()?,
        })
    }
}

/// The limits as a document that [`Limits::from_document`] reads: those that there are.
impl From<&Limits> for api::Limits {
    fn from(limits: &Limits) -> Self {
        let texts = |patterns: &[Pattern]| {
            let texts = patterns.iter().map(Pattern::to_string);
            texts.map(api::Pattern).collect()
        };
        let of = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
        Self {
            issuers: limits
                .issuers
                .as_ref()
                .map(|names| names.iter().cloned().collect()),
            audiences: limits.audiences.as_deref().map(texts),
            subjects: limits.subjects.as_ref().map(|subjects| match subjects {
                Subjects::OwnId => api::Subjects::OwnId(OwnId::OwnId),
                Subjects::Matching(patterns) => api::Subjects::Matching(texts(patterns)),
            }),
            client_ids: limits.client_ids.as_deref().map(texts),
            scopes: limits
                .scopes
                .as_ref()
                .map(|names| of(names).into_iter().map(api::Scope).collect()),
            claims: limits
                .claims
                .as_ref()
                .map(|names| of(names).into_iter().map(api::ClaimName).collect()),
            claims_schema: limits
                .claims_schema
                .as_ref()
                .map(|schema| schema.document().clone()),
            max_ttl: limits.max_ttl.map(PositiveDuration),
            algorithms: limits
                .algorithms
                .as_ref()
                .map(|names| names.iter().copied().collect()),
            types: limits
                .types
                .as_ref()
                .map(|names| names.iter().cloned().map(api::TypeName).collect()),
            rate: limits.rate.map(|rate| api::Rate {
                signatures_per_second: rate.signatures_per_second.get().into(),
                burst: rate.burst.get().into(),
            }),
        }
    }
}

fn entries<T, E: Ord, const LEAST: usize>(
    member: &'static str,
    entries: Option<Entries<T, LEAST, 1000>>,
    read: impl Fn(T) -> Result<E, &'static str>,
) -> Result<Option<BTreeSet<E>>, LimitsError> {
    let wrong = |rule| LimitsError::Entry { member, rule };
    let entries = entries.map(|entries| {
        let entries = entries.into_vec().into_iter();
        entries.map(|entry| read(entry).map_err(wrong)).collect()
    });
    entries.transpose()
}

/// RFC 6749 §3.3.
fn scope_token(text: &str) -> Result<String, &'static str> {
    let legal = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if (1..=256).contains(&text.len()) && text.bytes().all(legal) {
        Ok(text.to_owned())
    } else {
        Err("a scope has 1 to 256 visible ASCII characters without \" and \\")
    }
}

fn claim_name(text: &str, source: Source) -> Result<String, &'static str> {
    if !(1..=256).contains(&text.len()) || text.chars().any(char::is_control) {
        return Err("the name of a claim has 1 to 256 characters without control characters");
    }
    if source == Source::Caller && claim_name::check(text).is_err() {
        return Err(
            "the name of a claim has no format or line separator characters, and does not read like \
             a registered claim to decoders that ignore case",
        );
    }
    Ok(text.to_owned())
}

fn type_name(text: &str) -> Result<String, &'static str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".+-/".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
        Ok(text.to_owned())
    } else {
        Err("a type has 1 to 64 characters of letters, digits and . + - /")
    }
}

fn patterns(member: &'static str, texts: &[api::Pattern]) -> Result<Vec<Pattern>, LimitsError> {
    let wrong = |source| LimitsError::Pattern { member, source };
    texts
        .iter()
        .map(|api::Pattern(text)| Pattern::parse(text).map_err(wrong))
        .collect()
}

fn rate(rate: api::Rate) -> Result<Rate, LimitsError> {
    let count = |count: u64| {
        let count = u32::try_from(count.min(LARGEST_RATE + 1)).ok();
        count
            .filter(|count| u64::from(*count) <= LARGEST_RATE)
            .and_then(NonZeroU32::new)
            .ok_or(LimitsError::Rate)
    };
    Ok(Rate {
        signatures_per_second: count(rate.signatures_per_second)?,
        burst: count(rate.burst)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document_of(limits: &Limits) -> Value {
        serde_json::to_value(api::Limits::from(limits)).unwrap()
    }

    #[test]
    fn limits_read_as_they_are_written() {
        let document = json!({
            "issuers": ["default", "other"],
            "audiences": ["orders", "https://api.example.com/*"],
            "subjects": ["user-*"],
            "client_ids": ["web"],
            "scopes": ["orders:read", "orders:write"],
            "claims": ["client_id", "tenant"],
            "claims_schema": {"required": ["tenant"]},
            "max_ttl": "10m",
            "algorithms": ["ES256"],
            "types": ["at+jwt"],
            "rate": {"signatures_per_second": 100, "burst": 200},
        });
        let limits = Limits::from_document(document.clone()).unwrap();
        assert_eq!(document_of(&limits), document);
        let none = Limits::from_document(json!({})).unwrap();
        assert_eq!((document_of(&none), none), (json!({}), Limits::default()));
        let own = json!({"subjects": "own-id", "scopes": [], "claims": []});
        assert_eq!(
            document_of(&Limits::from_document(own.clone()).unwrap()),
            own
        );
    }

    #[test]
    fn what_does_not_limit_or_forbids_everything_is_refused() {
        for (document, expected) in [
            (json!({"audience": []}), "audience"),
            (json!({"issuers": []}), "issuers: must name"),
            (json!({"issuers": ["A"]}), "issuers: an issuer's name"),
            (json!({"audiences": []}), "audiences: must name"),
            (json!({"audiences": ["a*b"]}), "audiences: a pattern"),
            (json!({"subjects": "own"}), "subjects must be"),
            (json!({"subjects": []}), "subjects: must name"),
            (json!({"subjects": [1]}), "subjects must be"),
            (json!({"scopes": ["a b"]}), "scopes: a scope"),
            (json!({"claims": [""]}), "claims: the name"),
            (json!({"claims_schema": {"type": 1}}), "claims_schema: "),
            (
                json!({"max_ttl": "0s"}),
                "max_ttl: a duration of at least 1s",
            ),
            (json!({"max_ttl": "1"}), "max_ttl: a duration"),
            (json!({"algorithms": []}), "algorithms: must name"),
            (json!({"algorithms": ["none"]}), "algorithms: "),
            (json!({"types": ["a b"]}), "types: a type"),
            (json!({"rate": {"signatures_per_second": 1}}), "burst"),
            (
                json!({"rate": {"signatures_per_second": 0, "burst": 1}}),
                "rate has",
            ),
            (
                json!({"rate": {"signatures_per_second": 1, "burst": 1_000_001}}),
                "rate has",
            ),
        ] {
            let refusal = Limits::from_document(document).unwrap_err().to_string();
            assert!(refusal.contains(expected), "{refusal} has no {expected}");
        }
    }
}
