//! What a token must have, in addition to being valid.

use std::collections::BTreeMap;

use serde_json::Value;

use super::denial::Denial;
use crate::config;

/// What every token must have, and what else it must have by the path that a gateway asks for.
pub(super) struct Requirements {
    always: Requirement,
    /// By the first segment of the path; without any, every path is the same.
    by_segment: BTreeMap<String, Requirement>,
}

#[derive(Debug, PartialEq)]
struct Requirement {
    scopes: Vec<String>,
    claims: BTreeMap<String, Value>,
}

/// A requirement that no token can meet, or that no path can choose.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidRequirement {
    #[error("requirements: \"{0}\" is not a path of one segment, such as \"/orders\"")]
    Path(String),
    #[error("requirements: there are two for the path \"{0}\"")]
    Duplicate(String),
    #[error("scopes: \"{0}\" is not a scope: it is empty, or has a space, a quote or a backslash")]
    Scope(String),
    #[error("claims: \"{0}\" must be a text, a number, true or false")]
    Claim(String),
}

impl Requirements {
    /// # Errors
    /// [`InvalidRequirement`].
    pub(super) fn new(settings: &config::Guard) -> Result<Self, InvalidRequirement> {
        let always = Requirement::new(&settings.scopes, &settings.claims)?;
        let mut by_segment = BTreeMap::new();
        for config::GuardRequirement {
            path,
            scopes,
            claims,
        } in &settings.requirements
        {
            let invalid = || InvalidRequirement::Path(path.clone());
            let segment = path.strip_prefix('/').ok_or_else(invalid)?;
            // Other characters have several spellings in a URL.
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if segment.is_empty() || !segment.bytes().all(is_plain) {
                return Err(invalid());
            }
            let requirement = Requirement::new(scopes, claims)?;
            if by_segment.insert(segment.to_owned(), requirement).is_some() {
                return Err(InvalidRequirement::Duplicate(path.clone()));
            }
        }
        Ok(Self { always, by_segment })
    }

    /// Checks the claims of a valid token.
    ///
    /// # Errors
    /// [`Denial::NoRequirement`], [`Denial::Scope`], [`Denial::Claim`].
    pub(super) fn check(&self, path: &str, claims: &Value) -> Result<(), Denial> {
        self.always.check(claims)?;
        if self.by_segment.is_empty() {
            return Ok(());
        }
        let segment = path
            .strip_prefix('/')
            .and_then(|path| path.split('/').next());
        let requirement = segment.and_then(|segment| self.by_segment.get(segment));
        requirement.ok_or(Denial::NoRequirement)?.check(claims)
    }
}

impl Requirement {
    fn new(
        scopes: &[String],
        claims: &BTreeMap<String, Value>,
    ) -> Result<Self, InvalidRequirement> {
        // RFC 6749 §3.3.
        let is_of_a_scope = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        let is_scope = |scope: &String| !scope.is_empty() && scope.bytes().all(is_of_a_scope);
        if let Some(scope) = scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(InvalidRequirement::Scope(scope.clone()));
        }
        let is_compared =
            |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        if let Some((name, _)) = claims.iter().find(|(_, value)| !is_compared(value)) {
            return Err(InvalidRequirement::Claim(name.clone()));
        }
        Ok(Self {
            scopes: scopes.to_vec(),
            claims: claims.clone(),
        })
    }

    fn check(&self, claims: &Value) -> Result<(), Denial> {
        let granted = claims.get("scope").and_then(Value::as_str).unwrap_or("");
        let is_granted = |scope: &String| granted.split(' ').any(|granted| granted == scope);
        if !self.scopes.iter().all(is_granted) {
            return Err(Denial::Scope(self.scopes.join(" ")));
        }
        let is_met = |(name, value): &(&String, &Value)| match claims.get(name.as_str()) {
            Some(Value::Array(values)) => values.contains(value),
            claimed => claimed == Some(*value),
        };
        match self.claims.iter().find(|claim| !is_met(claim)) {
            Some((name, _)) => Err(Denial::Claim(name.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requirements(toml: &str) -> Result<Requirements, InvalidRequirement> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guard.toml");
        std::fs::write(&file, toml).unwrap();
        let overrides = config::GuardOverrides::default();
        Requirements::new(&config::Guard::load(Some(&file), overrides).unwrap())
    }

    fn code(requirements: &Requirements, path: &str, claims: &Value) -> &'static str {
        let checked = requirements.check(path, claims);
        checked.map_or_else(|denial| denial.code(), |()| "accepted")
    }

    #[test]
    fn without_requirements_every_path_is_accepted() {
        let none = requirements("").unwrap();
        for path in ["/", "", "*", "/orders/../admin", "//"] {
            assert_eq!(code(&none, path, &json!({})), "accepted", "{path}");
        }
    }

    #[test]
    fn a_path_that_no_requirement_is_for_is_refused_however_it_is_written() {
        let some = requirements(
            "[[requirements]]\npath = \"/orders\"\n\n\
             [[requirements]]\npath = \"/admin\"\nscopes = [\"admin\"]",
        )
        .unwrap();
        for path in ["/orders", "/orders/", "/orders/7", "/orders/../admin"] {
            assert_eq!(code(&some, path, &json!({})), "accepted", "{path}");
        }
        for path in ["/admin", "/admin/users"] {
            assert_eq!(code(&some, path, &json!({})), "scope-missing", "{path}");
        }
        for path in [
            "/",
            "",
            "*",
            "//admin",
            "/%61dmin",
            "/Admin",
            "/orders%2F..",
            "/ordersx",
            "/./orders",
            "admin",
            "/admin;a=b",
            "/invoices",
        ] {
            assert_eq!(
                code(&some, path, &json!({ "scope": "admin" })),
                "path-unknown",
                "{path}"
            );
        }
    }

    #[test]
    fn scopes_and_claims_are_required_whole() {
        let some = requirements(
            "scopes = [\"orders:read\", \"openid\"]\n[claims]\ntenant = \"acme\"\nlevel = 2",
        )
        .unwrap();
        let scope = "openid orders:read";
        for (claims, expected) in [
            (
                json!({ "scope": scope, "tenant": "acme", "level": 2 }),
                "accepted",
            ),
            (
                json!({ "scope": scope, "tenant": ["b", "acme"], "level": [2] }),
                "accepted",
            ),
            (
                json!({ "scope": "openid orders:reader", "tenant": "acme" }),
                "scope-missing",
            ),
            (
                json!({ "scope": ["openid", "orders:read"], "tenant": "acme" }),
                "scope-missing",
            ),
            (json!({ "tenant": "acme", "level": 2 }), "scope-missing"),
            (
                json!({ "scope": scope, "tenant": "acme2", "level": 2 }),
                "claim-not-allowed",
            ),
            (
                json!({ "scope": scope, "tenant": "acme", "level": "2" }),
                "claim-not-allowed",
            ),
            (json!({ "scope": scope, "level": 2 }), "claim-not-allowed"),
        ] {
            assert_eq!(code(&some, "/", &claims), expected, "{claims}");
        }
    }

    #[test]
    fn a_requirement_that_cannot_be_meant_is_refused() {
        for (toml, named) in [
            ("[[requirements]]\npath = \"/\"", "one segment"),
            ("[[requirements]]\npath = \"orders\"", "one segment"),
            ("[[requirements]]\npath = \"/orders/7\"", "one segment"),
            ("[[requirements]]\npath = \"/%61\"", "one segment"),
            (
                "[[requirements]]\npath = \"/a\"\n[[requirements]]\npath = \"/a\"",
                "two for",
            ),
            ("scopes = [\"a b\"]", "not a scope"),
            ("scopes = [\"\"]", "not a scope"),
            ("[claims]\ntenant = [\"a\"]", "must be a text"),
        ] {
            let refused = requirements(toml).err().map(|error| error.to_string());
            assert!(
                refused.as_ref().is_some_and(|text| text.contains(named)),
                "{refused:?}"
            );
        }
    }
}
