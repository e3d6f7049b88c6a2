//! Token exchange (RFC 8693), and the grant `jwt-bearer` (RFC 7523 §2.1).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_api::{AccessToken, AccessTokenType};
use serde_json::Value;

use crate::access::Role;
use crate::authority::Authority;
use crate::authority::authentication::{Caller, Unauthenticated};
use crate::authority::issuer::Issuer;
use crate::authority::signing::{Origin, SignRequest, Uses};
use crate::authority::throttle::Budget;
use crate::engine::random_identifier;
use crate::http::code::Code;
use crate::http::connection::Peer;
use crate::http::problem::Problem;
use crate::http::response::{ok, with_budget};
use crate::http::signing_call::{RequestSummary, SigningCall};
use crate::http::slots::RequestSlot;
use crate::oauth::exchange::{IssuedType, TokenParameter, TransactionContext};
use crate::oauth::{
    ACCESS_TOKEN, Endpoint, Exchange, ExchangeForm, ExchangeGrant, Form, RequestProof, ShownToken,
    TRANSACTION_TOKEN, token_type,
};

/// The roles that may trade tokens in.
const EXCHANGERS: [Role; 2] = [Role::Exchanger, Role::Issuer];

/// Whether a request trades in a token of a trusted issuer, which proves its client, too.
pub(super) fn has_workload_token(authority: &Authority, endpoint: Endpoint, form: &Form) -> bool {
    let grant = ExchangeGrant::of(form).filter(|_| endpoint == Endpoint::Token);
    let token = grant.and_then(|grant| form.get(grant.subject().as_str()));
    token.is_some_and(|token| authority.is_of_trusted_issuer(token))
}

/// Issues a token for another one. A client that has not authenticated is the one whose workload the
/// token names.
pub(super) async fn issue(
    authority: &Arc<Authority>,
    issuer: &Issuer,
    caller: Option<Caller>,
    request: &Request<'_>,
) -> Result<Response, Problem> {
    let Request {
        grant, parts, form, ..
    } = *request;
    let of_grant = |problem| as_assertion(grant, problem);
    let (caller, workload) = match caller {
        Some(caller) => (caller, None),
        None => {
            let parameter = grant.subject();
            let token = parameter.required(form)?;
            let shown = workload(authority, parts, parameter, token).await;
            let (caller, shown) = shown.map_err(of_grant)?;
            if let Some(slot) = parts.extensions.get::<RequestSlot>() {
                slot.hand_over(caller.id())?;
            }
            (caller, Some(shown))
        }
    };
    if !EXCHANGERS.iter().any(|role| caller.has(*role)) {
        return Err(Problem::role_missing(&EXCHANGERS));
    }
    let name = issuer.name().as_str().to_owned();
    let mut call = SigningCall::of(Arc::clone(&caller.live), parts, authority, name);
    let mut summary = call.summary();
    let outcome = exchange(&call, &mut summary, request, workload).await;
    let (token, budget) = call.end(&summary, outcome.map_err(of_grant))?;
    Ok(with_budget(ok(token), budget))
}

/// A request, without its client.
pub(super) struct Request<'r> {
    /// How it trades a token in.
    pub(super) grant: ExchangeGrant,
    /// Its head.
    pub(super) parts: &'r Parts,
    /// Its form.
    pub(super) form: &'r Form,
    /// What it proves besides its client: a bound token is traded in with its proof alone, and the new one
    /// is bound to what is proven.
    pub(super) proof: &'r RequestProof,
}

async fn exchange(
    call: &SigningCall,
    summary: &mut RequestSummary,
    request: &Request<'_>,
    workload: Option<ShownToken>,
) -> Result<(AccessToken, Option<Budget>), Problem> {
    let authority = call.authority();
    let issuer = call.issuer()?;
    let budget = call.take(NonZeroU32::MIN)?;
    let form = ExchangeForm::of(request.grant, request.form)?;
    let issued_type = form.issued.as_str();
    let typ = match form.issued {
        IssuedType::TransactionToken(_) => Some(TRANSACTION_TOKEN),
        IssuedType::AccessToken => Some(ACCESS_TOKEN),
        IssuedType::Jwt => None,
    };
    let subject = match workload {
        Some(workload) => workload,
        None => {
            let parameter = request.grant.subject();
            let token = parameter.required(request.form)?;
            shown(call, &issuer, request, parameter, token).await?
        }
    };
    let actor = match request.grant.actor() {
        Some(parameter) => match parameter.optional(request.form)? {
            Some(token) => Some(shown(call, &issuer, request, parameter, token).await?),
            None => None,
        },
        None => None,
    };
    let snapshot = issuer.snapshot();
    let policy = snapshot.set().policy();
    let client = call.client();
    let exchange = Exchange {
        form,
        subject,
        actor,
        proof: request.proof,
        issuer: policy.url.as_str(),
        transaction: URL_SAFE_NO_PAD.encode(random_identifier()),
    };
    let token = exchange.decide(client)?;
    summary.note_claims(|name| token.claims.get(name));
    let scope = token.claims.get("scope").and_then(Value::as_str);
    let scope = scope.map(str::to_owned);
    let is_transaction = typ == Some(TRANSACTION_TOKEN);
    let longest = is_transaction.then(|| {
        let default = policy.default_token_ttl;
        let longest = client.terms.limits.max_ttl.unwrap_or(default);
        longest.min(default).min(TransactionContext::LONGEST_LIFE)
    });
    let sign_request = SignRequest {
        claims: token.claims.into(),
        expires_in: longest.as_ref().map(Duration::as_secs),
        typ: typ.map(Into::into),
        algorithm: Some(call.algorithm(policy)),
        origin: Some(Origin {
            claims: token.own.into(),
            ends_at: token.ends_at,
            parents: token.parents,
        }),
        confirmation: request.proof.confirmation(),
        uses: Uses::Unlimited,
        status: None,
    };
    summary.note_algorithm(sign_request.algorithm_under(policy));
    let signed = call.sign(&issuer, summary, sign_request).await?;
    let token = AccessToken {
        expires_in: authority.seconds_until(signed.expires_at),
        access_token: signed.token,
        token_type: match is_transaction {
            true => AccessTokenType::NotApplicable,
            false => token_type(request.proof.confirmation().as_ref()),
        },
        scope,
        issued_token_type: match request.grant {
            ExchangeGrant::TokenExchange => Some(issued_type.to_owned()),
            ExchangeGrant::JwtBearer => None,
        },
        refresh_token: None,
    };
    Ok((token, budget))
}

/// A token that a request shows, if it is valid: one of a trusted issuer for a workload of the caller, or
/// one of the issuer's own. Those of another issuer are refused, also if it is one of this service: its
/// revocations would not reach what comes of its tokens.
async fn shown(
    call: &SigningCall,
    issuer: &Issuer,
    request: &Request<'_>,
    parameter: TokenParameter,
    token: &str,
) -> Result<ShownToken, Problem> {
    let authority = call.authority();
    if authority.is_of_trusted_issuer(token) {
        let shown = workload(authority, request.parts, parameter, token).await;
        let (caller, shown) = shown?;
        return match caller.id() == call.client().id {
            true => Ok(shown),
            false => Err(invalid(parameter, "is that of another client's workload")),
        };
    }
    let issued = authority.issued_token(issuer, token);
    let issued = issued.map_err(|error| invalid(parameter, format_args!("is invalid: {error}")))?;
    let active = authority.require_active(issuer, &issued);
    active.map_err(|error| invalid(parameter, error))?;
    Ok(ShownToken::Own(issued.claims))
}

/// A token of a trusted issuer, and the client whose workload it names.
async fn workload(
    authority: &Authority,
    parts: &Parts,
    parameter: TokenParameter,
    token: &str,
) -> Result<(Caller, ShownToken), Problem> {
    let address = parts.extensions.get::<Peer>().map(|peer| peer.address.ip());
    let admitted = authority.admit_workload(token, address).await;
    let (caller, claims) = admitted.map_err(|error| match error {
        Unauthenticated::Invalid | Unauthenticated::Missing => {
            let why = "is not a valid token of a trusted issuer for the workload of one client";
            invalid(parameter, why)
        }
        other => other.into(),
    })?;
    let expiry = claims.get("exp").and_then(Value::as_f64);
    let shown = ShownToken::Workload {
        jti: claims.get("jti").and_then(Value::as_str).map(str::to_owned),
        // Rounded down.
        expires_at: expiry.unwrap_or(0.0) as u64,
    };
    Ok((caller, shown))
}

fn invalid(parameter: TokenParameter, why: impl std::fmt::Display) -> Problem {
    let code = match parameter {
        TokenParameter::Subject | TokenParameter::Assertion => Code::InvalidSubjectToken,
        TokenParameter::Actor => Code::InvalidActorToken,
    };
    Problem::new(code, format_args!("{parameter} {why}"))
}

/// An assertion that is refused is an invalid grant (RFC 7523 §3.1), and a subject token an invalid request
/// (RFC 8693 §2.2.2).
fn as_assertion(grant: ExchangeGrant, problem: Problem) -> Problem {
    match (grant, problem.kind()) {
        (
            ExchangeGrant::JwtBearer,
            Code::InvalidSubjectToken
            | Code::ExchangeNotAllowed
            | Code::ChainTooLong
            | Code::ProofRequired,
        ) => Problem::new(Code::InvalidAssertion, problem.detail()),
        _ => problem,
    }
}
