//! Who may call, and what each may have signed, in words.

use axum::response::Response;
use keywright_api as api;
use maud::{Markup, html};

use crate::console::api::encoded;
use crate::console::elements::{Heading, Row, counted, refused, table, visible};
use crate::console::layout::{Page, Place};
use crate::console::moment;
use crate::console::response::PageStatus;
use crate::console::session::SignedIn;

/// The most entries of a list that are shown.
const MOST_ENTRIES: usize = 8;

pub(in crate::console) async fn page(signed: SignedIn) -> Response {
    let now = signed.now();
    let clients: Result<api::Clients, _> = signed.calls().get("/v1/clients").await;
    let (status, content) = match &clients {
        Ok(clients) => {
            let rows: Vec<Row> = clients
                .clients
                .iter()
                .map(|client| row(client, now))
                .collect();
            let headings = [
                Heading::Text("Client"),
                Heading::Text("Roles"),
                Heading::Text("May have signed"),
                Heading::Text("Proves itself by"),
                Heading::Text("Last used"),
            ];
            (
                PageStatus::Ok,
                table(None, "Clients and their limits", &headings, &rows),
            )
        }
        Err(problem) => (PageStatus::OfApi(problem.status), refused(problem)),
    };
    let total = clients.as_ref().map_or(0, |clients| clients.clients.len());
    let main = html! {
        div.title { h1 { "Clients" } p.muted { (counted(total, "client")) } }
        section.first aria-label="All clients" {
            (content)
            p.muted.small.field { "To change one: " code { "keywright clients" } }
        }
    };
    Page::new("Clients", Place::Clients, main)
        .answer(status, &signed)
        .await
}

fn row(client: &api::RegisteredClient, now: u64) -> Row {
    let terms = &client.terms;
    let roles: Vec<&str> = terms.roles.iter().map(|role| role.as_str()).collect();
    let last = client
        .credentials
        .iter()
        .filter_map(|credential| credential.last_used_at.as_ref())
        .max_by_key(|at| at.0);
    let path = format!("/console/clients/{}", encoded(&client.id));
    Row::new(
        html! { a href=(path) { (visible(&terms.name)) } small { (visible(&client.id)) } },
        [
            html! { (roles.join(", ")) },
            limits(terms),
            proofs(client, now),
            html! { @match last { Some(at) => { (moment::at(at.0, now)) small { (moment::from_now(at.0, now)) } }, None => { "never by credential" } } },
        ],
    )
}

fn list(words: &[String]) -> String {
    let shown = words
        .iter()
        .take(MOST_ENTRIES)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match words.len() > MOST_ENTRIES {
        true => format!("{shown} and {} more", words.len() - MOST_ENTRIES),
        false => shown,
    }
}

/// What a client may have signed, a sentence for each limit.
fn sentences(limits: &api::Limits) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(issuers) = &limits.issuers {
        let names: Vec<String> = issuers.iter().map(ToString::to_string).collect();
        told.push(format!("Only of {}.", list(&names)));
    }
    if let Some(subjects) = &limits.subjects {
        told.push(match subjects {
            api::Subjects::OwnId(_) => "Only about itself.".to_owned(),
            api::Subjects::Matching(patterns) => {
                let patterns: Vec<String> =
                    patterns.iter().map(|pattern| pattern.0.clone()).collect();
                format!("Subjects {}.", list(&patterns))
            }
        });
    }
    if let Some(audiences) = &limits.audiences {
        let audiences: Vec<String> = audiences.iter().map(|pattern| pattern.0.clone()).collect();
        told.push(format!("For {}.", list(&audiences)));
    }
    if let Some(scopes) = &limits.scopes {
        let scopes: Vec<String> = scopes.iter().map(|scope| scope.0.clone()).collect();
        told.push(match scopes.is_empty() {
            true => "No scope.".to_owned(),
            false => format!("Scopes {}.", list(&scopes)),
        });
    }
    if let Some(claims) = &limits.claims {
        let claims: Vec<String> = claims.iter().map(|claim| claim.0.clone()).collect();
        told.push(match claims.is_empty() {
            true => "No further claims.".to_owned(),
            false => format!("Further claims {}.", list(&claims)),
        });
    }
    if limits.claims_schema.is_some() {
        told.push("Claims must satisfy a schema.".to_owned());
    }
    if let Some(ttl) = &limits.max_ttl {
        told.push(format!("For {} at most.", moment::length(ttl.0.as_secs())));
    }
    if let Some(types) = &limits.types {
        let types: Vec<String> = types.iter().map(|name| name.0.clone()).collect();
        told.push(format!("Of type {}.", list(&types)));
    }
    if let Some(rate) = &limits.rate {
        told.push(format!(
            "{} a second, {} at once.",
            rate.signatures_per_second, rate.burst
        ));
    }
    told
}

/// What a client may have signed.
pub(super) fn limits(terms: &api::Terms) -> Markup {
    let signs = terms
        .roles
        .iter()
        .any(|role| matches!(role, api::Role::Issuer | api::Role::Exchanger));
    let told = terms.limits.as_ref().map(sentences).unwrap_or_default();
    html! {
        @match (signs, told.is_empty()) {
            (false, true) => { "nothing" },
            (true, true) => { span.warn { "anything, as anybody" } small { "no limit is set" } },
            _ => { @for sentence in &told { (visible(sentence)) " " } },
        }
    }
}

/// By what a client shows who it is.
pub(super) fn proofs(client: &api::RegisteredClient, now: u64) -> Markup {
    let terms = &client.terms;
    let certificates = terms.certificates.as_ref().map_or(0, Vec::len);
    let workloads = terms.workloads.as_ref().map_or(0, Vec::len);
    html! {
        @for credential in &client.credentials {
            "credential " code { (visible(&credential.id)) }
            @if let Some(end) = credential.expires_at.as_ref() { small { "until " (moment::at(end.0, now)) } }
            " "
        }
        @if certificates > 0 { (counted(certificates, "certificate rule")) " " }
        @if workloads > 0 { (counted(workloads, "workload rule")) " " }
        @if terms.jwks.is_some() { "keys of its own" }
    }
}
