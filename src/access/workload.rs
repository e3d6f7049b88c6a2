//! Clients that prove themselves with a token of another issuer: a Kubernetes service account, a
//! CI job, a cloud's instance identity.

use keywright_api as api;
use serde_json::Value;

use super::claim_name::{self, ClaimNameError};
use super::document::Source;
use super::pattern::{InvalidPattern, Pattern};

/// Which tokens of a trusted issuer are a client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadRule {
    /// The trusted issuer's name in the configuration.
    pub issuer: String,
    /// The claims that such a token must have, all of them.
    pub claims: Vec<ClaimRule>,
}

/// What one claim must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRule {
    /// The claim's name; or, if it begins with `/`, where it stands (RFC 6901).
    pub claim: String,
    /// What it must be; an array must have an entry that is.
    pub expected: ExpectedClaim,
}

/// What a claim must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedClaim {
    /// A text that matches; or a number or a boolean that is written so in JSON.
    Text(Pattern),
    /// This number or boolean, and no text.
    Scalar(Value),
}

impl ExpectedClaim {
    fn read(claim: String, value: Value) -> Result<Self, WorkloadError> {
        match value {
            Value::String(text) if text != "*" => Ok(Self::Text(Pattern::parse(&text)?)),
            Value::Number(_) | Value::Bool(_) => Ok(Self::Scalar(value)),
            _ => Err(WorkloadError::Value(claim)),
        }
    }

    fn to_document(&self) -> Value {
        match self {
            Self::Text(pattern) => pattern.to_string().into(),
            Self::Scalar(value) => value.clone(),
        }
    }

    fn is_met_by(&self, claim: &Value) -> bool {
        match (self, claim) {
            (_, Value::Array(entries)) => entries
                .iter()
                .any(|entry| !entry.is_array() && self.is_met_by(entry)),
            (Self::Text(pattern), Value::String(text)) => pattern.matches(text),
            // The beginning of a number says nothing about it.
            (Self::Text(Pattern::Exact(text)), Value::Number(_) | Value::Bool(_)) => {
                let spelled = claim.to_string();
                spelled == *text
            }
            (Self::Text(_), _) => false,
            (Self::Scalar(expected), claim) => expected == claim,
        }
    }
}

/// Why a document is no such rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// The issuer's name or a claim's name is empty or too long.
    #[error("a workload names an issuer and 1 to 16 claims, in 1 to 256 characters each")]
    Names,
    /// A claim may be anything, or is to be null, an array or an object.
    #[error(
        "the claim {0} of a workload must be a number, a boolean, or a text, which may end with a \
         \"*\" but not be one"
    )]
    Value(String),
    /// A claim's name could be read as another one.
    #[error(transparent)]
    ClaimName(#[from] ClaimNameError),
    /// A pattern does not read.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
}

impl WorkloadRule {
    /// Reads `{"issuer": "kubernetes", "claims": {"sub": "system:serviceaccount:prod:orders"}}`.
    ///
    /// # Errors
    /// [`WorkloadError`].
    pub fn new(document: api::WorkloadRule) -> Result<Self, WorkloadError> {
        Self::of(document, Source::Caller)
    }

    pub(super) fn of(document: api::WorkloadRule, source: Source) -> Result<Self, WorkloadError> {
        let api::WorkloadRule { issuer, claims } = document;
        let short = |text: &str| (1..=256).contains(&text.len());
        if !short(&issuer)
            || !(1..=16).contains(&claims.len())
            || !claims.keys().all(|claim| short(claim))
        {
            return Err(WorkloadError::Names);
        }
        if source == Source::Caller {
            claims
                .keys()
                .try_for_each(|claim| claim_name::check(claim))?;
        }
        let claims = claims.into_iter().map(|(claim, api::ClaimPattern(value))| {
            let expected = ExpectedClaim::read(claim.clone(), value)?;
            Ok(ClaimRule { claim, expected })
        });
        Ok(Self {
            issuer,
            claims: claims.collect::<Result<_, WorkloadError>>()?,
        })
    }

    /// Whether the verified claims of a token of this issuer are the client's.
    pub fn matches(&self, claims: &Value) -> bool {
        self.claims.iter().all(|rule| {
            let value = if rule.claim.starts_with('/') {
                claims.pointer(&rule.claim)
            } else {
                claims.get(&rule.claim)
            };
            value.is_some_and(|value| rule.expected.is_met_by(value))
        })
    }
}

/// The document that [`WorkloadRule::new`] reads.
impl From<&WorkloadRule> for api::WorkloadRule {
    fn from(rule: &WorkloadRule) -> Self {
        let claims = rule.claims.iter();
        let claims = claims.map(|rule| {
            let expected = api::ClaimPattern(rule.expected.to_document());
            (rule.claim.clone(), expected)
        });
        Self {
            issuer: rule.issuer.clone(),
            claims: claims.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_rule(document: Value) -> Result<WorkloadRule, String> {
        let document = api::read(document, "rule").map_err(|error| error.to_string())?;
        WorkloadRule::new(document).map_err(|error| error.to_string())
    }

    #[test]
    fn a_workload_is_known_by_all_its_claims() {
        let document = json!({"issuer": "kubernetes", "claims": {
            "sub": "system:serviceaccount:prod:*",
            "/kubernetes.io/namespace": "prod",
        }});
        let rule = read_rule(document.clone()).unwrap();
        let written = serde_json::to_value(api::WorkloadRule::from(&rule)).unwrap();
        assert_eq!(written, document);
        let claims = |subject: &str, namespace: Value| json!({"sub": subject, "kubernetes.io": {"namespace": namespace}});
        let subject = "system:serviceaccount:prod:orders";
        assert!(rule.matches(&claims(subject, "prod".into())));
        assert!(!rule.matches(&claims(subject, "test".into())));
        assert!(!rule.matches(&claims(subject, json!(["test"]))));
        assert!(!rule.matches(&claims("system:serviceaccount:test:orders", "prod".into())));
        assert!(!rule.matches(&json!({ "sub": subject })));
    }

    #[test]
    fn numbers_booleans_and_arrays_are_matched() {
        let meets = |expected: Value, claim: Value| {
            let document = json!({"issuer": "a", "claims": {"c": expected}});
            let rule = read_rule(document.clone()).unwrap();
            let written = serde_json::to_value(api::WorkloadRule::from(&rule)).unwrap();
            assert_eq!(written, document);
            rule.matches(&json!({ "c": claim }))
        };
        for (expected, claim) in [
            (json!("true"), json!(true)),
            (json!(true), json!(true)),
            (json!("4711"), json!(4711)),
            (json!(4711), json!(4711)),
            (json!("1.5"), json!(1.5)),
            (json!(-3), json!(-3)),
            (
                json!(18_446_744_073_709_551_615_u64),
                json!(18_446_744_073_709_551_615_u64),
            ),
            (json!("admins"), json!(["users", "admins"])),
            (json!("team-*"), json!(["users", "team-a"])),
            (json!(7), json!([1, 7])),
            (json!("7"), json!(["a", 7])),
        ] {
            assert!(meets(expected.clone(), claim.clone()), "{expected} {claim}");
        }
        for (expected, claim) in [
            (json!("true"), json!(false)),
            (json!(true), json!("true")),
            (json!(4711), json!("4711")),
            (json!(4711), json!(47110)),
            (json!("4711"), json!(47110)),
            (json!("47*"), json!(4711)),
            (json!("t*"), json!(true)),
            (json!("null"), json!(null)),
            (json!("[]"), json!([])),
            (json!("admins"), json!([])),
            (json!("admins"), json!(["admins2"])),
            (json!("admins"), json!([["admins"]])),
            (json!("admins"), json!({"admins": true})),
        ] {
            assert!(
                !meets(expected.clone(), claim.clone()),
                "{expected} {claim}"
            );
        }
    }

    #[test]
    fn a_rule_that_matches_everything_cannot_be_written() {
        for document in [
            json!({"issuer": "a", "claims": {}}),
            json!({"issuer": "", "claims": {"sub": "a"}}),
            json!({"issuer": "a", "claims": {"sub": null}}),
            json!({"issuer": "a", "claims": {"sub": ["a"]}}),
            json!({"issuer": "a", "claims": {"sub": {}}}),
            json!({"issuer": "a", "claims": {"sub": ""}}),
            json!({"issuer": "a", "claims": {"sub": "*"}}),
            json!({"issuer": "a"}),
            json!({"issuer": "a", "claims": {"sub": "a"}, "claim": 1}),
        ] {
            let shown = document.to_string();
            assert!(read_rule(document).is_err(), "{shown}");
        }
    }
}
