//! Who is calling, and whether they may.
//!
//! A handler names the role that it needs in its signature, as [`HasRole<role::Security>`](HasRole): caller
//! and role are checked before anything else of the request is looked at. The caller then takes a slot.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

use super::connection::Peer;
use super::problem::Problem;
use super::slots::{RequestSlot, take_slot};
use crate::access::Role;
use crate::authority::Authority;
use crate::authority::audit::Actor;
use crate::authority::authentication::{Caller, Proof, RequestCredentials};
use crate::telemetry::traces::child_span;

/// The roles as types.
pub(super) mod role {
    use super::{Required, Role};

    pub(in crate::http) struct Issuer;
    pub(in crate::http) struct Security;
    pub(in crate::http) struct Auditor;
    pub(in crate::http) struct Admin;
    /// One of [`Role::REVOKERS`].
    pub(in crate::http) struct Revoker;
    /// One of [`Role::REVOCATION_READERS`].
    pub(in crate::http) struct RevocationReader;
    /// One of [`Role::GRANT_READERS`].
    pub(in crate::http) struct GrantReader;
    /// One of [`Role::READERS`].
    pub(in crate::http) struct Reader;
    /// Whatever the client's roles are.
    pub(in crate::http) struct Any;

    impl Required for Issuer {
        const ROLES: &[Role] = &[Role::Issuer];
    }
    impl Required for Security {
        const ROLES: &[Role] = &[Role::Security];
    }
    impl Required for Auditor {
        const ROLES: &[Role] = &[Role::Auditor];
    }
    impl Required for Admin {
        const ROLES: &[Role] = &[Role::Admin];
    }
    impl Required for Revoker {
        const ROLES: &[Role] = &Role::REVOKERS;
    }
    impl Required for RevocationReader {
        const ROLES: &[Role] = &Role::REVOCATION_READERS;
    }
    impl Required for GrantReader {
        const ROLES: &[Role] = &Role::GRANT_READERS;
    }
    impl Required for Reader {
        const ROLES: &[Role] = &Role::READERS;
    }
    impl Required for Any {
        const ROLES: &[Role] = &Role::ALL;
    }
}

/// The roles of which a call needs one.
pub(super) trait Required {
    const ROLES: &[Role];
}

/// A caller with the role `R`.
pub(super) struct HasRole<R> {
    pub(super) caller: Caller,
    slot: Option<RequestSlot>,
    role: PhantomData<R>,
}

impl<R> HasRole<R> {
    /// The caller as the audit log names it.
    pub(super) fn actor(&self) -> Actor {
        self.caller.actor()
    }

    /// Runs work that computes for more than a millisecond off the threads that serve requests, in
    /// turn with the caller's other work and with that of others.
    ///
    /// # Errors
    /// As for [`RequestSlot::compute`].
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        match &self.slot {
            Some(slot) => slot.compute(work).await,
            None => Ok(work()),
        }
    }

    /// Whether the caller's limits let it call this issuer, or with `None` what is of all issuers.
    pub(super) fn may_call(&self, issuer: Option<&str>) -> Result<(), Problem> {
        // No issuer has an empty name, so that a caller with a list of issuers may not call it.
        let limits = &self.caller.live.client.terms.limits;
        Ok(limits.check_issuer(issuer.unwrap_or_default())?)
    }
}

impl<R: Required> FromRequestParts<Arc<Authority>> for HasRole<R> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        authority: &Arc<Authority>,
    ) -> Result<Self, Problem> {
        let caller = admit(authority, &parts.headers, &parts.extensions).await?;
        if !R::ROLES.iter().any(|role| caller.has(*role)) {
            return Err(Problem::role_missing(R::ROLES));
        }
        take_slot(parts, caller.id())?;
        // What comes after it in a handler's signature asks for the caller's limits.
        parts.extensions.insert(caller.clone());
        Ok(Self {
            caller,
            slot: parts.extensions.get::<RequestSlot>().cloned(),
            role: PhantomData,
        })
    }
}

/// In the extensions of a request that was made within the process: who makes it. No request that comes
/// over a connection has it.
#[derive(Clone)]
pub(super) struct KnownCaller(pub(super) Caller);

/// Finds out who calls.
pub(super) async fn admit(
    authority: &Authority,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Caller, Problem> {
    let _step = child_span("authenticate");
    if let Some(KnownCaller(caller)) = extensions.get() {
        return Ok(caller.clone());
    }
    let peer = extensions.get::<Peer>();
    let presented = RequestCredentials {
        proof: bearer(headers)?.map(Proof::Bearer),
        certificate: peer.and_then(|peer| peer.certificate.as_deref()),
        address: peer.map(|peer| peer.address.ip()),
    };
    Ok(authority.admit(presented).await?)
}

/// What `Authorization: Bearer` presents (RFC 6750 §2.1). It is never taken from elsewhere. Another
/// scheme presents nothing of ours, and is answered like none at all (§3.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::bad_credential());
    }
    let value = value.to_str().map_err(|_| Problem::bad_credential())?;
    let (scheme, presented) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Problem::no_credential());
    }
    Ok(Some(presented.trim_start()))
}
