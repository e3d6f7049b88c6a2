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
    /// What it must match. Only text matches.
    pub pattern: Pattern,
}

/// Why a document is no such rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// The issuer's name or a claim's name is empty or too long.
    #[error("a workload names an issuer and 1 to 16 claims, in 1 to 256 characters each")]
    Names,
    /// A claim may be anything.
    #[error("the claim {0} of a workload may end with a \"*\", but not be one")]
    Anything(String),
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
        let claims = claims.into_iter().map(|(claim, api::ClaimPattern(text))| {
            if text == "*" {
                return Err(WorkloadError::Anything(claim));
            }
            let pattern = Pattern::parse(&text)?;
            Ok(ClaimRule { claim, pattern })
        });
        Ok(Self {
            issuer,
            claims: claims.collect::<Result<_, _>>()?,
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
            value
                .and_then(Value::as_str)
                .is_some_and(|text| rule.pattern.matches(text))
        })
    }
}

/// The document that [`WorkloadRule::new`] reads.
impl From<&WorkloadRule> for api::WorkloadRule {
    fn from(rule: &WorkloadRule) -> Self {
        let claims = rule.claims.iter();
        let claims = claims.map(|rule| {
            let pattern = api::ClaimPattern(rule.pattern.to_string());
            (rule.claim.clone(), pattern)
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
        assert!(!rule.matches(&claims(subject, json!(["prod"]))));
        assert!(!rule.matches(&claims("system:serviceaccount:test:orders", "prod".into())));
        assert!(!rule.matches(&json!({ "sub": subject })));
    }

    #[test]
    fn a_rule_that_matches_everything_cannot_be_written() {
        for document in [
            json!({"issuer": "a", "claims": {}}),
            json!({"issuer": "", "claims": {"sub": "a"}}),
            json!({"issuer": "a", "claims": {"sub": 1}}),
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
