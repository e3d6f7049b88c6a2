//! A JSON Schema over the claims of a request.

use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

use super::{LimitBroken, SHOWN};

/// A JSON Schema (draft 2020-12) that the `claims` of a request must satisfy as a whole.
///
/// It refers to nothing outside itself, and its patterns take time in proportion to what they read:
/// neither the network nor a clever text can be made to hold a signature up.
#[derive(Clone)]
pub struct ClaimsSchema {
    document: Value,
    validator: Arc<Validator>,
}

/// Why a document is no such schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchema {
    /// It does not compile.
    #[error("it is no JSON Schema of draft 2020-12 that stands alone: {0}")]
    Uncompilable(String),
    /// It is too large.
    #[error("it has more than {LARGEST} bytes")]
    TooLarge,
}

/// The largest schema, in bytes of compact JSON.
const LARGEST: usize = 16 * 1024;

/// The largest compiled pattern, in bytes: a pattern of a few characters can ask for gigabytes.
const LARGEST_PATTERN: usize = 1024 * 1024;

impl ClaimsSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// [`InvalidSchema`].
    pub fn compile(document: Value) -> Result<Self, InvalidSchema> {
        if document.to_string().len() > LARGEST {
            return Err(InvalidSchema::TooLarge);
        }
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex().size_limit(LARGEST_PATTERN))
            .build(&document)
            .map_err(|error| {
                let why = error.to_string();
                InvalidSchema::Uncompilable(why.chars().take(200).collect())
            })?;
        Ok(Self {
            document,
            validator: Arc::new(validator),
        })
    }

    /// The schema as it was given.
    pub fn document(&self) -> &Value {
        &self.document
    }

    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<(), LimitBroken> {
        let claims = Value::Object(claims.clone());
        self.validator.validate(&claims).map_err(|error| {
            // The place alone: the error's text repeats the schema and the value.
            let place = error.instance_path().as_str();
            let shown: String = place.escape_default().take(SHOWN).collect();
            LimitBroken {
                claim: if shown.is_empty() {
                    "claims".to_owned()
                } else {
                    shown
                },
                rule: "claims_schema",
                why: "the schema refuses it",
            }
        })
    }
}

impl PartialEq for ClaimsSchema {
    fn eq(&self, other: &Self) -> bool {
        self.document == other.document
    }
}

impl fmt::Debug for ClaimsSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClaimsSchema").field(&self.document).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_refusal_names_the_place_and_neither_value_nor_schema() {
        let schema = ClaimsSchema::compile(json!({
            "required": ["tenant"],
            "properties": {"tenant": {"enum": ["secret-tenant"]}},
        }))
        .unwrap();
        assert_eq!(
            schema.check(&claims(json!({"tenant": "secret-tenant"}))),
            Ok(())
        );
        let refusal = schema
            .check(&claims(json!({"tenant": "my-value"})))
            .unwrap_err();
        assert_eq!(refusal.claim, "/tenant");
        let text = refusal.to_string();
        assert!(!text.contains("secret-tenant") && !text.contains("my-value"));
        let refusal = schema.check(&claims(json!({}))).unwrap_err();
        assert_eq!(
            (refusal.claim.as_str(), refusal.rule),
            ("claims", "claims_schema")
        );
    }

    #[test]
    fn a_schema_that_looks_elsewhere_or_asks_for_too_much_is_refused() {
        for document in [
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"type": "nonsense"}),
            json!({"pattern": "(a+)+\\1"}),
            json!({"pattern": "((a{1000}){1000}){1000}"}),
            json!("text"),
        ] {
            let shown = document.to_string();
            assert!(ClaimsSchema::compile(document).is_err(), "{shown}");
        }
        let large = json!({ "description": "a".repeat(LARGEST) });
        assert_eq!(
            ClaimsSchema::compile(large).unwrap_err(),
            InvalidSchema::TooLarge
        );
    }
}
