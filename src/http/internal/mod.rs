//! The internal listener: signing, keys, issuers, clients, audit.

mod audit;
mod clients;
mod history;
mod issuers;
mod keys;
mod plan;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Query, RawPathParams, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};
use keywright_verifier::Algorithm;
use keywright_verifier::json::Object;
use serde::de::DeserializeOwned;

use super::response::Problem;
use crate::authority::Authority;
use crate::authority::issuer::Issuer;

type Service = State<Arc<Authority>>;

/// The routes of the internal listener.
pub fn router(authority: Arc<Authority>) -> Router {
    let route = |router: Router<_>, path, methods: MethodRouter<_>, allowed| {
        router.route(
            path,
            methods.fallback(async move || Problem::method_not_allowed(allowed)),
        )
    };
    let table = [
        ("/v1/issuers/{issuer}/tokens", post(tokens::sign), "POST"),
        (
            "/v1/issuers/{issuer}/tokens/batch",
            post(tokens::sign_batch),
            "POST",
        ),
        (
            "/v1/issuers/{issuer}/keys",
            get(keys::list).post(keys::import),
            "GET, HEAD, POST",
        ),
        (
            "/v1/issuers/{issuer}/keys/{kid}",
            get(keys::show),
            "GET, HEAD",
        ),
        (
            "/v1/issuers/{issuer}/keys/{kid}/revoke",
            post(keys::revoke),
            "POST",
        ),
        ("/v1/issuers/{issuer}/rotate", post(keys::rotate), "POST"),
        (
            "/v1/issuers/{issuer}/plan",
            get(plan::show).post(plan::preview),
            "GET, HEAD, POST",
        ),
        (
            "/v1/issuers/{issuer}/history",
            get(history::show),
            "GET, HEAD",
        ),
        (
            "/v1/issuers/{issuer}",
            get(issuers::show).put(issuers::set),
            "GET, HEAD, PUT",
        ),
        ("/v1/issuers", get(issuers::list), "GET, HEAD"),
        (
            "/v1/clients",
            get(clients::list).post(clients::create),
            "GET, HEAD, POST",
        ),
        ("/v1/clients/{id}", delete(clients::remove), "DELETE"),
        ("/v1/audit", get(audit::list), "GET, HEAD"),
        ("/v1/audit/export", get(audit::export), "GET, HEAD"),
        ("/v1/audit/head", get(audit::head), "GET, HEAD"),
        ("/metrics", get(metrics), "GET, HEAD"),
    ];
    table
        .into_iter()
        .fold(Router::new(), |router, (path, methods, allowed)| {
            route(router, path, methods, allowed)
        })
        .fallback(async || Problem::not_found())
        .with_state(authority)
}

/// Counters and gauges in the OpenMetrics text format. Like the probes it needs no credential: it
/// names issuers and counts, and a scraper rarely has a place for a secret.
async fn metrics(State(authority): Service) -> Response {
    authority.measure();
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], authority.metrics().render()).into_response()
}

/// The issuer that the path names.
struct Named(Arc<Issuer>);

impl FromRequestParts<Arc<Authority>> for Named {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        authority: &Arc<Authority>,
    ) -> Result<Self, Problem> {
        let name = path_parameter(parts, "issuer").await?;
        Ok(Self(authority.issuer(&name)?))
    }
}

/// One segment of the path, decoded. A path that does not decode names nothing.
async fn path_parameter(parts: &mut Parts, wanted: &str) -> Result<String, Problem> {
    let parameters = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|_| Problem::not_found())?;
    let found = parameters.iter().find(|(name, _)| *name == wanted);
    found
        .map(|(_, value)| value.to_owned())
        .ok_or_else(Problem::not_found)
}

/// A query string with known members alone.
struct Parameters<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::bad_request("invalid-query", rejection.body_text())),
        }
    }
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
