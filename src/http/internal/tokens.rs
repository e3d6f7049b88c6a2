//! Signing: one token, or up to a thousand.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use keywright_verifier::Algorithm;
use keywright_verifier::json::Object;
use serde::Serialize;
use serde_json::Value;

use super::{Named, Service, optional_algorithm};
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::signing::{self, SignRefusal, SignRequest, SignedToken};
use crate::authority::throttle::Budget;
use crate::authority::view::View;
use crate::clock::Stopwatch;
use crate::http::authentication::{As, role};
use crate::http::body::{BatchBody, Body};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{created, ok, with_budget};
use crate::http::shown;

/// The most tokens that one batch may ask for.
pub(in crate::http) const LARGEST_BATCH: usize = 1000;

/// One signature of the caller's, taken before the body is read: a flood costs no more than its
/// heads.
pub(super) struct OneSignature(Option<Budget>);

impl FromRequestParts<Arc<Authority>> for OneSignature {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Authority>) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.ok_or_else(Problem::no_credential)?;
        take(caller, NonZeroU32::MIN).map(Self)
    }
}

fn take(caller: &Caller, signatures: NonZeroU32) -> Result<Option<Budget>, Problem> {
    caller
        .take_signatures(signatures)
        .map_err(|(spent, budget)| Problem::rate_limited(spent, budget))
}

pub(super) async fn sign(
    State(authority): Service,
    As { caller, .. }: As<role::Issuer>,
    Named(issuer): Named,
    OneSignature(budget): OneSignature,
    Body(body): Body,
) -> Result<Response, Problem> {
    let view = issuer.view();
    let request = sign_request(body)?;
    let algorithm = request
        .algorithm
        .unwrap_or(view.set().policy().default_algorithm);
    let stopwatch = Stopwatch::start();
    let client = &caller.live.client;
    let outcome = signing::sign(&view, client, request, authority.now()).await;
    let token = count(&authority, &view, algorithm, &stopwatch, outcome)?;
    Ok(with_budget(created(shown::token(&token)), budget))
}

/// Every item of a batch is answered in its place, with the token or with its own problem.
pub(super) async fn sign_batch(
    State(authority): Service,
    As { caller, .. }: As<role::Issuer>,
    Named(issuer): Named,
    BatchBody(mut body): BatchBody,
) -> Result<Response, Problem> {
    let items = body.array("requests")?;
    body.finish()?;
    if items.is_empty() || items.len() > LARGEST_BATCH {
        let detail = format!(
            "a batch has 1 to {LARGEST_BATCH} requests, not {}",
            items.len()
        );
        return Err(Problem::new(Code::BatchSize, detail));
    }
    let signatures = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let budget = take(
        &caller,
        NonZeroU32::new(signatures).unwrap_or(NonZeroU32::MIN),
    )?;
    let view = issuer.view();
    let default = view.set().policy().default_algorithm;
    let mut algorithms = Vec::with_capacity(items.len());
    let mut requests = Vec::with_capacity(items.len());
    for item in items {
        let request = Object::new(item, "a request")
            .map_err(Problem::from)
            .and_then(sign_request);
        match request {
            Ok(request) => {
                algorithms.push(Ok(request.algorithm.unwrap_or(default)));
                requests.push(request);
            }
            Err(problem) => algorithms.push(Err(problem)),
        }
    }
    let stopwatch = Stopwatch::start();
    let mut outcomes = signing::sign_all(&view, &caller.live.client, requests, authority.now())
        .await
        .into_iter();
    let outcomes: Vec<Result<SignedToken, Problem>> = algorithms
        .into_iter()
        .map(|algorithm| {
            let algorithm = algorithm?;
            let outcome = outcomes.next().unwrap_or(Err(SignRefusal::EngineFailed));
            count(&authority, &view, algorithm, &stopwatch, outcome)
        })
        .collect();
    let results = outcomes.iter().map(|outcome| match outcome {
        Ok(token) => Item::Token(shown::token(token)),
        Err(problem) => Item::Problem(problem.document()),
    });
    let results = Results {
        results: results.collect(),
    };
    Ok(with_budget(ok(results), budget))
}

#[derive(Serialize)]
struct Results<'a> {
    results: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Token(shown::Token<'a>),
    Problem(Value),
}

fn count(
    authority: &Authority,
    view: &View,
    algorithm: Algorithm,
    stopwatch: &Stopwatch,
    outcome: Result<SignedToken, SignRefusal>,
) -> Result<SignedToken, Problem> {
    match (outcome, view.signer(algorithm)) {
        (Ok(token), Some(entry)) => {
            entry.metrics.count_signed(stopwatch.elapsed());
            Ok(token)
        }
        (Ok(token), None) => Ok(token),
        (Err(refusal), _) => {
            let problem = Problem::from(refusal);
            let issuer = view.set().issuer().as_str();
            authority
                .metrics()
                .count_refusal(issuer, algorithm, problem.code());
            Err(problem)
        }
    }
}

fn sign_request(mut body: Object) -> Result<SignRequest, Problem> {
    let claims = body.object("claims")?.into_map();
    let expires_in = body.optional_u64("expires_in")?;
    let typ = body.optional_string("typ")?;
    let algorithm = optional_algorithm(&mut body, "alg")?;
    body.finish()?;
    Ok(SignRequest {
        claims,
        expires_in,
        typ,
        algorithm,
    })
}
