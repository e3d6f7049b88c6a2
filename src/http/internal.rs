//! The internal listener: signing, keys, issuers, clients, audit.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};
use keywright_verifier::json::{FieldError, Object};
use keywright_verifier::{Algorithm, Jwk, Kid};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authentication::Caller;
use super::body::{BatchBody, Body, OptionalBody};
use super::response::{Problem, created, created_at, no_content, ok};
use super::shown;
use crate::authority::clients::Role;
use crate::authority::signing::{self, SignRefusal, SignRequest, SignedToken};
use crate::authority::view::View;
use crate::authority::{Authority, ChangeError, IssuerSet};
use crate::clock::Stopwatch;
use crate::engine::import_private_key;
use crate::lifecycle::{Founding, ImportAs, IssuerName, Policy, Readiness, Successor, Timestamp};

type Service = State<Arc<Authority>>;

/// The most tokens that one batch may ask for.
const LARGEST_BATCH: usize = 1000;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// The most events that one answer carries.
const LARGEST_PAGE: u32 = 1000;

/// The routes of the internal listener.
pub fn router(authority: Arc<Authority>) -> Router {
    let issuer = "/v1/issuers/{issuer}";
    Router::new()
        .route(&format!("{issuer}/tokens"), only(post(sign), "POST"))
        .route(
            &format!("{issuer}/tokens/batch"),
            only(post(sign_batch), "POST"),
        )
        .route(
            &format!("{issuer}/keys"),
            only(get(keys).post(import), "GET, HEAD, POST"),
        )
        .route(
            &format!("{issuer}/keys/{{kid}}"),
            only(get(key), "GET, HEAD"),
        )
        .route(
            &format!("{issuer}/keys/{{kid}}/revoke"),
            only(post(revoke), "POST"),
        )
        .route(&format!("{issuer}/rotate"), only(post(rotate), "POST"))
        .route(
            &format!("{issuer}/plan"),
            only(get(plan).post(plan_for), "GET, HEAD, POST"),
        )
        .route(
            issuer,
            only(get(show_issuer).put(set_issuer), "GET, HEAD, PUT"),
        )
        .route("/v1/issuers", only(get(list_issuers), "GET, HEAD"))
        .route(
            "/v1/clients",
            only(get(list_clients).post(create_client), "GET, HEAD, POST"),
        )
        .route("/v1/clients/{id}", only(delete(delete_client), "DELETE"))
        .route("/v1/audit", only(get(audit), "GET, HEAD"))
        .route("/metrics", only(get(metrics), "GET, HEAD"))
        .fallback(async || Problem::not_found())
        .with_state(authority)
}

fn only(
    methods: MethodRouter<Arc<Authority>>,
    allowed: &'static str,
) -> MethodRouter<Arc<Authority>> {
    methods.fallback(async move || Problem::method_not_allowed(allowed))
}

async fn sign(
    State(authority): Service,
    caller: Caller,
    Path(issuer): Path<String>,
    Body(body): Body,
) -> Result<Response, Problem> {
    caller.require(Role::Issuer)?;
    let issuer = authority.issuer(&issuer)?;
    let view = issuer.view();
    let request = sign_request(body)?;
    let algorithm = request
        .algorithm
        .unwrap_or(view.set().policy().default_algorithm);
    let stopwatch = Stopwatch::start();
    let outcome = signing::sign(&view, request, authority.now()).await;
    authority
        .metrics()
        .observe_signing(algorithm, stopwatch.elapsed());
    let shown = count(&authority, &view, algorithm, outcome).map(|token| shown::token(&token))?;
    Ok(created(shown))
}

/// Every item of a batch is answered in its place, with the token or with its own problem.
async fn sign_batch(
    State(authority): Service,
    caller: Caller,
    Path(issuer): Path<String>,
    BatchBody(mut body): BatchBody,
) -> Result<Response, Problem> {
    caller.require(Role::Issuer)?;
    let issuer = authority.issuer(&issuer)?;
    let items = body.array("requests")?;
    body.finish()?;
    if items.is_empty() || items.len() > LARGEST_BATCH {
        let detail = format!(
            "a batch has 1 to {LARGEST_BATCH} requests, not {}",
            items.len()
        );
        return Err(Problem::bad_request("batch-size", detail));
    }
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
    let mut outcomes = signing::sign_all(&view, requests, authority.now())
        .await
        .into_iter();
    let results = algorithms.into_iter().map(|algorithm| {
        let outcome = algorithm.and_then(|algorithm| {
            let outcome = outcomes.next().unwrap_or(Err(SignRefusal::EngineFailed));
            count(&authority, &view, algorithm, outcome)
        });
        outcome.map_or_else(|problem| problem.document(), |token| shown::token(&token))
    });
    Ok(ok(json!({ "results": results.collect::<Vec<_>>() })))
}

fn count(
    authority: &Authority,
    view: &View,
    algorithm: Algorithm,
    outcome: Result<SignedToken, SignRefusal>,
) -> Result<SignedToken, Problem> {
    let outcome = outcome.map_err(Problem::from);
    let word = outcome.as_ref().map_or_else(Problem::code, |_| "signed");
    authority
        .metrics()
        .count_signature(view.set().issuer().as_str(), algorithm, word);
    outcome
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

fn optional_algorithm(
    body: &mut Object,
    field: &'static str,
) -> Result<Option<Algorithm>, Problem> {
    let Some(name) = body.optional_string(field)? else {
        return Ok(None);
    };
    let unknown = |error| Problem::bad_request("unknown-algorithm", error);
    name.parse().map(Some).map_err(unknown)
}

async fn keys(
    State(authority): Service,
    caller: Caller,
    Path(issuer): Path<String>,
) -> Result<Response, Problem> {
    caller.require(Role::Auditor)?;
    let view = authority.issuer(&issuer)?.view();
    let set = view.set();
    let keys: Vec<Value> = set
        .keys()
        .iter()
        .map(|key| shown::key(key, set.policy()))
        .collect();
    Ok(ok(json!({ "keys": keys })))
}

async fn key(
    State(authority): Service,
    caller: Caller,
    Path((issuer, kid)): Path<(String, String)>,
) -> Result<Response, Problem> {
    caller.require(Role::Auditor)?;
    let view = authority.issuer(&issuer)?.view();
    show_key(&view, &kid).map(ok)
}

fn show_key(view: &View, kid: &str) -> Result<Value, Problem> {
    let set = view.set();
    let key = Kid::parse(kid).ok().and_then(|kid| set.key(&kid));
    let key = key.ok_or_else(|| Problem::unknown_key(kid))?;
    Ok(shown::key(key, set.policy()))
}

async fn rotate(
    State(authority): Service,
    caller: Caller,
    Path(issuer): Path<String>,
    OptionalBody(mut body): OptionalBody,
) -> Result<Response, Problem> {
    caller.require(Role::Security)?;
    let issuer = authority.issuer(&issuer)?;
    let algorithm = optional_algorithm(&mut body, "algorithm")?;
    let readiness = match body.optional_bool("force")? {
        Some(true) => Readiness::Waived,
        Some(false) | None => Readiness::Required,
    };
    let reason = optional_reason(&mut body)?;
    body.finish()?;
    let (version, rotations) = authority
        .rotate(
            &issuer,
            algorithm,
            readiness,
            &caller.actor(),
            reason.as_deref(),
        )
        .await?;
    Ok(ok(json!({
        "version": version,
        "forced": rotations.iter().any(|rotation| rotation.forced),
        "rotations": rotations.iter().map(shown::rotation).collect::<Vec<_>>(),
    })))
}

async fn revoke(
    State(authority): Service,
    caller: Caller,
    Path((issuer, kid)): Path<(String, String)>,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    caller.require(Role::Security)?;
    let issuer = authority.issuer(&issuer)?;
    let reason = optional_reason(&mut body)?.ok_or(FieldError::Missing { field: "reason" })?;
    let successor = match body.optional_bool("discard_successor")? {
        Some(true) => Successor::Discard,
        Some(false) | None => Successor::Promote,
    };
    body.finish()?;
    let kid = Kid::parse(&kid).map_err(|_| Problem::unknown_key(&kid))?;
    let exposure = authority
        .revoke(&issuer, &kid, successor, &caller.actor(), &reason)
        .await?;
    Ok(ok(shown::exposure(&exposure)))
}

fn optional_reason(body: &mut Object) -> Result<Option<String>, Problem> {
    let reason = body.optional_string("reason")?;
    let legal = |reason: &String| {
        let length = reason.chars().count();
        (1..=LONGEST_REASON).contains(&length) && !reason.chars().any(char::is_control)
    };
    if reason.as_ref().is_some_and(|reason| !legal(reason)) {
        let detail = format!("a reason has 1 to {LONGEST_REASON} printable characters");
        return Err(Problem::bad_request("invalid-reason", detail));
    }
    Ok(reason)
}

async fn import(
    State(authority): Service,
    caller: Caller,
    Path(name): Path<String>,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    caller.require(Role::Security)?;
    let issuer = authority.issuer(&name)?;
    let algorithm = optional_algorithm(&mut body, "algorithm")?
        .ok_or(FieldError::Missing { field: "algorithm" })?;
    let state = match body.string("state")?.as_str() {
        "pending" => ImportAs::Pending,
        "active" => ImportAs::Active,
        "retired" => ImportAs::Retired,
        _ => {
            let detail = "state must be \"pending\", \"active\" or \"retired\"";
            return Err(Problem::bad_request("invalid-state", detail));
        }
    };
    let kid = body.optional_string("kid")?;
    let kid = kid.as_deref().map(Kid::parse).transpose();
    let kid = kid.map_err(|error| Problem::bad_request("invalid-kid", error))?;
    let private_key = body
        .optional_string("private_key")?
        .map(zeroize::Zeroizing::new);
    let public_key = body.optional_object("public_key")?;
    body.finish()?;
    let kid = match (private_key, public_key) {
        (Some(pem), None) => {
            let parsed =
                tokio::task::spawn_blocking(move || import_private_key(algorithm, &pem, kid));
            let failed = |_| Problem::bad_request("invalid-private-key", "the key does not parse");
            let pair = parsed.await.map_err(failed)??;
            authority
                .import_private(&issuer, pair, state, &caller.actor())
                .await?
        }
        (None, Some(public)) if state == ImportAs::Retired => {
            let invalid = |error: keywright_verifier::JwkError| {
                Problem::bad_request("invalid-public-key", error)
            };
            let jwk = Jwk::from_value(public.into_map().into()).map_err(invalid)?;
            if jwk.algorithm() != algorithm {
                let detail = format!("public_key is an {} key, not {algorithm}", jwk.algorithm());
                return Err(Problem::bad_request("invalid-public-key", detail));
            }
            let jwk = match kid {
                Some(kid) => Jwk::new(Some(kid), jwk.public_key().clone()).map_err(invalid)?,
                None => jwk,
            };
            authority
                .import_public(&issuer, jwk, &caller.actor())
                .await?
        }
        (None, Some(_)) => {
            let detail = "a public key can be imported only as retired; signing needs private_key";
            return Err(Problem::bad_request("invalid-state", detail));
        }
        (Some(_), Some(_)) | (None, None) => {
            let detail = "send exactly one of private_key and public_key";
            return Err(Problem::bad_request("key-material", detail));
        }
    };
    let shown = show_key(&issuer.view(), kid.as_str())?;
    Ok(created_at(&format!("/v1/issuers/{name}/keys/{kid}"), shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanQuery {
    until: Option<u64>,
}

/// How far a plan looks ahead when it is not said.
const DEFAULT_OUTLOOK: std::time::Duration = std::time::Duration::from_secs(90 * 86_400);

async fn plan(
    State(authority): Service,
    caller: Caller,
    Path(issuer): Path<String>,
    query: Result<Query<PlanQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    caller.require(Role::Auditor)?;
    foresee(&authority, &issuer, None, query)
}

/// The same under another policy, which is not set.
async fn plan_for(
    State(authority): Service,
    caller: Caller,
    Path(issuer): Path<String>,
    query: Result<Query<PlanQuery>, axum::extract::rejection::QueryRejection>,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    caller.require(Role::Auditor)?;
    let policy = Policy::take_from(&mut body)?;
    body.finish()?;
    foresee(&authority, &issuer, Some(policy), query)
}

fn foresee(
    authority: &Authority,
    issuer: &str,
    policy: Option<Policy>,
    query: Result<Query<PlanQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|_| {
        Problem::bad_request("invalid-query", "until is a whole number of Unix seconds")
    })?;
    let issuer = authority.issuer(issuer)?;
    let now = authority.now();
    let until = query
        .until
        .map_or(now.after(DEFAULT_OUTLOOK), Timestamp::from_seconds);
    let warnings = policy.as_ref().map(Policy::warnings).unwrap_or_default();
    let occurrences = authority.foresee(&issuer, policy, until)?;
    Ok(ok(json!({
        "now": now.floor_seconds(),
        "until": until.ceil_seconds(),
        "occurrences": occurrences.iter().map(shown::occurrence).collect::<Vec<_>>(),
        "warnings": warnings,
    })))
}

async fn show_issuer(
    State(authority): Service,
    caller: Caller,
    Path(issuer): Path<String>,
) -> Result<Response, Problem> {
    caller.require(Role::Admin)?;
    Ok(ok(shown::issuer(&*authority.issuer(&issuer)?)))
}

async fn list_issuers(State(authority): Service, caller: Caller) -> Result<Response, Problem> {
    caller.require(Role::Admin)?;
    let issuers: Vec<Value> = authority
        .issuers()
        .iter()
        .map(|issuer| shown::issuer(issuer))
        .collect();
    Ok(ok(json!({ "issuers": issuers })))
}

async fn set_issuer(
    State(authority): Service,
    caller: Caller,
    Path(name): Path<String>,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    caller.require(Role::Admin)?;
    let invalid = |error| Problem::bad_request("invalid-issuer-name", error);
    let name = IssuerName::parse(&name).map_err(invalid)?;
    let founding = match body.optional_bool("takes_over")? {
        Some(true) => Some(Founding::TakesOver),
        Some(false) => Some(Founding::Fresh),
        None => None,
    };
    let policy = Policy::take_from(&mut body)?;
    body.finish()?;
    let warnings = policy.warnings();
    let set = authority
        .set_issuer(&name, policy, founding, &caller.actor())
        .await?;
    let (IssuerSet::Created(issuer) | IssuerSet::Replaced(issuer)) = &set;
    let mut shown = shown::issuer(issuer);
    if let (false, Value::Object(members)) = (warnings.is_empty(), &mut shown) {
        members.insert("warnings".to_owned(), warnings.into());
    }
    Ok(match set {
        IssuerSet::Created(_) => created_at(&format!("/v1/issuers/{name}"), shown),
        IssuerSet::Replaced(_) => ok(shown),
    })
}

async fn list_clients(State(authority): Service, caller: Caller) -> Result<Response, Problem> {
    caller.require(Role::Admin)?;
    let clients: Vec<Value> = authority
        .clients()
        .all()
        .iter()
        .map(|client| Value::Object(shown::client(client)))
        .collect();
    Ok(ok(json!({ "clients": clients })))
}

async fn create_client(
    State(authority): Service,
    caller: Caller,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    caller.require(Role::Admin)?;
    let name = body.string("name")?;
    let legal = |character: char| character.is_ascii_graphic() || character == ' ';
    if !(1..=64).contains(&name.len()) || !name.chars().all(legal) {
        let detail = "a client's name has 1 to 64 printable ASCII characters";
        return Err(Problem::bad_request("invalid-client-name", detail));
    }
    let roles = body
        .optional_strings("roles")?
        .ok_or(FieldError::Missing { field: "roles" })?;
    body.finish()?;
    let roles: Option<BTreeSet<Role>> = roles.iter().map(|role| Role::parse(role)).collect();
    let roles = roles.filter(|roles| !roles.is_empty()).ok_or_else(|| {
        let detail = "roles must name at least one of issuer, security, auditor, admin";
        Problem::bad_request("invalid-roles", detail)
    })?;
    let (client, credential) = authority
        .create_client(name, roles, &caller.actor())
        .await?;
    let mut shown = shown::client(&client);
    shown.insert("credential".to_owned(), credential.reveal().into());
    Ok(created_at(
        &format!("/v1/clients/{}", client.id),
        Value::Object(shown),
    ))
}

async fn delete_client(
    State(authority): Service,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.require(Role::Admin)?;
    authority.delete_client(&id, &caller.actor()).await?;
    Ok(no_content())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    issuer: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

async fn audit(
    State(authority): Service,
    caller: Caller,
    query: Result<Query<AuditQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    caller.require(Role::Auditor)?;
    let invalid = || {
        let detail = format!("the query takes issuer, after and limit (1 to {LARGEST_PAGE})");
        Problem::bad_request("invalid-query", detail)
    };
    let Query(query) = query.map_err(|_| invalid())?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(invalid());
    }
    let issuer = match &query.issuer {
        Some(name) => {
            let unknown = |_| ChangeError::UnknownIssuer(name.chars().take(63).collect());
            Some(IssuerName::parse(name).map_err(unknown)?)
        }
        None => None,
    };
    let events = authority
        .events(issuer.as_ref(), query.after.unwrap_or(0), limit)
        .await?;
    // A full page may be followed by another one.
    let full = events.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = events
        .last()
        .filter(|_| full)
        .and_then(|event| event.get("sequence"))
        .cloned();
    Ok(ok(json!({ "events": events, "next": next })))
}

/// Counters and gauges in the OpenMetrics text format. Like the probes it needs no credential: it
/// names issuers and counts, and a scraper rarely has a place for a secret.
async fn metrics(State(authority): Service) -> Response {
    authority.measure();
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], authority.metrics().render()).into_response()
}
