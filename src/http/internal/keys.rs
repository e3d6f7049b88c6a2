//! Keys: their states, and the changes that people ask for.

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;
use keywright_verifier::{Jwk, Kid};
use schemars::JsonSchema;
use serde::Deserialize;

use super::approvals;
use super::{Named, Parameters, Service, path_text};
use crate::access::approval::Operation;
use crate::authority::request::Request;
use crate::authority::snapshot::Snapshot;
use crate::engine::{check_strength, import_private_key};
use crate::http::authentication::{HasRole, role};
use crate::http::body::{Body, OptionalBody};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{created, ok};
use crate::http::shown;
use crate::lifecycle::{ImportAs, Readiness, Successor};

path_text! {
    /// The kid that the path names, which need not exist.
    KidText, "kid"
}

pub(super) async fn list(
    _caller: HasRole<role::Reader>,
    Named(issuer): Named,
) -> Result<Response, Problem> {
    let view = issuer.snapshot();
    let set = view.set();
    let keys = set.keys().iter();
    Ok(ok(api::Keys {
        keys: keys.map(|key| shown::key(key, set.policy())).collect(),
    }))
}

pub(super) async fn show(
    _caller: HasRole<role::Reader>,
    Named(issuer): Named,
    KidText(kid): KidText,
) -> Result<Response, Problem> {
    let view = issuer.snapshot();
    show_key(&view, &kid).map(ok)
}

fn show_key(view: &Snapshot, kid: &str) -> Result<api::Key, Problem> {
    let set = view.set();
    let key = Kid::parse(kid).ok().and_then(|kid| set.key(&kid));
    let key = key.ok_or_else(|| Problem::unknown_key(kid))?;
    Ok(shown::key(key, set.policy()))
}

pub(super) async fn rotate(
    State(authority): Service,
    caller: HasRole<role::Security>,
    Named(issuer): Named,
    OptionalBody(body): OptionalBody<api::RotateRequest>,
) -> Result<Response, Problem> {
    let algorithm = body.algorithm;
    let readiness = match body.force {
        Some(true) => Readiness::Waived,
        Some(false) | None => Readiness::Required,
    };
    let reason = body.reason.map(String::from);
    if readiness == Readiness::Waived {
        let operation = Operation::ForceRotation { algorithm };
        let request = Request::with_reason(caller.actor(), reason);
        let asked = authority.ask(&issuer, operation, request);
        return Ok(approvals::answer(&asked.await?));
    }
    let request = Request::with_reason(caller.actor(), reason);
    let rotate = authority.rotate(&issuer, algorithm, readiness, request);
    let (version, rotations) = rotate.await?;
    Ok(ok(shown::rotations(version, &rotations)))
}

pub(super) async fn stop_canary(
    State(authority): Service,
    caller: HasRole<role::Security>,
    Named(issuer): Named,
    OptionalBody(body): OptionalBody<api::StopCanaryRequest>,
) -> Result<Response, Problem> {
    let request = Request::with_reason(caller.actor(), body.reason.map(String::from));
    let stopped = authority.stop_canary(&issuer, body.algorithm, request);
    let stopped = stopped.await?;
    Ok(ok(shown::stopped_canaries(
        issuer.snapshot().set(),
        &stopped,
    )))
}

pub(super) async fn revoke(
    State(authority): Service,
    caller: HasRole<role::Security>,
    Named(issuer): Named,
    KidText(kid): KidText,
    Body(body): Body<api::RevokeRequest>,
) -> Result<Response, Problem> {
    let discard_successor = body.discard_successor.unwrap_or(false);
    let kid = Kid::parse(&kid).map_err(|_| Problem::unknown_key(&kid))?;
    let operation = Operation::Revoke {
        kid,
        discard_successor,
    };
    let request = Request::with_reason(caller.actor(), Some(body.reason.into()));
    let asked = authority.ask(&issuer, operation, request);
    Ok(approvals::answer(&asked.await?))
}

/// How the revocation would be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ExposureQuery {
    /// Whether the pending keys of the same algorithm would be revoked, too. Default: `false`.
    #[serde(default)]
    discard_successor: bool,
}

pub(super) async fn exposure(
    State(authority): Service,
    _caller: HasRole<role::Reader>,
    Named(issuer): Named,
    KidText(kid): KidText,
    Parameters(query): Parameters<ExposureQuery>,
) -> Result<Response, Problem> {
    let kid = Kid::parse(&kid).map_err(|_| Problem::unknown_key(&kid))?;
    let successor = match query.discard_successor {
        true => Successor::Discard,
        false => Successor::Promote,
    };
    let exposure = authority.exposure_if_revoked(&issuer, &kid, successor)?;
    Ok(ok(shown::exposure(&exposure)))
}

pub(super) async fn live_tokens(
    State(authority): Service,
    caller: HasRole<role::Reader>,
    Named(issuer): Named,
    KidText(kid): KidText,
) -> Result<Response, Problem> {
    let kid = Kid::parse(&kid).map_err(|_| Problem::unknown_key(&kid))?;
    let counted = caller.compute(move || authority.live_tokens(&issuer, &kid));
    Ok(ok(shown::live_tokens(counted.await??)))
}

pub(super) async fn import(
    State(authority): Service,
    caller: HasRole<role::Security>,
    Named(issuer): Named,
    Body(body): Body<api::ImportRequest>,
) -> Result<Response, Problem> {
    let api::ImportRequest { algorithm, kid, .. } = body;
    let state = match body.state {
        api::ImportState::Pending => ImportAs::Pending,
        api::ImportState::Active => ImportAs::Active,
        api::ImportState::Retired => ImportAs::Retired,
    };
    let private_key = body.private_key.map(zeroize::Zeroizing::new);
    let kid = match (private_key, body.public_key) {
        (Some(pem), None) => {
            let parse = move || import_private_key(algorithm, &pem, kid);
            let pair = caller.compute(parse).await??;
            authority
                .import_private(&issuer, pair, state, caller.actor())
                .await?
        }
        (None, Some(public)) if state == ImportAs::Retired => {
            let invalid =
                |error: keywright_verifier::JwkError| Problem::new(Code::InvalidPublicKey, error);
            let jwk = Jwk::from_value(public.into()).map_err(invalid)?;
            if jwk.algorithm() != algorithm {
                let detail = format!("public_key is an {} key, not {algorithm}", jwk.algorithm());
                return Err(Problem::new(Code::InvalidPublicKey, detail));
            }
            let jwk = match kid {
                Some(kid) => Jwk::new(Some(kid), jwk.public_key().clone()).map_err(invalid)?,
                None => jwk,
            };
            let key = jwk.public_key().clone();
            caller.compute(move || check_strength(&key)).await??;
            authority
                .import_public(&issuer, jwk, caller.actor())
                .await?
        }
        (None, Some(_)) => {
            let detail = "a public key can be imported only as retired; signing needs private_key";
            return Err(Problem::new(Code::InvalidState, detail));
        }
        (Some(_), Some(_)) | (None, None) => {
            let detail = "send exactly one of private_key and public_key";
            return Err(Problem::new(Code::KeyMaterial, detail));
        }
    };
    let shown = show_key(&issuer.snapshot(), kid.as_str())?;
    Ok(created(shown))
}
