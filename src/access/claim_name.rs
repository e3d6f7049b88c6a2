//! Names of claims that a verifier could read as other names.
//!
//! JSON compares names byte for byte (RFC 8259 §8.3). Some decoders do not: Go's `encoding/json`
//! takes `Sub`, and `ſub` with a long s, for `sub`, and the last one counts. So a name that reads
//! like another one that a rule is about must be that name.

use std::collections::BTreeMap;

use keywright_verifier::revocation::ANCESTORS_CLAIM;
use serde_json::{Map, Value};

use crate::printable::is_hidden;

/// The claims that rules of keywright's own are about, for every client.
const RULED: [&str; 16] = [
    "act",
    ANCESTORS_CLAIM,
    "aud",
    "client_id",
    "cnf",
    "exp",
    "iat",
    "iss",
    "jti",
    "may_act",
    "nbf",
    "scope",
    "sid",
    "single_use",
    "status",
    "sub",
];

/// The longest part of a name that an error repeats, in characters.
const SHOWN: usize = 64;

/// Why a name is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimNameError {
    /// It has a character that cannot be seen.
    #[error("the claim name {name} has a control, format or line separator character")]
    Hidden {
        /// The name, with escapes.
        name: String,
    },
    /// A decoder that ignores case reads it as a name that a rule is about.
    #[error("the claim name {name} reads like {other} to decoders that ignore case")]
    Resembles {
        /// The name, with escapes.
        name: String,
        /// The name that it reads like.
        other: String,
    },
}

impl ClaimNameError {
    /// The name that is not taken, with escapes.
    pub fn name(&self) -> &str {
        match self {
            Self::Hidden { name } | Self::Resembles { name, .. } => name,
        }
    }
}

/// The names that one client's schema speaks of, at any depth, each by what it is when it is
/// folded.
#[derive(Debug, Clone, Default)]
pub struct LimitedNames(BTreeMap<String, Vec<String>>);

impl LimitedNames {
    /// The names that a JSON Schema gives to members.
    pub fn of_schema(schema: &Value) -> Self {
        let mut names = Self::default();
        names.collect(schema);
        names
    }

    fn collect(&mut self, schema: &Value) {
        match schema {
            Value::Array(entries) => entries.iter().for_each(|entry| self.collect(entry)),
            Value::Object(members) => {
                for (keyword, value) in members {
                    match (keyword.as_str(), value) {
                        (
                            "properties" | "dependentRequired" | "dependentSchemas",
                            Value::Object(named),
                        ) => named.keys().for_each(|name| self.insert(name)),
                        ("required", Value::Array(required)) => {
                            let required = required.iter().filter_map(Value::as_str);
                            required.for_each(|name| self.insert(name));
                        }
                        _ => {}
                    }
                    self.collect(value);
                }
            }
            _ => {}
        }
    }

    fn insert(&mut self, name: &str) {
        let names = self.0.entry(folded(name).collect()).or_default();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }

    fn check(&self, name: &str) -> Result<(), ClaimNameError> {
        check_visible(name)?;
        let key: String = folded(name).collect();
        match self.0.get(&key).map(Vec::as_slice) {
            Some(names @ [other, ..]) if !names.iter().any(|known| known == name) => {
                Err(resembles(name, other))
            }
            _ => Ok(()),
        }
    }

    fn check_members(&self, value: &Value) -> Result<(), ClaimNameError> {
        match value {
            Value::Array(entries) => entries
                .iter()
                .try_for_each(|entry| self.check_members(entry)),
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                self.check(name)?;
                self.check_members(value)
            }),
            _ => Ok(()),
        }
    }
}

/// Whether the names of these claims can be taken for what they are: those of the claims themselves,
/// and, where a schema speaks of names, all members inside as well.
///
/// # Errors
/// [`ClaimNameError`]: the first name that cannot.
pub fn check_claims(
    claims: &Map<String, Value>,
    limited: Option<&LimitedNames>,
) -> Result<(), ClaimNameError> {
    for (name, value) in claims {
        check(name)?;
        if let Some(limited) = limited {
            limited.check(name)?;
            limited.check_members(value)?;
        }
    }
    Ok(())
}

/// Whether a name can be that of a claim.
///
/// # Errors
/// [`ClaimNameError`].
pub fn check(name: &str) -> Result<(), ClaimNameError> {
    // Nearly every name is its own fold, and so resembles none but itself.
    let is_own_fold =
        |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b':' | b'/');
    if name.bytes().all(is_own_fold) {
        return Ok(());
    }
    check_visible(name)?;
    let other = RULED
        .into_iter()
        .find(|other| *other != name && folded(name).eq(other.chars()));
    other.map_or(Ok(()), |other| Err(resembles(name, other)))
}

fn check_visible(name: &str) -> Result<(), ClaimNameError> {
    if name.chars().any(is_hidden) {
        return Err(ClaimNameError::Hidden { name: shown(name) });
    }
    Ok(())
}

fn resembles(name: &str, other: &str) -> ClaimNameError {
    ClaimNameError::Resembles {
        name: shown(name),
        other: shown(other),
    }
}

/// A name that is not ASCII is spelled out: it may look exactly like another one.
fn shown(name: &str) -> String {
    name.escape_default().take(SHOWN).collect()
}

/// A name as decoders compare it that ignore case. Two names are equal here if they are equal for
/// any of simple case folding (Go), upper case (Java) or lower case.
fn folded(name: &str) -> impl Iterator<Item = char> {
    // `İ` is an i with a dot above in lower case, and a plain i for decoders that fold one to one.
    const DOT_ABOVE: char = '\u{307}';
    name.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .filter(|character| *character != DOT_ABOVE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_name_that_folds_into_one_with_a_rule_must_be_that_name() {
        for name in RULED {
            assert_eq!(check(name), Ok(()));
            let upper = name.to_uppercase();
            let error = check(&upper).unwrap_err();
            assert_eq!(error, resembles(&upper, name));
        }
        for (name, other) in [
            ("\u{17f}ub", "sub"),
            ("\u{17f}cope", "scope"),
            ("\u{131}ss", "iss"),
            ("\u{130}at", "iat"),
            ("cl\u{131}ent_id", "client_id"),
            ("nBf", "nbf"),
        ] {
            let error = check(name).unwrap_err();
            assert!(
                error
                    .to_string()
                    .ends_with(&format!("reads like {other} to decoders that ignore case"))
            );
            assert!(error.name().is_ascii(), "{error}");
        }
        for name in [
            "",
            "subs",
            "su",
            "ſu",
            "s u b",
            "tenant",
            "Tenant",
            "日本",
            "straße",
            "ｓｕｂ",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_names_of_a_schema_hold_at_every_depth() {
        let names = LimitedNames::of_schema(&json!({
            "properties": {"token_kind": {}, "act": {"properties": {"role": {}}}},
            "required": ["tenant"],
            "allOf": [{"dependentRequired": {"groups": ["teams"]}}, {"dependentSchemas": {"ski": {}}}],
            "$defs": {"unused": {"properties": {"stra\u{df}e": {}}}},
            "enum": ["properties"],
        }));
        let named = json!({
            "token_kind": 1, "role": [{"tenant": {"groups": {"ski": 1, "stra\u{df}e": 2}}}], "teams": 1,
        });
        assert_eq!(check_claims(&claims(named), Some(&names)), Ok(()));
        for wrong in [
            // The Kelvin sign.
            json!({"token_\u{212a}ind": 1}),
            json!({"a": {"Role": 1}}),
            json!({"a": [[{"TENANT": 1}]]}),
            json!({"a": {"b": {"gr\u{200b}oups": 1}}}),
            json!({"\u{17f}ki": 1}),
            json!({"STRASSE": 1}),
        ] {
            let shown = wrong.to_string();
            let wrong = claims(wrong);
            assert!(check_claims(&wrong, Some(&names)).is_err(), "{shown}");
            assert_eq!(check_claims(&wrong, None), Ok(()), "{shown}");
        }
    }
}
