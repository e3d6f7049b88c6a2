//! The grant `refresh_token` (RFC 6749 §6).

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;
use keywright_api::AccessToken;

use super::proof::UnusedProof;
use crate::access::Role;
use crate::authority::Authority;
use crate::authority::audit::Actor;
use crate::authority::authentication::Caller;
use crate::authority::grants::{GrantError, IssuedGrant, PresentedGrant, RenewalRequest};
use crate::authority::issuer::Issuer;
use crate::authority::throttle::Budget;
use crate::clock::Stopwatch;
use crate::http::code::Code;
use crate::http::connection::Peer;
use crate::http::problem::Problem;
use crate::http::response::{ok, with_budget};
use crate::http::signing_call::{RequestSummary, SigningCall};
use crate::oauth::{
    Endpoint, Form, GrantHolder, REFRESH_TOKEN, RefreshToken, Scope, Target, token_type,
};

/// The refresh token of a request that may come without a client's proof: a public grant is renewed and
/// ended by its holder, who has its token.
pub(super) fn refresh_token(endpoint: Endpoint, form: &Form) -> Option<&str> {
    match endpoint {
        // Whether it is missing is said later.
        Endpoint::Token if form.get("grant_type") == Some(REFRESH_TOKEN) => {
            Some(form.get("refresh_token").unwrap_or_default())
        }
        Endpoint::Revocation => form
            .get("token")
            .filter(|token| RefreshToken::has_form(token)),
        Endpoint::Token
        | Endpoint::Introspection
        | Endpoint::Consumption
        | Endpoint::GlobalRevocation
        | Endpoint::SecurityEvents => None,
    }
}

/// The grant of a refresh token, for the one that may use it. A token that was never issued counts
/// against the address, and ends nothing.
pub(super) async fn presented(
    authority: &Authority,
    issuer: &Issuer,
    caller: Option<&Caller>,
    parts: &Parts,
    form: &Form,
    token: &str,
) -> Result<PresentedGrant, Problem> {
    let presented = match authority.presented_grant(issuer, token).await {
        Err(error @ GrantError::NeverIssued) => {
            authority.count_failure(address(parts))?;
            return Err(error.into());
        }
        presented => presented?,
    };
    let grant = &presented.stored.grant;
    let foreign = || {
        let detail = "the refresh token was issued to another client";
        Problem::new(Code::ForeignToken, detail)
    };
    match (&grant.holder, caller) {
        (GrantHolder::Client(id), Some(caller)) if caller.id() == id => {}
        (GrantHolder::Client(_), None) => return Err(Problem::no_credential()),
        (GrantHolder::Client(_), Some(_)) => return Err(foreign()),
        (GrantHolder::Public, caller) => {
            let named = caller.map(Caller::id).or_else(|| form.get("client_id"));
            if named.is_some_and(|named| named != grant.client_id()) {
                return Err(foreign());
            }
        }
    }
    if let Some(caller) = caller {
        let limits = &caller.live.client.terms.limits;
        limits.check_issuer(issuer.name().as_str())?;
    }
    Ok(presented)
}

/// Whom the audit log names for what is done with a refresh token.
pub(super) fn actor(caller: Option<&Caller>, parts: &Parts) -> Actor {
    match caller {
        Some(caller) => caller.actor(),
        None => Actor::Holder {
            address: address(parts),
        },
    }
}

fn address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().map(|peer| peer.address.ip())
}

/// Renews the grant of the token in a form, within the limits of the client that opened it.
pub(super) async fn renew(
    authority: &Arc<Authority>,
    issuer: &Issuer,
    caller: Option<&Caller>,
    parts: &Parts,
    form: &Form,
    proof: UnusedProof<'_>,
) -> Result<Response, Problem> {
    let token = form.required("refresh_token")?;
    let scope = form.get("scope").map(Scope::parse).transpose();
    let scope = scope.map_err(|error| Problem::new(Code::InvalidScope, error))?;
    let target = Target::of(form);
    let target = target.map_err(|error| Problem::new(Code::InvalidTarget, error))?;
    let presented = presented(authority, issuer, caller, parts, form, token).await?;
    let opener = authority.clients().find(&presented.stored.grant.by);
    let opener = opener.filter(|opener| opener.client.has(Role::Issuer));
    let opener = opener.ok_or(GrantError::OpenerGone)?;
    let name = issuer.name().as_str().to_owned();
    let mut call = SigningCall::of(opener, parts, authority, name);
    let mut summary = call.summary();
    let request = RenewalRequest {
        scope,
        target,
        proof: proof.use_up()?,
        actor: actor(caller, parts),
    };
    let outcome = renew_in(&call, &mut summary, caller, &presented, &request).await;
    let (token, budget) = call.end(&summary, outcome)?;
    Ok(with_budget(ok(token), budget))
}

async fn renew_in(
    call: &SigningCall,
    summary: &mut RequestSummary,
    caller: Option<&Caller>,
    presented: &PresentedGrant,
    request: &RenewalRequest,
) -> Result<(AccessToken, Option<Budget>), Problem> {
    let authority = call.authority();
    let issuer = call.issuer()?;
    // Not from the bucket of the client that opened the grant: one holder could empty it for all.
    let budget = match caller {
        Some(caller) => (caller.live.take_signatures(NonZeroU32::MIN))
            .map_err(|(spent, budget)| Problem::rate_limited(spent, budget))?,
        None => None,
    };
    let grant = &presented.stored.grant;
    summary.note_claims(|name| grant.claims.get(name));
    let view = authority.snapshot_for(&issuer, grant).await?;
    let algorithm = call.algorithm(view.set().policy());
    summary.note_algorithm(algorithm);
    let stopwatch = Stopwatch::start();
    let renewed = authority.renew(&issuer, &view, call.client(), presented, request);
    let renewed = renewed.await;
    let duration = stopwatch.elapsed();
    let issued = call.record_and_count(summary, &view, algorithm, duration, renewed, |issued| {
        &issued.access
    })?;
    let IssuedGrant {
        access,
        confirmation,
        scope,
        refresh,
        grant,
    } = issued;
    let outcome = match grant.line.repeats {
        0 => "renewed",
        _ => "repeated",
    };
    authority.metrics().grants().count_renewal(outcome);
    let token = AccessToken {
        expires_in: authority.seconds_until(access.expires_at),
        access_token: access.token,
        token_type: token_type(confirmation.as_ref()),
        scope,
        issued_token_type: None,
        refresh_token: Some(refresh.reveal().to_string()),
    };
    Ok((token, budget))
}
