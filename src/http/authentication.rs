//! Who is calling.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::response::Problem;
use crate::authority::Authority;
use crate::authority::audit::Actor;
use crate::authority::clients::{Client, Role};

/// A caller whose credential is valid. What it may do is asked with [`Caller::require`].
pub(super) struct Caller(Arc<Client>);

impl Caller {
    /// Lets the call go on only if the caller has the role.
    pub(super) fn require(&self, role: Role) -> Result<(), Problem> {
        if self.0.has(role) {
            Ok(())
        } else {
            Err(Problem::role_missing(role.as_str()))
        }
    }

    /// The caller as the audit log names it.
    pub(super) fn actor(&self) -> Actor {
        Actor::Client {
            id: self.0.id.clone(),
            name: self.0.name.clone(),
        }
    }
}

impl FromRequestParts<Arc<Authority>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        authority: &Arc<Authority>,
    ) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or_else(Problem::no_credential)?;
        if values.next().is_some() {
            return Err(Problem::bad_credential());
        }
        let credential = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
            .map(|(_, credential)| credential.trim_start())
            .ok_or_else(Problem::bad_credential)?;
        authority
            .clients()
            .authenticate(credential)
            .map(Self)
            .ok_or_else(Problem::bad_credential)
    }
}
