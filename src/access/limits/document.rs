//! Limits as the JSON document of the interfaces and of the store.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use keywright_verifier::json::{FieldError, Object};
use keywright_verifier::{Algorithm, UnknownAlgorithm};
use serde_json::{Map, Value, json};

use super::{ClaimsSchema, InvalidSchema, Limits, Rate, Subjects};
use crate::access::claim_name;
use crate::access::document::Source;
use crate::access::pattern::{InvalidPattern, Pattern};
use crate::lifecycle::{InvalidDuration, IssuerName, format_duration, parse_duration};

/// Why a document has no limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A member is missing, unknown or of the wrong type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A list that says "nothing at all", or says too much.
    #[error("{0} must name 1 to 1000, or be left out")]
    Count(&'static str),
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
    /// `subjects` is neither a list nor `own-id`.
    #[error("subjects must be an array of patterns, or \"own-id\"")]
    Subjects,
    /// An algorithm that keywright does not know.
    #[error("algorithms: {0}")]
    Algorithm(#[from] UnknownAlgorithm),
    /// The schema is none.
    #[error("claims_schema: {0}")]
    Schema(#[from] InvalidSchema),
    /// The longest lifetime does not read.
    #[error("max_ttl: {0}")]
    Duration(#[from] InvalidDuration),
    /// The longest lifetime is none.
    #[error("max_ttl must be at least 1s")]
    NoLifetime,
    /// The rate is out of range.
    #[error("rate has signatures_per_second and burst, each from 1 to 1000000")]
    Rate,
}

/// The most entries of one list.
const MOST_ENTRIES: usize = 1000;

/// The largest rate, and the largest burst.
const LARGEST_RATE: u64 = 1_000_000;

impl Limits {
    /// Reads a document of limits. Every member may be absent, and does not limit then.
    ///
    /// # Errors
    /// [`LimitsError`] names the member and the rule that it breaks.
    pub fn from_document(document: Value) -> Result<Self, LimitsError> {
        Self::read(document, Source::Caller)
    }

    pub(in crate::access) fn read(document: Value, source: Source) -> Result<Self, LimitsError> {
        let mut object = Object::new(document, "limits")?;
        let limits = Self::take_from(&mut object, source)?;
        object.finish()?;
        Ok(limits)
    }

    fn take_from(object: &mut Object, source: Source) -> Result<Self, LimitsError> {
        let schema = object.take("claims_schema");
        let schema = schema.map(|schema| match source {
            Source::Caller => ClaimsSchema::compile(schema),
            Source::Store => Ok(ClaimsSchema::stored(schema)),
        });
        Ok(Self {
            issuers: names(object, "issuers", Emptiness::Refused, issuer_name)?,
            audiences: patterns(object)?,
            subjects: object.take("subjects").map(subjects).transpose()?,
            scopes: names(object, "scopes", Emptiness::Meant, scope_token)?,
            claims: names(object, "claims", Emptiness::Meant, |text| {
                claim_name(text, source)
            })?,
            claims_schema: schema.transpose()?,
            max_ttl: max_ttl(object)?,
            algorithms: algorithms(object)?,
            types: names(object, "types", Emptiness::Refused, type_name)?
                .map(|types: BTreeSet<String>| types.into_iter().collect()),
            rate: object.optional_object("rate")?.map(rate).transpose()?,
        })
    }

    /// The limits as a document that [`Limits::from_document`] reads: those that there are.
    pub fn to_document(&self) -> Value {
        let mut document = Map::new();
        let mut write = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                document.insert(member.to_owned(), value);
            }
        };
        write(
            "issuers",
            self.issuers.as_ref().map(|names| {
                names
                    .iter()
                    .map(|name| Value::from(name.as_str()))
                    .collect()
            }),
        );
        write(
            "audiences",
            self.audiences.as_deref().map(patterns_document),
        );
        write(
            "subjects",
            self.subjects.as_ref().map(|subjects| match subjects {
                Subjects::OwnId => OWN_ID.into(),
                Subjects::Matching(patterns) => patterns_document(patterns),
            }),
        );
        write("scopes", self.scopes.as_ref().map(|scopes| json!(scopes)));
        write("claims", self.claims.as_ref().map(|claims| json!(claims)));
        let schema = self.claims_schema.as_ref();
        write(
            "claims_schema",
            schema.map(|schema| schema.document().clone()),
        );
        write(
            "max_ttl",
            self.max_ttl.map(|longest| format_duration(longest).into()),
        );
        write(
            "algorithms",
            self.algorithms.as_ref().map(|names| json!(names)),
        );
        write("types", self.types.as_ref().map(|types| json!(types)));
        write(
            "rate",
            self.rate.map(|rate| {
                json!({
                    "signatures_per_second": rate.signatures_per_second,
                    "burst": rate.burst,
                })
            }),
        );
        Value::Object(document)
    }
}

/// What an empty list is.
#[derive(PartialEq)]
enum Emptiness {
    /// A mistake: the client could do nothing at all.
    Refused,
    /// "None of them", which leaves something to do.
    Meant,
}

const OWN_ID: &str = "own-id";

fn names<T: Ord>(
    object: &mut Object,
    member: &'static str,
    emptiness: Emptiness,
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Option<BTreeSet<T>>, LimitsError> {
    let Some(entries) = object.optional_strings(member)? else {
        return Ok(None);
    };
    if entries.len() > MOST_ENTRIES || entries.is_empty() && emptiness == Emptiness::Refused {
        return Err(LimitsError::Count(member));
    }
    let entries = entries.iter().map(|entry| {
        let wrong = |rule| LimitsError::Entry { member, rule };
        read(entry).map_err(wrong)
    });
    entries.collect::<Result<_, _>>().map(Some)
}

fn issuer_name(text: &str) -> Result<IssuerName, &'static str> {
    IssuerName::parse(text).map_err(|_| "an issuer's name has 1 to 63 characters of a-z, 0-9 and -")
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

fn patterns(object: &mut Object) -> Result<Option<Vec<Pattern>>, LimitsError> {
    let Some(texts) = object.optional_strings("audiences")? else {
        return Ok(None);
    };
    read_patterns("audiences", texts.iter().map(String::as_str)).map(Some)
}

fn read_patterns<'t>(
    member: &'static str,
    texts: impl ExactSizeIterator<Item = &'t str>,
) -> Result<Vec<Pattern>, LimitsError> {
    if !(1..=MOST_ENTRIES).contains(&texts.len()) {
        return Err(LimitsError::Count(member));
    }
    let wrong = |source| LimitsError::Pattern { member, source };
    texts
        .map(|text| Pattern::parse(text).map_err(wrong))
        .collect()
}

fn patterns_document(patterns: &[Pattern]) -> Value {
    patterns.iter().map(Pattern::to_string).collect()
}

fn subjects(value: Value) -> Result<Subjects, LimitsError> {
    match value {
        Value::String(text) if text == OWN_ID => Ok(Subjects::OwnId),
        Value::Array(values) => {
            let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
            let texts = texts.ok_or(LimitsError::Subjects)?;
            read_patterns("subjects", texts.into_iter()).map(Subjects::Matching)
        }
        _ => Err(LimitsError::Subjects),
    }
}

fn max_ttl(object: &mut Object) -> Result<Option<Duration>, LimitsError> {
    let Some(text) = object.optional_string("max_ttl")? else {
        return Ok(None);
    };
    let longest = parse_duration(&text)?;
    if longest.is_zero() {
        return Err(LimitsError::NoLifetime);
    }
    Ok(Some(longest))
}

fn algorithms(object: &mut Object) -> Result<Option<Vec<Algorithm>>, LimitsError> {
    let Some(names) = object.optional_strings("algorithms")? else {
        return Ok(None);
    };
    let mut algorithms = Vec::new();
    for name in &names {
        let algorithm = name.parse()?;
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    if algorithms.is_empty() {
        return Err(LimitsError::Count("algorithms"));
    }
    Ok(Some(algorithms))
}

fn rate(mut object: Object) -> Result<Rate, LimitsError> {
    let mut count = |member| {
        let count = object.u64(member)?;
        let count = u32::try_from(count.min(LARGEST_RATE + 1)).ok();
        count
            .filter(|count| u64::from(*count) <= LARGEST_RATE)
            .and_then(NonZeroU32::new)
            .ok_or(LimitsError::Rate)
    };
    let (signatures_per_second, burst) = (count("signatures_per_second")?, count("burst")?);
    object.finish()?;
    Ok(Rate {
        signatures_per_second,
        burst,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_they_are_written() {
        let document = json!({
            "issuers": ["default", "other"],
            "audiences": ["orders", "https://api.example.com/*"],
            "subjects": ["user-*"],
            "scopes": ["orders:read", "orders:write"],
            "claims": ["client_id", "tenant"],
            "claims_schema": {"required": ["tenant"]},
            "max_ttl": "10m",
            "algorithms": ["ES256"],
            "types": ["at+jwt"],
            "rate": {"signatures_per_second": 100, "burst": 200},
        });
        let limits = Limits::from_document(document.clone()).unwrap();
        assert_eq!(limits.to_document(), document);
        let none = Limits::from_document(json!({})).unwrap();
        assert_eq!((none.to_document(), none), (json!({}), Limits::default()));
        let own = json!({"subjects": "own-id", "scopes": [], "claims": []});
        assert_eq!(
            Limits::from_document(own.clone()).unwrap().to_document(),
            own
        );
    }

    #[test]
    fn what_does_not_limit_or_forbids_everything_is_refused() {
        for (document, expected) in [
            (json!({"audience": []}), "audience"),
            (json!({"issuers": []}), "issuers must name"),
            (json!({"issuers": ["A"]}), "issuers: an issuer's name"),
            (json!({"audiences": []}), "audiences must name"),
            (json!({"audiences": ["a*b"]}), "audiences: a pattern"),
            (json!({"subjects": "own"}), "subjects must be"),
            (json!({"subjects": []}), "subjects must name"),
            (json!({"subjects": [1]}), "subjects must be"),
            (json!({"scopes": ["a b"]}), "scopes: a scope"),
            (json!({"claims": [""]}), "claims: the name"),
            (json!({"claims_schema": {"type": 1}}), "claims_schema: "),
            (json!({"max_ttl": "0s"}), "max_ttl must be"),
            (json!({"max_ttl": "1"}), "max_ttl: a duration"),
            (json!({"algorithms": []}), "algorithms must name"),
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
