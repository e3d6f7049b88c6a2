//! The internal listener: signing, keys, issuers, clients, audit.

mod approvals;
mod audit;
mod backups;
mod clients;
mod clock;
mod console;
mod documentation;
mod events;
mod grants;
mod health;
mod history;
mod if_match;
mod issuers;
mod keys;
mod master_key;
mod page;
mod plan;
mod replicas;
mod revocations;
mod route;
mod signing_check;
mod tokens;
mod verifiers;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Query, RawPathParams, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::code::Code;
use super::openapi;
use super::problem::Problem;
use super::slots::{Anyone, RouteClass};
use crate::access::Limits;
use crate::authority::authentication::Caller;
use crate::authority::issuer::Issuer;
use crate::authority::{Authority, ChangeError};
use crate::lifecycle::Timestamp;
use crate::spelling::nearest;
use crate::telemetry::OPENMETRICS;
use crate::telemetry::traces::note_issuer;
use route::Route;

pub(super) use audit::{AuditQuery, ExportQuery};
pub(super) use events::EventsQuery;
pub(super) use grants::GrantQuery;
pub(super) use history::HistoryQuery;
pub(super) use keys::ExposureQuery;
pub(super) use plan::PlanQuery;
pub(super) use revocations::{RevocationFileQuery, RevocationQuery};
pub(super) use route::MatchedRoute;
pub(super) use signing_check::SigningCheckQuery;
pub(super) use tokens::SigningRoute;

type Service = State<Arc<Authority>>;

/// The routes of the internal listener, each with its class and what describes it.
fn table() -> Vec<Route> {
    use RouteClass::{Administration, Following, Monitoring, Reading, Signing};
    vec![
        Route::new(tokens::SIGN).post(Signing, tokens::sign, openapi::tokens::sign),
        Route::new(tokens::SIGN_BATCH).post(
            Signing,
            tokens::sign_batch,
            openapi::tokens::sign_batch,
        ),
        Route::new("/v1/issuers/{issuer}/grants")
            .get(Reading, grants::list, openapi::grants::list_grants)
            .post(Signing, grants::open, openapi::grants::open),
        Route::new("/v1/issuers/{issuer}/grants/{grant}")
            .get(Reading, grants::show, openapi::grants::show)
            .patch(Administration, grants::change, openapi::grants::change)
            .delete(Administration, grants::end, openapi::grants::end),
        Route::new("/v1/issuers/{issuer}/revocations")
            .get(
                Reading,
                revocations::list,
                openapi::revocations::list_revocations,
            )
            .post(
                Administration,
                revocations::revoke,
                openapi::revocations::revoke,
            ),
        Route::new("/v1/issuers/{issuer}/revocations/batch").post(
            Administration,
            revocations::revoke_batch,
            openapi::revocations::revoke_batch,
        ),
        Route::new("/v1/issuers/{issuer}/revocations/file").get(
            Reading,
            revocations::file,
            openapi::revocations::file,
        ),
        Route::new("/v1/issuers/{issuer}/revocations/{revocation}")
            .get(Reading, revocations::show, openapi::revocations::show)
            .delete(
                Administration,
                revocations::lift,
                openapi::revocations::lift,
            ),
        Route::new("/v1/issuers/{issuer}/revocations/{revocation}/erase").post(
            Administration,
            revocations::erase,
            openapi::revocations::erase,
        ),
        Route::new("/v1/issuers/{issuer}/keys")
            .get(Reading, keys::list, openapi::keys::list_keys)
            .post(Administration, keys::import, openapi::keys::import),
        Route::new("/v1/issuers/{issuer}/keys/{kid}").get(Reading, keys::show, openapi::keys::show),
        Route::new("/v1/issuers/{issuer}/keys/{kid}/revoke").post(
            Administration,
            keys::revoke,
            openapi::keys::revoke,
        ),
        Route::new("/v1/issuers/{issuer}/keys/{kid}/exposure").get(
            Reading,
            keys::exposure,
            openapi::keys::exposure,
        ),
        Route::new("/v1/issuers/{issuer}/keys/{kid}/live-tokens").get(
            Reading,
            keys::live_tokens,
            openapi::keys::live_tokens,
        ),
        Route::new("/v1/issuers/{issuer}/verifiers").get(
            Reading,
            verifiers::list,
            openapi::keys::list_verifiers,
        ),
        Route::new("/v1/issuers/{issuer}/canary/stop").post(
            Administration,
            keys::stop_canary,
            openapi::keys::stop_canary,
        ),
        Route::new("/v1/issuers/{issuer}/rotate").post(
            Administration,
            keys::rotate,
            openapi::keys::rotate,
        ),
        Route::new("/v1/issuers/{issuer}/plan")
            .get(Reading, plan::show, openapi::plan::show)
            .post(Reading, plan::preview, openapi::plan::preview),
        Route::new("/v1/issuers/{issuer}")
            .get(Administration, issuers::show, openapi::issuers::show)
            .put(Administration, issuers::set, openapi::issuers::set),
        Route::new("/v1/issuers/{issuer}/history").get(
            Reading,
            history::show,
            openapi::keys::history,
        ),
        Route::new("/v1/issuers/{issuer}/delete").post(
            Administration,
            approvals::delete_issuer,
            openapi::approvals::delete_issuer,
        ),
        Route::new("/v1/approvals").get(
            Administration,
            approvals::list,
            openapi::approvals::list_approvals,
        ),
        Route::new("/v1/approvals/{approval}/confirm").post(
            Administration,
            approvals::confirm,
            openapi::approvals::confirm,
        ),
        Route::new("/v1/approvals/{approval}").delete(
            Administration,
            approvals::reject,
            openapi::approvals::reject,
        ),
        Route::new("/v1/issuers").get(
            Administration,
            issuers::list,
            openapi::issuers::list_issuers,
        ),
        Route::new("/v1/clients")
            .get(
                Administration,
                clients::list,
                openapi::clients::list_clients,
            )
            .post(Administration, clients::create, openapi::clients::create),
        Route::new("/v1/clients/{id}")
            .get(Administration, clients::show, openapi::clients::show)
            .put(Administration, clients::set, openapi::clients::set)
            .delete(Administration, clients::remove, openapi::clients::remove),
        Route::new("/v1/clients/{id}/check").post(
            Reading,
            signing_check::check,
            openapi::clients::check_signing,
        ),
        Route::new("/v1/clients/{id}/credentials").post(
            Administration,
            clients::rotate_credential,
            openapi::clients::rotate_credential,
        ),
        Route::new("/v1/clients/{id}/credentials/{credential}").delete(
            Administration,
            clients::revoke_credential,
            openapi::clients::revoke_credential,
        ),
        Route::new("/v1/audit").get(Reading, audit::list, openapi::audit::list_events),
        Route::new("/v1/audit/export").get(Reading, audit::export, openapi::audit::export),
        Route::new("/v1/audit/head").get(Reading, audit::head, openapi::audit::head),
        Route::new("/v1/events").get(Following, events::follow, openapi::audit::follow_events),
        Route::new("/v1/webhooks")
            .get(Reading, webhooks::list, openapi::webhooks::list_webhooks)
            .post(
                Administration,
                webhooks::create,
                openapi::webhooks::create_webhook,
            ),
        Route::new("/v1/webhooks/{webhook}")
            .get(Reading, webhooks::show, openapi::webhooks::show_webhook)
            .delete(
                Administration,
                webhooks::remove,
                openapi::webhooks::delete_webhook,
            ),
        Route::new("/v1/webhooks/{webhook}/secrets").post(
            Administration,
            webhooks::rotate_secret,
            openapi::webhooks::rotate_webhook_secret,
        ),
        Route::new("/v1/webhooks/{webhook}/resume").post(
            Administration,
            webhooks::resume,
            openapi::webhooks::resume_webhook,
        ),
        Route::new("/v1/backup").post(Administration, backups::take, openapi::backups::take),
        Route::new("/v1/register").get(Reading, backups::register, openapi::backups::register),
        Route::new("/v1/replicas").get(Reading, replicas::list, openapi::replicas::list_replicas),
        Route::new("/v1/health").get(Reading, health::show, openapi::health::report),
        Route::new("/v1/clock/correct").post(
            Administration,
            clock::correct,
            openapi::clock::correct,
        ),
        Route::new("/v1/master-key").get(Reading, master_key::show, openapi::master_key::show),
        Route::new("/v1/master-key/rotate").post(
            Administration,
            master_key::rotate,
            openapi::master_key::rotate,
        ),
        Route::new("/v1/console/links").post(
            Administration,
            console::create_link,
            openapi::console::create_link,
        ),
        Route::new("/metrics").get(Monitoring, metrics, openapi::service::metrics),
        Route::new("/openapi.json").get(
            Monitoring,
            documentation::show,
            openapi::service::document,
        ),
        Route::new("/").get(Monitoring, documentation::page, openapi::service::start),
        Route::new("/docs").get(Monitoring, documentation::page, openapi::service::page),
    ]
}

/// The router of the internal listener.
pub fn router(authority: Arc<Authority>) -> Router {
    let routes = table().into_iter();
    routes
        .fold(Router::new(), |router, route| route.enter(router))
        .fallback(async || Problem::not_found())
        .with_state(authority)
}

/// Counters and gauges in the OpenMetrics text format. Like the probes it needs no credential: it
/// names issuers and counts, and a scraper rarely has a place for a secret.
async fn metrics(State(authority): Service, _: Anyone) -> Response {
    authority.update_gauges();
    ([(CONTENT_TYPE, OPENMETRICS)], authority.metrics().render()).into_response()
}

/// The issuer that the path names, if the caller may call it at all. It stands after
/// [`HasRole`](super::authentication::HasRole) in a handler's signature.
struct Named(Arc<Issuer>);

impl FromRequestParts<Arc<Authority>> for Named {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        authority: &Arc<Authority>,
    ) -> Result<Self, Problem> {
        let name = path_parameter(parts, "issuer").await?;
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.ok_or_else(Problem::no_credential)?;
        named(authority, &caller.live.client.terms.limits, &name).map(Self)
    }
}

/// The issuer of this name. The caller's limits are checked before the look-up, so that a caller that
/// may not call the issuer does not learn whether it exists.
pub(super) fn named(
    authority: &Authority,
    limits: &Limits,
    name: &str,
) -> Result<Arc<Issuer>, Problem> {
    limits.check_issuer(name)?;
    let found = authority.issuer(name);
    if found.is_ok() {
        note_issuer(name);
    }
    found.map_err(|error| match error {
        ChangeError::UnknownIssuer(name) => unknown_issuer(authority, limits, &name),
        error => error.into(),
    })
}

/// Names the nearest issuer of those that the caller may call.
fn unknown_issuer(authority: &Authority, limits: &Limits, name: &str) -> Problem {
    let issuers = authority.issuers();
    let names = issuers.iter().map(|issuer| issuer.name().as_str());
    let known = names.filter(|name| limits.check_issuer(name).is_ok());
    Problem::unknown_issuer(name, nearest(name, known))
}

/// One segment of the path, decoded. A path that does not decode names nothing.
pub(super) async fn path_parameter(parts: &mut Parts, wanted: &str) -> Result<String, Problem> {
    let parameters = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|_| Problem::not_found())?;
    let found = parameters.iter().find(|(name, _)| *name == wanted);
    found
        .map(|(_, value)| value.to_owned())
        .ok_or_else(Problem::not_found)
}

/// A type for one segment of the path as it is, which a handler's signature takes apart.
macro_rules! path_text {
    ($(#[$attribute:meta])* $name:ident, $segment:literal) => {
        $(#[$attribute])*
        pub(super) struct $name(pub(super) String);

        impl axum::extract::FromRequestParts<std::sync::Arc<crate::authority::Authority>> for $name {
            type Rejection = crate::http::problem::Problem;

            async fn from_request_parts(
                parts: &mut axum::http::request::Parts,
                _: &std::sync::Arc<crate::authority::Authority>,
            ) -> Result<Self, Self::Rejection> {
                super::path_parameter(parts, $segment).await.map(Self)
            }
        }
    };
}
use path_text;

/// A whole number of a query, at most 2^63 − 1: clients in most languages have no larger one.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "u64")]
#[schemars(inline, with = "u64")]
struct QueryNumber(u64);

impl TryFrom<u64> for QueryNumber {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, &'static str> {
        let small = i64::try_from(number).map(|_| Self(number));
        small.map_err(|_| "a number is at most 9223372036854775807")
    }
}

impl QueryNumber {
    /// As an instant in Unix seconds.
    fn instant(self) -> Timestamp {
        Timestamp::from_seconds(self.0)
    }
}

/// A query string with known members alone.
struct Parameters<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::new(Code::InvalidQuery, rejection.body_text())),
        }
    }
}
