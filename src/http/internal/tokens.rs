//! Signing: one token, or up to a thousand.

use std::num::NonZeroU32;

use axum::extract::{FromRequest as _, Request};
use axum::response::Response;
use keywright_verifier::Algorithm;
use keywright_verifier::json::Object;
use serde::Serialize;
use serde_json::Value;

use super::asking::{Asking, Wish};
use super::optional_algorithm;
use crate::authority::signing::{self, SignRefusal, SignRequest, SignedToken};
use crate::authority::snapshot::Snapshot;
use crate::authority::throttle::Budget;
use crate::clock::Stopwatch;
use crate::http::body::{BatchBody, Body};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{created, ok, with_budget};
use crate::http::shown;

/// The most tokens that one batch may ask for.
pub(in crate::http) const LARGEST_BATCH: usize = 1000;

pub(super) async fn sign(mut asking: Asking, request: Request) -> Result<Response, Problem> {
    let mut wish = asking.wish();
    let outcome = sign_one(&asking, &mut wish, request).await;
    if let Err(problem) = &outcome {
        asking.record_refusal(&wish, problem);
    }
    asking.decided();
    let (token, budget) = outcome?;
    Ok(with_budget(created(shown::token(&token)), budget))
}

async fn sign_one(
    asking: &Asking,
    wish: &mut Wish,
    request: Request,
) -> Result<(SignedToken, Option<Budget>), Problem> {
    let issuer = asking.issuer()?;
    // Before the body is read: a flood costs no more than its heads.
    let budget = asking.take(NonZeroU32::MIN)?;
    let Body(body) = Body::from_request(request, &()).await?;
    let view = issuer.leased_snapshot();
    let request = sign_request(body, &view, wish)?;
    let algorithm = algorithm_of(&request, &view);
    let stopwatch = Stopwatch::start();
    let now = asking.authority.now();
    let outcome = signing::sign(&view, asking.client(), request, now).await;
    let token = settle(asking, wish, &view, algorithm, &stopwatch, outcome)?;
    Ok((token, budget))
}

/// Every item of a batch is answered in its place, with the token or with its own problem.
pub(super) async fn sign_batch(mut asking: Asking, request: Request) -> Result<Response, Problem> {
    let outcome = sign_items(&asking, request).await;
    if let Err(problem) = &outcome {
        asking.record_refusal(&asking.wish(), problem);
    }
    asking.decided();
    let (outcomes, budget) = outcome?;
    let results = outcomes.iter().map(|outcome| match outcome {
        Ok(token) => Item::Token(shown::token(token)),
        Err(problem) => Item::Problem(problem.document()),
    });
    let results = Results {
        results: results.collect(),
    };
    Ok(with_budget(ok(results), budget))
}

type Outcomes = Vec<Result<SignedToken, Problem>>;

async fn sign_items(
    asking: &Asking,
    request: Request,
) -> Result<(Outcomes, Option<Budget>), Problem> {
    let issuer = asking.issuer()?;
    let BatchBody(mut body) = BatchBody::from_request(request, &()).await?;
    let items = body.array("requests")?;
    body.finish()?;
    let signatures = u32::try_from(items.len()).ok().and_then(NonZeroU32::new);
    let signatures = signatures.filter(|_| items.len() <= LARGEST_BATCH);
    let Some(signatures) = signatures else {
        let detail = format!(
            "a batch has 1 to {LARGEST_BATCH} requests, not {}",
            items.len()
        );
        return Err(Problem::new(Code::BatchSize, detail));
    };
    let budget = asking.take(signatures)?;
    let view = issuer.leased_snapshot();
    let mut wishes = Vec::with_capacity(items.len());
    let mut requests = Vec::with_capacity(items.len());
    for item in items {
        let mut wish = asking.wish();
        let request = Object::new(item, "a request")
            .map_err(Problem::from)
            .and_then(|item| sign_request(item, &view, &mut wish));
        let algorithm = request.map(|request| {
            let algorithm = algorithm_of(&request, &view);
            requests.push(request);
            algorithm
        });
        wishes.push((wish, algorithm));
    }
    let stopwatch = Stopwatch::start();
    let now = asking.authority.now();
    let mut outcomes = signing::sign_all(&view, asking.client(), requests, now)
        .await
        .into_iter();
    let settled = wishes.into_iter().map(|(wish, algorithm)| {
        let settled = algorithm.and_then(|algorithm| {
            let outcome = outcomes.next().unwrap_or(Err(SignRefusal::EngineFailed));
            settle(asking, &wish, &view, algorithm, &stopwatch, outcome)
        });
        settled.inspect_err(|problem| asking.record_refusal(&wish, problem))
    });
    Ok((settled.collect(), budget))
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

/// Puts a token on the issuance log, without which it is not handed out, and counts it.
fn settle(
    asking: &Asking,
    wish: &Wish,
    view: &Snapshot,
    algorithm: Algorithm,
    stopwatch: &Stopwatch,
    outcome: Result<SignedToken, SignRefusal>,
) -> Result<SignedToken, Problem> {
    let settled = outcome
        .map_err(Problem::from)
        .and_then(|token| asking.record(wish, token));
    match (&settled, view.signer(algorithm)) {
        (Ok(_), Some(entry)) => entry.metrics.count_signed(stopwatch.elapsed()),
        (Ok(_), None) => {}
        (Err(problem), _) => {
            let issuer = view.set().issuer().as_str();
            let metrics = asking.authority.metrics();
            metrics.count_refusal(issuer, algorithm, problem.code());
        }
    }
    settled
}

fn algorithm_of(request: &SignRequest, view: &Snapshot) -> Algorithm {
    request
        .algorithm
        .unwrap_or(view.set().policy().default_algorithm)
}

/// Reads what is asked for. What of it is good is noted, also where the rest is not.
fn sign_request(
    mut body: Object,
    view: &Snapshot,
    wish: &mut Wish,
) -> Result<SignRequest, Problem> {
    let claims = body.object("claims")?.into_map();
    wish.note_claims(&claims);
    let expires_in = body.optional_u64("expires_in")?;
    let typ = body.optional_string("typ")?;
    let algorithm = optional_algorithm(&mut body, "alg")?;
    let request = SignRequest {
        claims,
        expires_in,
        typ,
        algorithm,
    };
    wish.note_algorithm(algorithm_of(&request, view));
    body.finish()?;
    Ok(request)
}
