//! All issuers, and first of all what needs a person.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::response::Response;
use keywright_api as api;
use maud::{Markup, html};
use serde::Deserialize;

use super::chart::{strip, strip_legend};
use super::verifiers::up_to_date;
use crate::console::api::{encoded, of_issuer};
use crate::console::elements::{
    Heading, Row, Tone, count, counted, empty, notice, refused, table, visible,
};
use crate::console::event_words::moments;
use crate::console::layout::{Page, Place};
use crate::console::moment;
use crate::console::response::PageStatus;
use crate::console::session::SignedIn;

/// The most issuers of one page: the plan of each is worked out.
const MOST_ISSUERS: usize = 50;

const DAY: u64 = 86_400;

/// Which issuers come first.
#[derive(Deserialize)]
pub(in crate::console) struct Start {
    after: Option<String>,
}

/// What the page is made of. What the client may not read, or what could not be read, is said in its place.
struct Model {
    now: u64,
    issuers: Result<Vec<api::Issuer>, api::Problem>,
    plans: BTreeMap<String, api::Plan>,
    verifiers: BTreeMap<String, (usize, usize)>,
    health: Result<api::HealthReport, api::Problem>,
    waiting: Vec<api::Approval>,
    replicas: Result<api::Replicas, api::Problem>,
    /// How many issuers there are, and those of this page.
    total: usize,
    next: Option<String>,
}

impl Model {
    async fn read(signed: &SignedIn, start: &Start) -> Self {
        let (calls, now) = (signed.calls(), signed.now());
        let issuers: Result<api::Issuers, _> = calls.get("/v1/issuers").await;
        let health: Result<api::HealthReport, _> = calls.get("/v1/health").await;
        let waiting: Result<api::Approvals, _> = calls.get("/v1/approvals").await;
        let mut total = 0;
        let mut next = None;
        let issuers = issuers.map(|issuers| {
            let mut issuers = issuers.issuers;
            issuers.retain(|issuer| issuer.deleted_at.is_none());
            total = issuers.len();
            if let Some(after) = &start.after {
                issuers.retain(|issuer| issuer.name.as_str() > after.as_str());
            }
            if issuers.len() > MOST_ISSUERS {
                issuers.truncate(MOST_ISSUERS);
                next = issuers.last().map(|last| last.name.to_string());
            }
            issuers
        });
        let (mut plans, mut verifiers) = (BTreeMap::new(), BTreeMap::new());
        for issuer in issuers.iter().flatten() {
            let rest = format!("/plan?until={}", now + 90 * DAY);
            let plan = calls.get(&of_issuer(issuer.name.as_str(), rest)).await;
            if let Ok(plan) = plan {
                plans.insert(issuer.name.to_string(), plan);
            }
            let path = of_issuer(issuer.name.as_str(), "/verifiers");
            if let Ok(seen) = calls.get(&path).await {
                verifiers.insert(issuer.name.to_string(), up_to_date(&seen));
            }
        }
        Self {
            now,
            issuers,
            plans,
            verifiers,
            health,
            waiting: waiting.map(|waiting| waiting.approvals).unwrap_or_default(),
            replicas: calls.get("/v1/replicas").await,
            total,
            next,
        }
    }

    fn faults(&self) -> &[api::IssuerHealth] {
        self.health.as_ref().map_or(&[], |health| &health.issuers)
    }

    fn fault(&self, issuer: &str) -> Option<&api::IssuerHealth> {
        self.faults()
            .iter()
            .find(|fault| fault.issuer.as_str() == issuer)
    }
}

pub(in crate::console) async fn page(Query(start): Query<Start>, signed: SignedIn) -> Response {
    let model = Model::read(&signed, &start).await;
    let replicas = model
        .replicas
        .as_ref()
        .map_or(0, |list| list.replicas.len());
    let main = html! {
        div.title {
            h1 { "Issuers" }
            p.muted {
                (counted(model.total, "issuer"))
                @if replicas > 0 { ", " (counted(replicas, "replica")) }
            }
            p.aside { a href="/console" { "Read again" } }
        }
        (attention(&model))
        (all(&model))
        (replica_section(&model))
    };
    Page::new("Issuers", Place::Issuers, main)
        .answer(PageStatus::Ok, &signed)
        .await
}

/// How bad a fault is, as its tag says it.
fn tag(state: api::IssuerState) -> Markup {
    match state {
        api::IssuerState::Unusable => html! { span.tag.danger { "out of service" } },
        api::IssuerState::NoActiveKey => html! { span.tag.danger { "nothing signs" } },
        api::IssuerState::RotationOverdue => html! { span.tag.danger { "rotation overdue" } },
        api::IssuerState::ScheduleFailing => html! { span.tag.warn { "schedule fails" } },
    }
}

fn outlook(state: api::IssuerState) -> &'static str {
    match state {
        api::IssuerState::Unusable => {
            "It signs nothing and serves no set: verifiers refuse its tokens as their caches run out."
        }
        api::IssuerState::NoActiveKey => {
            "No token is signed with this algorithm until a key is active. Tokens from before still verify."
        }
        api::IssuerState::RotationOverdue => {
            "The old key goes on signing; no verifier is locked out. The rotation happens by itself once it can."
        }
        api::IssuerState::ScheduleFailing => {
            "What is published and signed stays as it is. The change is tried again by itself."
        }
    }
}

fn attention(model: &Model) -> Markup {
    let now = model.now;
    let mut faults: Vec<&api::IssuerHealth> = model.faults().iter().collect();
    faults.sort_by_key(|fault| match fault.state {
        api::IssuerState::Unusable => 0,
        api::IssuerState::NoActiveKey => 1,
        api::IssuerState::RotationOverdue => 2,
        api::IssuerState::ScheduleFailing => 3,
    });
    let silent: Vec<&api::Replica> = model
        .replicas
        .iter()
        .flat_map(|list| &list.replicas)
        .filter(|replica| !replica.live)
        .collect();
    let unready = model.health.as_ref().ok().filter(|health| !health.ready);
    let total = faults.len() + model.waiting.len() + silent.len() + usize::from(unready.is_some());
    if total == 0 {
        return calm(model);
    }
    html! {
        section.first aria-labelledby="waits" {
            h2 #waits { "Needs a person: " (total) }
            ul.attention {
                @if let Some(health) = unready {
                    li {
                        span.tag.danger { "not ready" }
                        div {
                            p { strong { "This process" } " cannot serve: " (health.reason.as_deref().unwrap_or("see its log")) "." }
                            p { "Load balancers send it no verifiers while this lasts." }
                        }
                    }
                }
                @for fault in faults {
                    li {
                        (tag(fault.state))
                        div {
                            p {
                                strong { (fault.issuer) } ": " (visible(&fault.detail)) "."
                                @if let Some(since) = fault.since { " Since " (moment::both(since.0, now)) "." }
                            }
                            p { (outlook(fault.state)) }
                        }
                        div.buttons {
                            a.button href=(format!("/console/issuers/{}", encoded(fault.issuer.as_str()))) {
                                "Look at " (fault.issuer)
                            }
                        }
                    }
                }
                @for approval in &model.waiting { (waiting_item(approval, now)) }
                @for replica in silent {
                    li {
                        span.tag.warn { "lease stale" }
                        div {
                            p {
                                strong { (visible(replica.host.as_deref().unwrap_or(&replica.id))) }
                                " has not reached the store since " (moment::both(replica.seen_at.0, now)) "."
                            }
                            p { "It has stopped signing, if it runs at all. It signs again as soon as it reaches the store." }
                        }
                        div.buttons { a.button href="#replicas" { "Look at replicas" } }
                    }
                }
            }
        }
    }
}

fn waiting_item(approval: &api::Approval, now: u64) -> Markup {
    let by = approval
        .requested_by
        .get("name")
        .and_then(|name| name.as_str());
    html! {
        li {
            span.tag.warn { "second person" }
            div {
                p {
                    strong { (approval.issuer) } ": " (visible(by.unwrap_or("a client"))) " asks to "
                    (operation(approval)) "."
                }
                p {
                    @if let Some(reason) = &approval.reason { "“" (visible(reason)) "”. " }
                    "Asked at " (moment::at(approval.requested_at.0, now)) ". After "
                    (moment::at(approval.expires_at.0, now)) " it can no longer be confirmed."
                }
            }
            div.buttons { a.button href="/console/approvals" { "Look at it" } }
        }
    }
}

/// What an operation that waits would do.
pub(super) fn operation(approval: &api::Approval) -> &'static str {
    match approval.operation {
        api::ApprovedOperation::ForceRotation => "rotate by force",
        api::ApprovedOperation::Revoke => "revoke a key in a way that no verifier may be ready for",
        api::ApprovedOperation::RevokeTokens => {
            "take back every token of the issuer or of an audience"
        }
        api::ApprovedOperation::DeleteIssuer => "delete the issuer",
        api::ApprovedOperation::SetPolicy => "set a policy that no longer asks for a second person",
    }
}

fn calm(model: &Model) -> Markup {
    if let Err(problem) = &model.health {
        return html! { section.first { (refused(problem)) } };
    }
    let next = model.plans.iter().filter_map(|(name, plan)| {
        let moments = moments(plan);
        let first = moments.first()?;
        Some((first.at, first.title(), name))
    });
    html! {
        section.first {
            p {
                span.ok { "Nothing waits." }
                @if let Some((at, title, name)) = next.min() {
                    " The next event: " a href=(format!("/console/issuers/{}", encoded(name))) { (name) }
                    " " (title) ", " (moment::both(at, model.now)) ", by itself."
                }
            }
        }
    }
}

fn all(model: &Model) -> Markup {
    let issuers = match &model.issuers {
        Ok(issuers) => issuers,
        Err(problem) => return html! { section { h2 { "All issuers" } (refused(problem)) } },
    };
    if issuers.is_empty() {
        return html! {
            section { (empty("No issuer yet", html! {
                p {
                    "An issuer is one " code { "iss" } " with its own keys and rules. Create the first one; its \
                     keys can sign at once, because no verifier holds an older set."
                }
                pre { "keywright issuers set shop --set url=https://id.example/shop" }
            })) }
        };
    }
    let mut rows: Vec<(bool, Row)> = issuers
        .iter()
        .map(|issuer| {
            let is_fine = model.fault(issuer.name.as_str()).is_none();
            (is_fine, issuer_row(issuer, model))
        })
        .collect();
    // What is wrong comes first; the sort is stable.
    rows.sort_by_key(|(is_fine, _)| *is_fine);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    let headings = [
        Heading::Text("Issuer"),
        Heading::Text("State"),
        Heading::Text("Next"),
        Heading::Chart("Next 30 days"),
        Heading::Text("Verifiers up to date"),
        Heading::Text("Waits for"),
    ];
    html! {
        section aria-labelledby="all" {
            div.heading { h2 #all { "All issuers" } (strip_legend()) }
            (table(None, "All issuers: state, next event, what waits", &headings, &rows))
            @if let Some(next) = &model.next {
                nav.buttons aria-label="Pages" {
                    a.button href=(format!("/console?after={}", encoded(next))) { "More issuers" }
                    span.muted { (count(u64::try_from(model.total).unwrap_or_default())) " in all" }
                }
            }
        }
    }
}

fn issuer_row(issuer: &api::Issuer, model: &Model) -> Row {
    let (name, policy, now) = (issuer.name.as_str(), &issuer.policy.0, model.now);
    let fault = model.fault(name);
    let plan = model.plans.get(name);
    let moments = plan.map(moments).unwrap_or_default();
    let algorithms = policy.algorithms.iter().flatten();
    let algorithms: Vec<&str> = algorithms.map(|algorithm| algorithm.as_str()).collect();
    let waiting = model.waiting.iter();
    let waiting: Vec<_> = waiting.filter(|one| one.issuer == issuer.name).collect();
    let is_overdue = fault.is_some_and(|fault| fault.state == api::IssuerState::RotationOverdue);
    let url = policy
        .url
        .split_once("://")
        .map_or(policy.url.as_str(), |(_, rest)| rest);
    Row::new(
        html! {
            a href=(format!("/console/issuers/{}", encoded(name))) { (name) }
            small { (visible(url)) }
        },
        [
            html! {
                @match (fault, waiting.is_empty()) {
                    (Some(fault), _) => { (tag(fault.state)) small { (visible(&fault.detail)) } },
                    (None, false) => { span.tag.warn { "waits for a second person" } small { (algorithms.join(", ")) } },
                    (None, true) => { span.ok { "in order" } small { (algorithms.join(", ")) } },
                }
            },
            html! {
                @match (moments.first(), plan) {
                    (Some(first), _) => { (first.title()) small { (moment::both(first.at, now)) } },
                    (None, Some(_)) => { "none" small { "within 90 days" } },
                    (None, None) => { "unknown" small { "the plan cannot be read" } },
                }
            },
            strip(&moments, now, is_overdue),
            html! {
                @match model.verifiers.get(name) {
                    Some((_, 0)) => { "none seen" },
                    Some((current, total)) => { (current) " of " (total) },
                    None => { "unknown" },
                }
            },
            html! {
                @match waiting.iter().map(|one| one.expires_at.0).min() {
                    Some(until) => { (counted(waiting.len(), "approval")) small { "until " (moment::at(until, now)) } },
                    None => { "–" },
                }
            },
        ],
    )
}

fn replica_section(model: &Model) -> Markup {
    let now = model.now;
    let list = match &model.replicas {
        Ok(list) => list,
        Err(problem) => {
            return html! { section { h2 #replicas { "Replicas" } (refused(problem)) } };
        }
    };
    let (Some(staleness), Some(head)) = (list.max_staleness.as_ref(), list.head.as_ref()) else {
        return html! {
            section aria-labelledby="replicas" {
                h2 #replicas { "Replicas" }
                (store_state(model))
                p.muted { "This store has a single process." }
            }
        };
    };
    let rows: Vec<Row> = list
        .replicas
        .iter()
        .map(|replica| {
            Row::new(
                html! {
                    (visible(replica.host.as_deref().unwrap_or(&replica.id)))
                    small { (visible(&replica.id)) }
                },
                [
                    html! {
                        @if replica.live { span.ok { "signs" } }
                        @else { span.tag.warn { "lease stale" } small { "does not sign" } }
                    },
                    html! { (moment::from_now(replica.seen_at.0, now)) },
                    html! { (count(replica.through)) " of " (count(*head)) },
                    html! { @if let Some(at) = replica.started_at { (moment::at(at.0, now)) } @else { "–" } },
                    html! { (visible(replica.version.as_deref().unwrap_or("–"))) },
                ],
            )
        })
        .collect();
    let headings = [
        Heading::Text("Replica"),
        Heading::Text("State"),
        Heading::Text("Read the store"),
        Heading::Text("Serves change"),
        Heading::Text("Started"),
        Heading::Text("Version"),
    ];
    html! {
        section aria-labelledby="replicas" {
            h2 #replicas { "Replicas" }
            p.lead {
                "A replica signs while its lease runs, " (moment::length(staleness.0.as_secs()))
                " after it last read the store."
            }
            (store_state(model))
            (table(None, "Replicas and their leases", &headings, &rows))
        }
    }
}

fn store_state(model: &Model) -> Markup {
    let Ok(health) = &model.health else {
        return html! {};
    };
    match health.store.answers {
        Some(false) => notice(
            Tone::Danger,
            "The store does not answer.",
            html! {
                "Nothing can be rotated or revoked until it is back."
                @if let Some(at) = health.store.answered_at { " It last answered at " (moment::at(at.0, model.now)) "." }
            },
        ),
        Some(true) | None => html! {},
    }
}
