//! The token endpoint (RFC 6749 §3.2).

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;
use keywright_api::AccessToken;

use crate::access::Role;
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::issuer::Issuer;
use crate::authority::signing::{SignRequest, Uses};
use crate::authority::throttle::Budget;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{ok, with_budget};
use crate::http::signing_call::{RequestSummary, SigningCall};
use crate::oauth::{
    ACCESS_TOKEN, CLIENT_CREDENTIALS, ClientCredentialsRequest, Form, RequestProof, token_type,
};

/// Issues a token for the grant that the form names.
pub(super) async fn issue(
    authority: &Arc<Authority>,
    issuer: &Issuer,
    caller: Caller,
    parts: &Parts,
    form: &Form,
    proof: &RequestProof,
) -> Result<Response, Problem> {
    if !caller.has(Role::Issuer) {
        return Err(Problem::role_missing(&[Role::Issuer]));
    }
    let name = issuer.name().as_str().to_owned();
    let mut call = SigningCall::of(caller.live, parts, authority, name);
    let mut summary = call.summary();
    let outcome = grant(authority, &call, &mut summary, form, proof).await;
    let (token, budget) = call.end(&summary, outcome)?;
    Ok(with_budget(ok(token), budget))
}

async fn grant(
    authority: &Authority,
    call: &SigningCall,
    summary: &mut RequestSummary,
    form: &Form,
    proof: &RequestProof,
) -> Result<(AccessToken, Option<Budget>), Problem> {
    let issuer = call.issuer()?;
    let budget = call.take(NonZeroU32::MIN)?;
    let grant_type = form.required("grant_type")?;
    if grant_type != CLIENT_CREDENTIALS {
        let detail = "grant_type is not one of grant_types_supported of the metadata";
        return Err(Problem::new(Code::UnknownGrantType, detail));
    }
    let client = call.client();
    let claims = ClientCredentialsRequest::of(form)?.claims(client)?;
    let scope = claims.get("scope").and_then(|scope| scope.as_str());
    let scope = scope.map(str::to_owned);
    summary.note_claims(|name| claims.get(name));
    let snapshot = issuer.snapshot();
    let policy = snapshot.set().policy();
    let request = SignRequest {
        claims: claims.into(),
        expires_in: None,
        typ: Some(ACCESS_TOKEN.into()),
        algorithm: Some(call.algorithm(policy)),
        origin: None,
        confirmation: proof.confirmation(),
        uses: Uses::Unlimited,
        status: None,
    };
    summary.note_algorithm(request.algorithm_under(policy));
    let token = call.sign(&issuer, summary, request).await?;
    let token = AccessToken {
        expires_in: authority.seconds_until(token.expires_at),
        access_token: token.token,
        token_type: token_type(proof.confirmation().as_ref()),
        scope,
        issued_token_type: None,
        refresh_token: None,
    };
    Ok((token, budget))
}
