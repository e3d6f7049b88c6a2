//! The grant `client_credentials` (RFC 6749 §4.4): a client gets a token about itself, in the
//! profile of RFC 9068.

use serde_json::{Map, Value};

use super::{Form, InvalidScope, InvalidTarget, Scope, Target};
use crate::access::Client;

/// The `grant_type`.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";

/// The `typ` of access tokens (RFC 9068 §2.1).
pub const ACCESS_TOKEN: &str = "at+jwt";

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentialsRequest {
    scope: Option<Scope>,
    target: Option<Target>,
}

/// Why there are no claims for a request. The client's limits are checked when it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// The scope cannot be read.
    #[error(transparent)]
    Scope(#[from] InvalidScope),
    /// The target cannot be read.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// No target is named, and the client's limits name none or several.
    #[error(
        "name the service that the token is for by resource or by audience: the limits of this client \
         do not name exactly one"
    )]
    NoTarget,
}

impl ClientCredentialsRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// [`GrantRefusal`].
    pub fn of(form: &Form) -> Result<Self, GrantRefusal> {
        let scope = form.get("scope").map(Scope::parse).transpose()?;
        Ok(Self {
            scope,
            target: Target::of(form)?,
        })
    }

    /// The claims that are to be signed for a client (RFC 9068 §2.2): `sub` and `client_id` are its
    /// id, and what the request does not name is the default of its limits: all of its scopes, and
    /// its audience if it has one only.
    ///
    /// # Errors
    /// [`GrantRefusal::NoTarget`].
    pub fn claims(self, client: &Client) -> Result<Map<String, Value>, GrantRefusal> {
        let limits = &client.terms.limits;
        let audience = Target::or_only_one(self.target.as_ref(), client)?;
        let default = || limits.scopes.as_ref().and_then(Scope::of);
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), client.id.as_str().into());
        claims.insert("client_id".to_owned(), client.id.as_str().into());
        claims.insert("aud".to_owned(), audience.into());
        if let Some(scope) = self.scope.clone().or_else(default) {
            claims.insert("scope".to_owned(), scope.as_str().into());
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::access::pattern::Pattern;
    use crate::access::{Limits, Role, Terms};
    use crate::lifecycle::Timestamp;

    fn client(audiences: Option<&[&str]>, scopes: Option<&[&str]>) -> Client {
        let patterns = |all: &[&str]| all.iter().map(|one| Pattern::parse(one).unwrap()).collect();
        let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        let terms = Terms {
            name: "a".to_owned(),
            roles: BTreeSet::from([Role::Issuer]),
            limits: Limits {
                audiences: audiences.map(patterns),
                scopes: scopes.map(texts),
                ..Limits::default()
            },
            certificates: Vec::new(),
            workloads: Vec::new(),
            keys: None,
        };
        Client::new("c1".to_owned(), terms, Timestamp::from_seconds(0))
    }

    fn claims(client: &Client, body: &str) -> Result<Value, GrantRefusal> {
        let request = ClientCredentialsRequest::of(&Form::parse(body.as_bytes()).unwrap())?;
        request.claims(client).map(Value::Object)
    }

    #[test]
    fn what_is_not_named_is_the_default_of_the_limits() {
        let limited = client(Some(&["orders"]), Some(&["write", "read"]));
        let subject =
            json!({"sub": "c1", "client_id": "c1", "aud": "orders", "scope": "read write"});
        assert_eq!(claims(&limited, ""), Ok(subject));
        assert_eq!(
            claims(&limited, "scope=read&audience=other"),
            Ok(json!({"sub": "c1", "client_id": "c1", "aud": "other", "scope": "read"}))
        );
        assert_eq!(
            claims(&client(None, None), "resource=urn:a"),
            Ok(json!({"sub": "c1", "client_id": "c1", "aud": "urn:a"}))
        );
    }

    #[test]
    fn a_target_is_needed_where_the_limits_do_not_name_one() {
        for audiences in [None, Some(["orders/*"].as_slice()), Some(&["a", "b"])] {
            let refused = claims(&client(audiences, None), "scope=read");
            assert_eq!(refused, Err(GrantRefusal::NoTarget), "{audiences:?}");
        }
    }
}
