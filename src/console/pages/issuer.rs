//! One issuer: the life of its keys as a picture and as a table, what comes, its policy, and its rotation.

use axum::extract::{Path, Query};
use axum::response::Response;
use keywright_api as api;
use maud::{Markup, html};
use serde::Deserialize;

use super::canary;
use super::chart::{Span, Timeline};
use super::verifiers;
use crate::access::Role;
use crate::console::api::{Outcome, encoded, of_issuer};
use crate::console::elements::{
    Heading, Row, Tone, key_state, not_done, notice, refused, short_kid, table, visible,
};
use crate::console::event_words::{Moment, moments};
use crate::console::form::Submitted;
use crate::console::layout::{Page, Place, crumbs, form_token};
use crate::console::moment;
use crate::console::policy_words;
use crate::console::response::PageStatus;
use crate::console::session::SignedIn;
use crate::console::timeline::{Life, lives};

/// The most keys that are gone which the table shows.
const MOST_GONE: usize = 10;

/// How far the plan looks ahead at least, in seconds: what comes next is said whatever the picture shows.
pub(super) const OUTLOOK: u64 = 90 * 86_400;

/// How much of it a page shows.
#[derive(Deserialize)]
pub(in crate::console) struct View {
    span: Option<String>,
}

/// What the page is made of.
struct Model {
    issuer: api::Issuer,
    keys: Vec<api::Key>,
    plan: api::Plan,
    verifiers: Result<api::Verifiers, api::Problem>,
    span: Span,
}

impl Model {
    async fn read(signed: &SignedIn, name: &str, span: Span) -> Result<Self, api::Problem> {
        let calls = signed.calls();
        let until = span.scale(signed.now()).until.max(signed.now() + OUTLOOK);
        let keys: api::Keys = calls.get(&of_issuer(name, "/keys")).await?;
        Ok(Self {
            issuer: calls.get(&of_issuer(name, "")).await?,
            keys: keys.keys,
            plan: calls
                .get(&of_issuer(name, format!("/plan?until={until}")))
                .await?,
            verifiers: calls.get(&of_issuer(name, "/verifiers")).await,
            span,
        })
    }

    fn name(&self) -> &str {
        self.issuer.name.as_str()
    }
}

pub(in crate::console) async fn page(
    Path(name): Path<String>,
    Query(view): Query<View>,
    signed: SignedIn,
) -> Response {
    let wanted = view.span.unwrap_or_default();
    let span = Span::ALL.into_iter().find(|span| span.as_str() == wanted);
    show(
        &signed,
        &name,
        span.unwrap_or(Span::Weeks),
        PageStatus::Ok,
        &html! {},
    )
    .await
}

/// The page, with what an act has answered at its top.
pub(super) async fn show(
    signed: &SignedIn,
    name: &str,
    span: Span,
    status: PageStatus,
    message: &Markup,
) -> Response {
    let crumbs = crumbs(&[("Issuers", "/console")], name);
    let (status, title, main) = match Model::read(signed, name, span).await {
        Ok(model) => {
            let main = html! { (crumbs) (body(&model, signed, message)) };
            (status, model.name().to_owned(), main)
        }
        Err(problem) => {
            let main = html! {
                (crumbs)
                div.title { h1 { (visible(name)) } }
                (message) (refused(&problem))
            };
            (
                PageStatus::OfApi(problem.status),
                "An issuer".to_owned(),
                main,
            )
        }
    };
    Page::new(title, Place::Issuers, main)
        .answer(status, signed)
        .await
}

fn body(model: &Model, signed: &SignedIn, message: &Markup) -> Markup {
    let policy = &model.issuer.policy.0;
    let now = model.plan.now.0;
    let lives = lives(&model.keys, &model.plan, policy_words::horizon(policy));
    let moments = moments(&model.plan);
    html! {
        div.title {
            h1 { (model.name()) }
            p.muted { (visible(&policy.url)) }
            p.aside { a href=(path(model.name())) { "Read again" } }
        }
        (tabs(model.name(), "Keys"))
        @if let Some(deleted) = model.issuer.deleted_at {
            (notice(Tone::Danger, "This issuer was deleted", html! { (moment::both(deleted.0, now)) ". It signs nothing and serves no set." }))
        }
        (message)
        (in_short(model, &moments, now))
        (canary::section(model.name(), &model.keys, signed))
        (timeline(model, &lives, &moments, now))
        (key_table(model, &lives, signed.caller.has(Role::Security), now))
        (verifiers::section(&model.verifiers, &policy.url, now))
        section.split aria-labelledby="policy" {
            div {
                h2 #policy { "Policy in words" }
                dl.facts {
                    @for (term, value) in policy_words::facts(policy) { dt { (term) } dd { (value) } }
                }
                p.field {
                    a href=(format!("{}/policy", path(model.name()))) {
                        @if signed.caller.has(Role::Admin) { "Change the policy" } @else { "Try another policy" }
                    }
                }
            }
            (rotation(model, signed, now))
        }
    }
}

/// Where an issuer's page is.
pub(super) fn path(name: &str) -> String {
    format!("/console/issuers/{}", encoded(name))
}

/// What there is of an issuer, with the one that is shown.
pub(super) fn tabs(issuer: &str, here: &str) -> Markup {
    let path = path(issuer);
    let audit = format!("/console/audit?issuer={}", encoded(issuer));
    let bans = format!("{path}/bans");
    let tabs = [("Keys", path), ("Bans", bans), ("Audit", audit)];
    html! {
        nav.tabs aria-label=(issuer) { ul {
            @for (name, target) in tabs {
                li { a href=(target) aria-current=[(name == here).then_some("page")] { (name) } }
            }
        } }
    }
}

fn in_short(model: &Model, moments: &[Moment<'_>], now: u64) -> Markup {
    let horizon = policy_words::horizon(&model.issuer.policy.0);
    let published = |key: &&api::Key| {
        matches!(
            key.state,
            api::KeyState::Pending
                | api::KeyState::Canary
                | api::KeyState::Active
                | api::KeyState::Retired
        )
    };
    html! {
        section.first aria-label="In short" {
            dl.row {
                @for (term, moment) in ["Next", "Then"].iter().zip(moments) {
                    div { dt { (term) } dd {
                        (moment.title())
                        small { (moment::both(moment.at, now)) ", by itself" }
                    } }
                }
                @if moments.is_empty() {
                    div { dt { "Next" } dd { "nothing" small { "no event is planned in this time" } } }
                }
                div { dt { "A set served now is used until" } dd {
                    (moment::at(now + horizon, now)) " at the latest"
                    small { (moment::length(horizon)) " after it was fetched" }
                } }
                @if let Ok(seen) = &model.verifiers {
                    @let (current, total) = verifiers::up_to_date(seen);
                    div { dt { "Verifiers with the current set" } dd {
                        @if total == 0 { "none seen" } @else { (current) " of " (total) }
                        small { a href="#verifiers" { "who they are" } }
                    } }
                }
                div { dt { "In the set" } dd {
                    (model.keys.iter().filter(published).count()) " keys"
                    small { "version " (model.issuer.version) }
                } }
            }
        }
    }
}

fn timeline(model: &Model, lives: &[Life], moments: &[Moment<'_>], now: u64) -> Markup {
    let chart = Timeline {
        id: "life",
        title: format!("Life of the keys of {}", model.name()),
        lives,
        moments,
        span: model.span,
        now,
    };
    html! {
        section aria-labelledby="timeline" {
            div.heading {
                h2 #timeline { "Timeline" }
                p.small {
                    @for span in Span::ALL {
                        @if span == model.span { strong { (span.name()) } }
                        @else { a href=(format!("{}?span={}", path(model.name()), span.as_str())) { (span.name()) } }
                        " · "
                    }
                    a href="#keys" { "as a table" }
                }
            }
            (chart.figure())
        }
    }
}

fn key_table(model: &Model, lives: &[Life], may_revoke: bool, now: u64) -> Markup {
    let is_gone = |life: &&Life| {
        matches!(
            life.state,
            Some(api::KeyState::Removed | api::KeyState::Revoked)
        )
    };
    let gone = lives.iter().filter(is_gone).count();
    // Keys stand in the order of their lives: those that left first are left out.
    let mut hidden = gone.saturating_sub(MOST_GONE);
    let mut rows = Vec::new();
    let mut algorithm = None;
    for life in lives {
        if is_gone(&life) && hidden > 0 {
            hidden -= 1;
            continue;
        }
        if algorithm != Some(life.algorithm) {
            rows.push(Row::new(html! { (life.algorithm) }, []));
            algorithm = Some(life.algorithm);
        }
        let act = html! { @if may_revoke { (revoke_link(model.name(), life)) } };
        rows.push(key_row(life, act, now));
    }
    let headings = [
        Heading::Text("Key"),
        Heading::Text("State"),
        Heading::Text("Published"),
        Heading::Text("Signs from"),
        Heading::Text("Signs until"),
        Heading::Text("In the set until"),
        Heading::Act,
    ];
    let caption = format!("Keys of {} with their times", model.name());
    html! {
        section aria-labelledby="keys" {
            div.heading {
                h2 #keys { "Keys" }
                p.muted.small {
                    "The timeline as a table. Times to come are planned."
                    @if gone > MOST_GONE { " Of " (gone) " keys that are gone, the last " (MOST_GONE) " are shown." }
                }
            }
            (table(None, &caption, &headings, &rows))
        }
    }
}

fn revoke_link(issuer: &str, life: &Life) -> Markup {
    let is_published = matches!(
        life.state,
        Some(
            api::KeyState::Pending
                | api::KeyState::Canary
                | api::KeyState::Active
                | api::KeyState::Retired
        )
    );
    let target = format!("{}/revoke?kid={}", path(issuer), encoded(&life.kid));
    html! { @if is_published { a href=(target) aria-label=(format!("Revoke {}", life.kid)) { "Revoke" } } }
}

fn key_row(life: &Life, act: Markup, now: u64) -> Row {
    let time =
        |at: Option<u64>| html! { @if let Some(at) = at { (moment::at(at, now)) } @else { "–" } };
    let state = match life.state {
        Some(state) => html! {
            (key_state(state))
            @if let Some(reason) = &life.reason { small { (visible(reason)) } }
            @else if state == api::KeyState::Pending && life.known > now {
                small { "a cache may lack it until " (moment::at(life.known, now)) }
            }
        },
        None => html! { span.state.pending { "planned" } },
    };
    let about = match life.state {
        Some(_) => short_kid(&life.kid),
        None => html! { code.whole { (life.kid) } },
    };
    Row {
        class: life.state.is_none().then_some("planned"),
        about,
        cells: vec![
            state,
            time(Some(life.published)),
            time(life.signs_from),
            time(life.signs_until),
            time(life.in_set_until),
            act,
        ],
    }
}

/// What a rotation now would do, and the button.
fn rotation(model: &Model, signed: &SignedIn, now: u64) -> Markup {
    if !signed.caller.has(Role::Security) {
        return html! {
            div {
                h2 { "Rotate now" }
                p.muted { "You may look, not act: rotating and revoking take the role " code { "security" } "." }
            }
        };
    }
    let pending = model.keys.iter();
    let pending: Vec<&api::Key> = pending
        .filter(|key| key.state == api::KeyState::Pending)
        .collect();
    // Times to come are shown rounded up.
    let ready = |key: &api::Key| key.ready_at.is_some_and(|ready_at| ready_at.0 <= now + 1);
    let waits = pending.iter().find(|key| !ready(key));
    html! {
        form #rotate method="post" action=(format!("{}/rotate#rotate", path(model.name()))) {
            h2 { "Rotate now" }
            @if let Some(key) = waits {
                @let ready_at = key.ready_at.map_or(now, |at| at.0);
                div.notice.warn {
                    p {
                        strong { "Cannot rotate " (key.algorithm) " yet." } " "
                        (short_kid(key.kid.as_str())) " was published at " (moment::at(key.published_at.0, now))
                        @if key.unconfirmed_since.is_some() {
                            ". It waits until every copy has it to which the policy has the key set pushed."
                        } @else {
                            ". A cache may lack it; it may sign from " (moment::at(ready_at, now)) " on."
                        }
                    }
                    p {
                        @if key.unconfirmed_since.is_some() {
                            "Wait for the push"
                        } @else {
                            "Wait " (moment::length(ready_at.saturating_sub(now)))
                        }
                        ", or rotate by force: then verifiers that do not fetch on an unknown key refuse new \
                         tokens until they fetch."
                    }
                }
            } @else if pending.is_empty() {
                p { "No successor is published. One is made first; no verifier can know it at once." }
            } @else {
                p {
                    @for (number, key) in pending.iter().enumerate() {
                        @if number > 0 { ", " }
                        (short_kid(key.kid.as_str()))
                    }
                    " begin to sign at once. All are ready: no verifier that follows our headers lacks them."
                    " The old keys verify until their last tokens have expired."
                }
            }
            (form_token(signed))
            div.field {
                label for="why" { "Reason" }
                input #why name="reason" maxlength="500" autocomplete="off";
            }
            div.buttons {
                @if waits.is_none() && !pending.is_empty() {
                    button.main { "Rotate " (counted_keys(pending.len())) }
                } @else {
                    button name="force" value="yes" { "Rotate by force" }
                }
            }
        }
    }
}

fn counted_keys(count: usize) -> String {
    match count {
        1 => "the key".to_owned(),
        2 => "both keys".to_owned(),
        count => format!("all {count} keys"),
    }
}

pub(in crate::console) async fn rotate(
    Path(name): Path<String>,
    Submitted { signed, form }: Submitted,
) -> Response {
    let mut request = serde_json::Map::new();
    if let Some(reason) = form.get("reason") {
        request.insert("reason".to_owned(), reason.into());
    }
    if form.get("force").is_some() {
        request.insert("force".to_owned(), true.into());
    }
    let now = signed.now();
    let path = of_issuer(&name, "/rotate");
    let rotated = signed.calls().post::<api::Rotations>(&path, &request).await;
    let (status, message) = match rotated {
        Ok(Outcome::Done(rotations)) => (PageStatus::Ok, rotated_message(&rotations)),
        Ok(Outcome::Awaits(approval)) => (PageStatus::Ok, awaits(&approval, now)),
        Err(problem) => (PageStatus::OfApi(problem.status), not_done(&problem)),
    };
    show(&signed, &name, Span::Weeks, status, &message).await
}

fn rotated_message(rotations: &api::Rotations) -> Markup {
    let rest = html! {
        @for rotation in &rotations.rotations {
            (short_kid(rotation.activated.as_str())) " signs " (rotation.algorithm) " from now on. "
        }
        @if rotations.forced { "Some verifiers may not know a key yet, and refuse its tokens until they fetch." }
    };
    match rotations.forced {
        true => notice(Tone::Warn, "Rotated by force.", rest),
        false => notice(Tone::Ok, "Rotated.", rest),
    }
}

/// What is said of an operation that waits for a second person.
pub(super) fn awaits(approval: &api::Approval, now: u64) -> Markup {
    let rest = html! {
        "Another client with the role " code { "security" } " must confirm it before "
        (moment::exactly(approval.expires_at.0, now)) ", " (moment::from_now(approval.expires_at.0, now))
        ". Send them: " code { "keywright approvals confirm " (approval.id) }
    };
    notice(Tone::Warn, "Nothing has happened yet.", rest)
}
