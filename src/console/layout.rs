//! What all pages have in common: head, masthead, foot.

use axum::response::Response;
use keywright_api as api;
use maud::{DOCTYPE, Markup, html};

use super::assets::{self, Asset};
use super::elements::visible;
use super::form::FORM_TOKEN;
use super::moment;
use super::response::{PageStatus, html as answer};
use super::session::SignedIn;
use crate::access::Role;
use crate::authority::audit::AuthenticationMethod;

/// The places of the masthead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Issuers, and everything of one of them.
    Issuers,
    /// The token inspector.
    Inspector,
    /// The audit log.
    Audit,
    /// What waits for a second person.
    Approvals,
    /// Who may call.
    Clients,
    /// None of them.
    Elsewhere,
}

/// The places that there are, with their addresses.
const PLACES: [(Place, &str, &str); 5] = [
    (Place::Issuers, "Issuers", "/console"),
    (Place::Inspector, "Inspector", "/console/inspector"),
    (Place::Audit, "Audit", "/console/audit"),
    (Place::Approvals, "Approvals", "/console/approvals"),
    (Place::Clients, "Clients", "/console/clients"),
];

/// A page.
pub(super) struct Page {
    /// What it is called.
    pub(super) title: String,
    /// Where it belongs.
    pub(super) place: Place,
    /// The module that it needs, if one.
    pub(super) module: Option<&'static Asset>,
    /// What stands in it.
    pub(super) main: Markup,
}

impl Page {
    /// A page without a module.
    pub(super) fn new(title: impl Into<String>, place: Place, main: Markup) -> Self {
        Self {
            title: title.into(),
            place,
            module: None,
            main,
        }
    }

    /// As an answer to a client who is signed in. How many operations wait for a second person is read
    /// anew for each page.
    pub(super) async fn answer(self, status: PageStatus, signed: &SignedIn) -> Response {
        let waiting = match signed.caller.has(Role::Security) {
            true => signed.calls().get::<api::Approvals>("/v1/approvals").await,
            false => Err(api::Problem::default()),
        };
        let waiting = waiting.map_or(0, |waiting| waiting.approvals.len());
        let environment = signed.console().settings.environment.as_deref();
        let now = signed.now();
        let body = html! {
            (masthead(environment, self.place, waiting, Some((signed, now))))
            main #main { (self.main) }
            footer.colophon {
                span { "All times are UTC." } " "
                span { "This page shows " (moment::in_full(now)) "." } " "
                span { "keywright " (env!("CARGO_PKG_VERSION")) }
            }
        };
        answer(
            status,
            document(environment, &self.title, self.module, &body),
        )
    }
}

/// A page for a browser without a session.
pub(super) fn outside(
    status: PageStatus,
    environment: Option<&str>,
    title: &str,
    main: &Markup,
) -> Response {
    let body = html! {
        (masthead(environment, Place::Elsewhere, 0, None))
        main #main { (main) }
        footer.colophon { span { "keywright " (env!("CARGO_PKG_VERSION")) } }
    };
    answer(status, document(environment, title, None, &body))
}

/// Only production has production's colour.
fn class_of(environment: Option<&str>) -> Option<&'static str> {
    let is_production = |name: &str| name.to_ascii_lowercase().starts_with("prod");
    environment
        .is_some_and(|name| !is_production(name))
        .then_some("staging")
}

fn document(
    environment: Option<&str>,
    title: &str,
    module: Option<&'static Asset>,
    body: &Markup,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" class=[class_of(environment)] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title {
                    (title)
                    @if let Some(environment) = environment { " · " (environment) }
                    " · keywright"
                }
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(assets::STYLE.path());
                @if let Some(module) = module {
                    script type="module" src=(module.path()) {}
                }
            }
            body {
                a.skip href="#main" { "Skip to the page" }
                (body)
            }
        }
    }
}

fn masthead(
    environment: Option<&str>,
    place: Place,
    waiting: usize,
    signed: Option<(&SignedIn, u64)>,
) -> Markup {
    html! {
        header.masthead { div {
            div.brand {
                a href="/console" { "keywright" }
                @if let Some(environment) = environment { " " span.environment { (environment) } }
            }
            @if let Some((signed, now)) = signed {
                nav aria-label="Console" { ul {
                    @for (target, name, path) in PLACES {
                        li { a href=(path) aria-current=[(target == place).then_some("page")] {
                            (name)
                            @if is_inbox(path) && waiting > 0 {
                                span.count { (waiting) span.unseen { " waits" } }
                            }
                        } }
                    }
                } }
                (me(signed, now))
            }
        } }
    }
}

fn is_inbox(path: &str) -> bool {
    path.ends_with("/approvals")
}

/// Who is signed in, as what, how, and for how long.
fn me(signed: &SignedIn, now: u64) -> Markup {
    let client = &signed.caller.live.client;
    let roles: Vec<&str> = client
        .terms
        .roles
        .iter()
        .map(|role| role.as_str())
        .collect();
    html! {
        details.me {
            summary { (visible(&client.terms.name)) }
            div {
                dl.facts {
                    dt { "Client" }
                    dd { (visible(&client.terms.name)) " " small.muted { (client.id) } }
                    dt { "May" }
                    dd { (roles.join(", ")) }
                    dt { "Came by" }
                    dd {
                        (way_in(&signed.caller.via))
                        @if let Some(address) = signed.caller.address { ", from " (address) }
                    }
                    @if let Some(end) = signed.ends_at {
                        dt { "Ends" }
                        dd {
                            "after 15 minutes without a click, at "
                            (moment::at(end.floor_seconds(), now)) " in any case"
                        }
                    }
                }
                @if signed.ends_at.is_some() {
                    form method="post" action="/console/sign-out" {
                        (form_token(signed))
                        button { "Sign out" }
                    }
                } @else {
                    p.muted { "A certificate signs in by itself. To end it, close the browser." }
                }
            }
        }
    }
}

fn way_in(via: &AuthenticationMethod) -> String {
    let AuthenticationMethod::Console(proof) = via else {
        return "the API".to_owned();
    };
    match (&proof.credential, &proof.sha256, &proof.issuer) {
        (Some(credential), _, _) => format!("credential {credential}"),
        (_, Some(_), _) => "certificate".to_owned(),
        (_, _, Some(issuer)) => format!("workload of {issuer}"),
        _ => "assertion".to_owned(),
    }
}

/// The field that every form has.
pub(super) fn form_token(signed: &SignedIn) -> Markup {
    html! { input type="hidden" name=(FORM_TOKEN) value=(signed.form_token); }
}

/// Where a page is, above its title.
pub(super) fn crumbs(above: &[(&str, &str)], here: &str) -> Markup {
    html! {
        nav.crumbs aria-label="Where you are" { ol {
            @for (name, path) in above { li { a href=(path) { (visible(name)) } } }
            li aria-current="page" { (visible(here)) }
        } }
    }
}
