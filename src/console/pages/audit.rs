//! The audit log: whether it is whole, and who changed what.

use axum::extract::Query;
use axum::http::header::CONTENT_DISPOSITION;
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use keywright_api as api;
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::api::encoded;
use crate::console::assets;
use crate::console::elements::{
    Heading, Row, count, empty, refused, short, short_kid, table, visible,
};
use crate::console::layout::{Page, Place};
use crate::console::moment;
use crate::console::response::PageStatus;
use crate::console::session::SignedIn;

/// How many events one page looks through: more when it looks for some of them.
const LOOKED_AT: u64 = 100;
const SEARCHED: u64 = 1000;

/// What is looked for; empty fields of the form are.
#[derive(Default, Deserialize)]
pub(in crate::console) struct Filter {
    issuer: Option<String>,
    event: Option<String>,
    client: Option<String>,
    kid: Option<String>,
    since: Option<String>,
    until: Option<String>,
    before: Option<u64>,
}

fn given(field: &Option<String>) -> Option<&str> {
    field
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

impl Filter {
    /// The fields that are texts of the API, with their names there.
    fn texts(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("issuer", given(&self.issuer)),
            ("event", given(&self.event)),
            ("client", given(&self.client)),
            ("kid", given(&self.kid)),
        ]
    }

    /// The fields that are days.
    fn days(&self) -> [(&'static str, Option<&str>); 2] {
        [("since", given(&self.since)), ("until", given(&self.until))]
    }

    fn is_empty(&self) -> bool {
        let texts = self.texts();
        let mut fields = texts
            .iter()
            .chain(self.days().iter())
            .map(|(_, value)| *value)
            .collect::<Vec<_>>()
            .into_iter();
        fields.all(|value| value.is_none())
    }

    /// As a query of the API, without a place.
    fn query(&self) -> String {
        let texts = self.texts().into_iter();
        let texts = texts.filter_map(|(name, value)| Some(format!("&{name}={}", encoded(value?))));
        let days = self.days().into_iter();
        let days = days
            .filter_map(|(name, value)| Some(format!("&{name}={}", moment::parse_day(value?)?)));
        texts.chain(days).collect()
    }

    /// As an address of this page.
    fn address(&self, before: u64) -> String {
        let texts = self.texts();
        let days = self.days();
        let fields = texts.iter().chain(&days);
        let fields =
            fields.filter_map(|(name, value)| Some(format!("&{name}={}", encoded((*value)?))));
        format!(
            "/console/audit?before={before}{}",
            fields.collect::<String>()
        )
    }
}

/// A part of the log, newest first.
struct Window {
    events: Vec<api::AuditEvent>,
    /// Where the part before it ends.
    older: Option<u64>,
    head: api::AuditHead,
}

async fn read(signed: &SignedIn, filter: &Filter) -> Result<Window, api::Problem> {
    let calls = signed.calls();
    let head: api::AuditHead = calls.get("/v1/audit/head").await?;
    let end = head.sequence + 1;
    let before = filter.before.map_or(end, |before| before.min(end));
    let length = if filter.is_empty() {
        LOOKED_AT
    } else {
        SEARCHED
    };
    let after = before.saturating_sub(length + 1);
    let path = format!("/v1/audit?after={after}&limit={length}{}", filter.query());
    let page: api::AuditPage = calls.get(&path).await?;
    let mut events = page.events;
    events.retain(|event| event.sequence < before);
    events.reverse();
    Ok(Window {
        events,
        older: (after > 0).then_some(after + 1),
        head,
    })
}

pub(in crate::console) async fn page(Query(filter): Query<Filter>, signed: SignedIn) -> Response {
    let now = signed.now();
    let (status, content) = match read(&signed, &filter).await {
        Ok(window) => (
            PageStatus::Ok,
            html! {
                (chain(&window.head))
                (filter_form(&filter))
                (events(&window, &filter, now))
            },
        ),
        Err(problem) => (
            PageStatus::OfApi(problem.status),
            html! { (filter_form(&filter)) (refused(&problem)) },
        ),
    };
    let main = html! {
        div.title {
            h1 { "Audit log" }
            p.muted { "Who changed what, and that nothing was taken out" }
            p.aside { a href="/console/audit/download" { "Download all of it" } }
        }
        (content)
    };
    let page = Page {
        module: Some(&assets::CHAIN),
        ..Page::new("Audit log", Place::Audit, main)
    };
    page.answer(status, &signed).await
}

/// Where the module says whether the log is whole, and what is said without it.
fn chain(head: &api::AuditHead) -> Markup {
    html! {
        section.first aria-labelledby="chain" {
            h2.unseen #chain { "State of the chain" }
            div #chain-state aria-live="polite" data-sequence=(head.sequence) data-hash=(head.hash) {
                div.notice {
                    p { strong { "The chain is not checked here: that needs JavaScript." } " Check it with the head that you keep elsewhere:" }
                    pre { "keywright audit verify --head \"$HEAD\"" }
                }
            }
            div.inline.field #chain-tool hidden {
                div.grow {
                    label for="noted" { "Head that you noted " span.hint { "(number:hash)" } }
                    input.code #noted autocomplete="off" spellcheck="false" maxlength="90";
                }
                button #recheck type="button" { "Check again" }
            }
        }
    }
}

fn filter_form(filter: &Filter) -> Markup {
    let field = |value: &Option<String>| value.clone().unwrap_or_default();
    html! {
        form.inline method="get" action="/console/audit" role="search" aria-label="Filter events" {
            div { label for="issuer" { "Issuer" } input #issuer name="issuer" value=(field(&filter.issuer)) maxlength="63" autocomplete="off"; }
            div {
                label for="event" { "Event" }
                select #event name="event" {
                    option value="" { "all" }
                    @for word in api::EventKind::words() {
                        option value=(word) selected[given(&filter.event) == Some(word.as_str())] { (word) }
                    }
                }
            }
            div { label for="client" { "Client" } input #client name="client" value=(field(&filter.client)) maxlength="64" autocomplete="off"; }
            div { label for="kid" { "Key" } input #kid name="kid" value=(field(&filter.kid)) maxlength="256" autocomplete="off"; }
            div { label for="since" { "Since" } input #since type="date" name="since" value=(field(&filter.since)); }
            div { label for="until" { "Before" } input #until type="date" name="until" value=(field(&filter.until)); }
            button.main { "Filter" }
            a href="/console/audit" { "Clear" }
        }
    }
}

fn events(window: &Window, filter: &Filter, now: u64) -> Markup {
    let rows: Vec<Row> = window.events.iter().map(|event| row(event, now)).collect();
    let headings = [
        Heading::Text("No."),
        Heading::Text("When"),
        Heading::Text("Issuer"),
        Heading::Text("What"),
        Heading::Text("Who"),
        Heading::Text("Reason"),
        Heading::Text("Hash"),
    ];
    html! {
        section aria-labelledby="events" {
            div.heading {
                h2 #events { "Events, newest first" }
                p.muted.small { (rows.len()) " shown of " (count(window.head.sequence)) }
            }
            @if rows.is_empty() {
                (empty("No event matches here", html! {
                    p {
                        @if window.older.is_some() { "There are older ones. A search looks at " (count(SEARCHED)) " at a time." }
                        @else { "There are no older ones." }
                    }
                }))
            } @else { (table(None, "Events", &headings, &rows)) }
            @if let Some(older) = window.older {
                nav.buttons aria-label="Pages" { a.button href=(filter.address(older)) { "Older" } }
            }
        }
    }
}

fn row(event: &api::AuditEvent, now: u64) -> Row {
    Row::new(
        html! { span.number { (count(event.sequence)) } },
        [
            moment::exactly(event.at.0, now),
            html! { @match &event.issuer { Some(issuer) => { (issuer) }, None => { "–" } } },
            what(event, now),
            html! {
                @match &event.actor { Some(actor) => { (who(actor)) }, None => { "–" } }
                @if let Some(second) = &event.confirmed_by { small { "confirmed by " (name(second)) } }
            },
            html! { @match &event.reason { Some(reason) => { (visible(reason)) }, None => { "–" } } },
            html! { code title=(event.hash) { (short(&event.hash)) } },
        ],
    )
}

fn name(actor: &api::Actor) -> Markup {
    let name = actor.name.as_deref().or(actor.id.as_deref());
    visible(name.unwrap_or(actor.kind.as_str()))
}

/// Who it was, and by which way.
fn who(actor: &api::Actor) -> Markup {
    let way = actor.via.map(|via| match via {
        api::AuthenticationMethod::Credential => "API, credential",
        api::AuthenticationMethod::Certificate => "API, certificate",
        api::AuthenticationMethod::Assertion => "API, assertion",
        api::AuthenticationMethod::Workload => "API, workload",
        api::AuthenticationMethod::Console => "console",
    });
    let proof = [&actor.credential, &actor.issuer, &actor.subject];
    let more = proof.into_iter().flatten().chain(&actor.address);
    let more: Vec<&str> = way.into_iter().chain(more.map(String::as_str)).collect();
    html! { (name(actor)) @if !more.is_empty() { small { (visible(&more.join(", "))) } } }
}

/// What happened, in a word, and to what.
fn what(event: &api::AuditEvent, now: u64) -> Markup {
    use api::EventKind;
    let (class, words) = match event.event {
        EventKind::KeyRevoked => ("danger", "revoked"),
        EventKind::KeyPublished => ("", "published"),
        EventKind::AdoptionMissed => ("warn", "waits no longer"),
        EventKind::KeyCanaryStarted => ("", "signs a share"),
        EventKind::KeyCanaryStopped => ("warn", "taken back"),
        EventKind::KeyConfirmed => ("", "is in every copy"),
        EventKind::KeyUnconfirmed => ("warn", "may not be in every copy"),
        EventKind::KeyActivated => ("", "signs"),
        EventKind::KeyRetired => ("", "signs no more"),
        EventKind::KeyRemoved => ("", "left the set"),
        EventKind::TokensRevoked if event.banned == Some(true) => ("danger", "banned"),
        EventKind::TokensRevoked => ("danger", "took tokens back"),
        EventKind::BanLifted => ("", "lifted a ban"),
        EventKind::ApprovalRequested => ("warn", "asked for a second person"),
        EventKind::ClientCreated => ("warn", "client created"),
        EventKind::ClientDeleted => ("warn", "client deleted"),
        EventKind::IssuerDeleted => ("danger", "issuer deleted"),
        EventKind::CorruptRecord => ("danger", "a record that cannot be read"),
        _ => ("", ""),
    };
    let kind = serde_json::to_value(event.event).unwrap_or_default();
    let kind = kind.as_str().unwrap_or_default().replace('-', " ");
    let words = if words.is_empty() {
        kind.as_str()
    } else {
        words
    };
    let members = &event.members;
    html! {
        strong class=(class) { (words) }
        @if let Some(kid) = &members.kid { " " (short_kid(kid.as_str())) }
        @if let Some(client) = &event.client { " " code { (visible(client)) } }
        @if let Some(operation) = &event.operation { " " (visible(operation)) }
        small {
            @if let Some(algorithm) = members.algorithm { (algorithm) ". " }
            @if members.forced == Some(true) { "By force. " }
            @if let Some(selector) = &event.selector { "By " (visible(selector)) ". " }
            @if let Some(hash) = &event.selector_hash { "Whose: " (visible(&short(hash))) "… (hashed). " }
            @if let Some(until) = event.until { "Until " (moment::at(until.0, now)) ". " }
            @if let Some(credential) = &event.credential { "Credential " (visible(credential)) ". " }
            @if let Some(until) = members.tokens_until { "Tokens until " (moment::at(until.0, now)) ". " }
        }
        @if members.before.is_some() || members.after.is_some() { (difference(members)) }
    }
}

/// What a change has replaced, member by member.
fn difference(members: &api::KeyEventMembers) -> Markup {
    let document = |replaced: &Option<api::Replaced>| {
        let value = serde_json::to_value(replaced).unwrap_or_default();
        match value {
            serde_json::Value::Object(members) => members,
            _ => serde_json::Map::new(),
        }
    };
    let (before, after) = (document(&members.before), document(&members.after));
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    let changed: Vec<_> = names
        .map(|name| (name, before.get(name), after.get(name)))
        .filter(|(_, before, after)| before != after)
        .collect();
    let text = |value: Option<&serde_json::Value>| match value {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "–".to_owned(),
    };
    html! {
        @if !changed.is_empty() {
            details {
                summary.small { "what changed" }
                pre {
                    @for (name, before, after) in changed {
                        (visible(&format!("{name}  {} → {}", text(before), text(after)))) "\n"
                    }
                }
            }
        }
    }
}

/// The log as it was written, for the module.
pub(in crate::console) async fn export(signed: SignedIn) -> Response {
    signed
        .calls()
        .answer(Method::GET, "/v1/audit/export", None)
        .await
}

/// The same as a file.
pub(in crate::console) async fn download(signed: SignedIn) -> Response {
    let mut response = export(signed).await;
    let name = HeaderValue::from_static("attachment; filename=\"keywright-audit.jsonl\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    response
}
