//! Who is calling, and whether they may.
//!
//! A handler names the role that it needs in its signature, as [`As<role::Security>`](As): the
//! credential and the role are checked before anything else of the request is looked at.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::response::Problem;
use crate::authority::Authority;
use crate::authority::audit::Actor;
use crate::authority::clients::{Client, Role};

/// The roles as types.
pub(super) mod role {
    use super::{Required, Role};

    pub(in crate::http) struct Issuer;
    pub(in crate::http) struct Security;
    pub(in crate::http) struct Auditor;
    pub(in crate::http) struct Admin;

    impl Required for Issuer {
        const ROLE: Role = Role::Issuer;
    }
    impl Required for Security {
        const ROLE: Role = Role::Security;
    }
    impl Required for Auditor {
        const ROLE: Role = Role::Auditor;
    }
    impl Required for Admin {
        const ROLE: Role = Role::Admin;
    }
}

/// A role that a call needs.
pub(super) trait Required {
    const ROLE: Role;
}

/// A caller with a valid credential and the role `R`.
pub(super) struct As<R> {
    client: Arc<Client>,
    role: PhantomData<R>,
}

impl<R> As<R> {
    /// The caller as the audit log names it.
    pub(super) fn actor(&self) -> Actor {
        Actor::Client {
            id: self.client.id.clone(),
            name: self.client.name.clone(),
        }
    }
}

impl<R: Required> FromRequestParts<Arc<Authority>> for As<R> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        authority: &Arc<Authority>,
    ) -> Result<Self, Problem> {
        let credential = bearer(&parts.headers)?;
        let client = authority
            .clients()
            .authenticate(credential)
            .ok_or_else(Problem::bad_credential)?;
        if !client.has(R::ROLE) {
            return Err(Problem::role_missing(R::ROLE.as_str()));
        }
        Ok(Self {
            client,
            role: PhantomData,
        })
    }
}

/// The credential of `Authorization: Bearer` (RFC 6750 §2.1). It is never taken from elsewhere.
/// Another scheme is no credential of ours, and is answered like none at all (§3.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(Problem::no_credential)?;
    if values.next().is_some() {
        return Err(Problem::bad_credential());
    }
    let value = value.to_str().map_err(|_| Problem::bad_credential())?;
    let (scheme, credential) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Problem::no_credential());
    }
    Ok(credential.trim_start())
}
