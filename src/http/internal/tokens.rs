//! Signing: one token, or up to a thousand.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest as _, Request};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use keywright_api as api;
use keywright_api::{BatchResultsText, LARGEST_BATCH};
use keywright_verifier::json::{Elements, FieldError, Members, Object};

use crate::authority::Authority;
use crate::authority::signing::{Batch, SignRefusal, SignRequest, SignedToken, Uses};
use crate::authority::snapshot::Snapshot;
use crate::authority::throttle::Budget;
use crate::clock::Stopwatch;
use crate::http::body::{BatchBody, ObjectBody};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{created_token, with_budget, written};
use crate::http::shown;
use crate::http::signing_call::{RequestSummary, SigningCall};
use crate::http::slots::RouteClass;
use crate::lifecycle::TokenStatus;
use crate::telemetry::traces::child_span;

/// The path of a signature, with the name of what stands in it.
pub(super) const SIGN: &str = "/v1/issuers/{issuer}/tokens";
/// The same of a batch.
pub(super) const SIGN_BATCH: &str = "/v1/issuers/{issuer}/tokens/batch";

/// How many requests of a batch are read and checked before other requests have their turn.
const ITEMS_AT_A_TIME: usize = 16;

/// A signing route, as nearly every request to the internal listener names it.
pub(in crate::http) struct SigningRoute {
    issuer: String,
    kind: SigningKind,
}

enum SigningKind {
    One,
    Batch,
}

impl SigningRoute {
    /// Finds the route without the router, whose way to a handler costs more than all checks of a
    /// signature. Every other spelling of a path, and every other method, is left to the router.
    pub(in crate::http) fn of(method: &Method, uri: &Uri) -> Option<Self> {
        if method != Method::POST {
            return None;
        }
        let (issuer, rest) = uri.path().strip_prefix("/v1/issuers/")?.split_once('/')?;
        let kind = match rest {
            "tokens" => SigningKind::One,
            "tokens/batch" => SigningKind::Batch,
            _ => return None,
        };
        let is_plain = !issuer.is_empty() && !issuer.contains('%');
        is_plain.then(|| Self {
            issuer: issuer.to_owned(),
            kind,
        })
    }

    /// Its path, as the router has it.
    pub(in crate::http) const fn path(&self) -> &'static str {
        match self.kind {
            SigningKind::One => SIGN,
            SigningKind::Batch => SIGN_BATCH,
        }
    }

    /// Answers a request on this route, as the router would.
    pub(in crate::http) async fn answer(
        self,
        authority: &Arc<Authority>,
        request: hyper::Request<Incoming>,
    ) -> Response {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(RouteClass::Signing);
        let call = match SigningCall::begin(&mut parts, authority, self.issuer).await {
            Ok(call) => call,
            Err(problem) => return problem.into_response(),
        };
        let request = Request::from_parts(parts, Body::new(body));
        match self.kind {
            SigningKind::One => sign(call, request).await,
            SigningKind::Batch => sign_batch(call, request).await,
        }
        .into_response()
    }
}

pub(super) async fn sign(mut call: SigningCall, request: Request) -> Result<Response, Problem> {
    let mut summary = call.summary();
    let outcome = sign_one(&call, &mut summary, request).await;
    let (token, budget) = call.end(&summary, outcome)?;
    Ok(with_budget(created_token(&shown::token(token)), budget))
}

async fn sign_one(
    call: &SigningCall,
    summary: &mut RequestSummary,
    request: Request,
) -> Result<(SignedToken, Option<Budget>), Problem> {
    let issuer = call.issuer()?;
    // Before the body is read: a flood costs no more than its heads.
    let budget = call.take(NonZeroU32::MIN)?;
    let step = child_span("read");
    let body = ObjectBody::from_request(request, &()).await?;
    drop(step);
    let view = issuer.leased_snapshot();
    let request = sign_request(body.read()?, &view, summary)?;
    Ok((call.sign(&issuer, summary, request).await?, budget))
}

/// Every item of a batch is answered in its place, with the token or with its own problem.
pub(super) async fn sign_batch(
    mut call: SigningCall,
    request: Request,
) -> Result<Response, Problem> {
    let outcome = sign_items(&call, request).await;
    let summary = call.summary();
    let (results, budget) = call.end(&summary, outcome)?;
    Ok(with_budget(written(results), budget))
}

/// Signs the items, and returns the answer.
async fn sign_items(
    call: &SigningCall,
    request: Request,
) -> Result<(Vec<u8>, Option<Budget>), Problem> {
    let issuer = call.issuer()?;
    // Before the body is read, as for one token; the rest when it is known how many there are.
    let first = call.take(NonZeroU32::MIN)?;
    let step = child_span("read");
    let BatchBody(body) = BatchBody::from_request(request, &()).await?;
    drop(step);
    let items = Elements::parse(&body, "the body", "requests", LARGEST_BATCH)?;
    let count = items.count();
    let signatures = u32::try_from(count).ok().and_then(NonZeroU32::new);
    let signatures = signatures.filter(|_| count <= LARGEST_BATCH);
    let Some(signatures) = signatures else {
        let detail = format!("a batch has 1 to {LARGEST_BATCH} requests, not {count}");
        return Err(Problem::new(Code::BatchSize, detail));
    };
    let budget = call.take_rest(signatures, first)?;
    let _turn = call.await_turn_to_sign(signatures).await;
    let claims = items.iter().filter_map(|item| {
        let mut item = Object::new(item.ok()?, "a request").ok()?;
        Some(item.object("claims").ok()?.into_members())
    });
    let view = issuer.settled_for_all(claims).await;
    let stopwatch = Stopwatch::start();
    let step = child_span("check");
    let mut batch = Batch::new(&view, call.client(), count);
    let mut summaries = Vec::with_capacity(count);
    for (index, item) in items.iter().enumerate() {
        if index % ITEMS_AT_A_TIME == 0 {
            tokio::task::yield_now().await;
        }
        let mut summary = call.summary();
        let request = Object::new(item?, "a request")
            .map_err(Problem::from)
            .and_then(|item| sign_request(item, &view, &mut summary));
        let algorithm = match request {
            Ok(request) => {
                let algorithm = request.algorithm_under(view.set().policy());
                batch.add(request).await;
                Ok(algorithm)
            }
            Err(problem) => Err(problem),
        };
        summaries.push((summary, algorithm));
    }
    drop(step);
    let mut outcomes = batch.sign().await.into_iter();
    let duration = stopwatch.elapsed();
    let _step = child_span("record");
    let mut results = BatchResultsText::with_room_for(count);
    for (summary, algorithm) in summaries {
        let recorded = algorithm.and_then(|algorithm| {
            let outcome = outcomes.next().unwrap_or(Err(SignRefusal::EngineFailed));
            call.record_and_count(&summary, &view, algorithm, duration, outcome, |token| token)
        });
        results.push(&match recorded {
            Ok(token) => api::BatchResult::Token(shown::token(token)),
            Err(problem) => {
                call.record_refusal(&summary, &problem);
                api::BatchResult::Problem(Box::new(problem.document()))
            }
        });
    }
    Ok((results.finish(), budget))
}

/// Reads what is asked for. What of it is good is noted, also where the rest is not.
fn sign_request<'t>(
    mut body: Object<'t>,
    view: &Snapshot,
    summary: &mut RequestSummary,
) -> Result<SignRequest<'t>, Problem> {
    let note = |claims: &Members<'t>| summary.note_claims(|name| claims.get(name));
    let request = read_request(&mut body, note)?;
    summary.note_algorithm(request.algorithm_under(view.set().policy()));
    body.finish()?;
    Ok(request)
}

/// Takes the members of a request out of a body.
pub(super) fn read_request<'t>(
    body: &mut Object<'t>,
    note: impl FnOnce(&Members<'t>),
) -> Result<SignRequest<'t>, Problem> {
    let claims = body.object("claims")?.into_members();
    note(&claims);
    let expires_in = body.optional_u64("expires_in")?;
    let typ = body.optional_text("typ")?;
    let unknown = |error| Problem::new(Code::UnknownAlgorithm, error);
    let algorithm = body.optional_text("alg")?;
    let algorithm = algorithm
        .map(|name| name.parse().map_err(unknown))
        .transpose()?;
    let uses = match body.optional_bool("single_use")? {
        Some(true) => Uses::Once,
        Some(false) | None => Uses::Unlimited,
    };
    let status = body
        .take("status")
        .map(serde_json::from_value::<TokenStatus>);
    let status = status.transpose().map_err(|_| FieldError::WrongType {
        field: "status",
        expected: "false, true or \"tracked\"",
    })?;
    Ok(SignRequest {
        claims,
        expires_in,
        typ,
        algorithm,
        origin: None,
        confirmation: None,
        uses,
        status,
    })
}
