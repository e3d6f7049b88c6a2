//! The console: pages for people, at `/console` of the internal listener.
//!
//! It has no power of its own. Every page reads, and every button calls, the routes of the API within the
//! process ([`InProcessApi`]), as the client who is signed in: with its roles, its limits and its slots, and
//! with `via: console` in the events. The documents are those of `keywright-api`; what a page says of them is
//! worked out in files without markup (`timeline`, `policy_words`, `moment`), and shown by those in `pages`.
//!
//! Pages are HTML from templates that escape, one stylesheet and a few modules; nothing is loaded from
//! elsewhere, and nothing but the inspector, the check of the chain and the countdown needs a script.

mod api;
mod assets;
mod cookie;
mod elements;
mod event_words;
mod form;
mod layout;
mod moment;
mod origin;
mod pages;
mod plan_comparison;
mod policy_form;
mod policy_words;
mod response;
mod session;
mod timeline;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{get, post};

use crate::authority::Authority;
use crate::http::InProcessApi;
use pages::{
    approvals, audit, bans, canary, client, clients, inspector, issuer, issuers, policy, revoke,
    sign_in,
};

/// What a deployment lays down for its console.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether it listens on a loopback address: then only names of this machine and `hosts` reach it.
    pub is_loopback: bool,
    /// Whether its listener speaks TLS.
    pub is_tls: bool,
    /// Further names by which browsers reach it, without ports.
    pub hosts: Vec<String>,
    /// What it is called at the top of each page.
    pub environment: Option<String>,
}

/// What every page needs.
struct Console {
    authority: Arc<Authority>,
    api: InProcessApi,
    settings: Settings,
}

/// The pages.
pub fn router(authority: Arc<Authority>, api: InProcessApi, settings: Settings) -> Router {
    let console = Arc::new(Console {
        authority,
        api,
        settings,
    });
    Router::new()
        .route("/console", get(issuers::page))
        .route("/console/", get(async || response::see_other("/console")))
        .route(
            "/console/sign-in",
            get(sign_in::page).post(sign_in::by_credential),
        )
        .route(
            "/console/enter",
            get(sign_in::link_page).post(sign_in::by_link),
        )
        .route("/console/sign-out", post(sign_in::sign_out))
        .route("/console/issuers/{issuer}", get(issuer::page))
        .route("/console/issuers/{issuer}/rotate", post(issuer::rotate))
        .route("/console/issuers/{issuer}/canary", post(canary::stop))
        .route(
            "/console/issuers/{issuer}/policy",
            get(policy::page).post(policy::submit),
        )
        .route(
            "/console/issuers/{issuer}/revoke",
            get(revoke::page).post(revoke::revoke),
        )
        .route(
            "/console/issuers/{issuer}/bans",
            get(bans::page).post(bans::take_back),
        )
        .route("/console/issuers/{issuer}/bans/lift", post(bans::lift))
        .route("/console/approvals", get(approvals::page))
        .route(
            "/console/approvals/{approval}/confirm",
            post(approvals::confirm),
        )
        .route(
            "/console/approvals/{approval}/reject",
            post(approvals::reject),
        )
        .route("/console/clients", get(clients::page))
        .route(
            "/console/clients/{client}",
            get(client::page).post(client::check),
        )
        .route("/console/audit", get(audit::page))
        .route("/console/audit/download", get(audit::download))
        .route("/console/data/audit", get(audit::export))
        .route("/console/inspector", get(inspector::page))
        .route("/console/inspector/offline", get(inspector::offline))
        .route("/console/data/sets", get(inspector::sets))
        .route("/console/assets/{name}", get(assets::serve))
        .fallback(pages::not_found)
        .layer(from_fn_with_state(Arc::clone(&console), origin::check))
        .layer(map_response(response::protect))
        .with_state(console)
}
