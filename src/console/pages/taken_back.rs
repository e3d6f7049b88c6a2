//! Revocations as pages say them: what one refuses, what is in force where, and all that are.

use keywright_api as api;
use maud::{Markup, html};

use super::bans::path;
use super::in_force::{self, Place as PlaceInForce};
use crate::console::api::{encoded, of_issuer};
use crate::console::elements::{Heading, Row, Tone, empty, notice, refused, table, visible};
use crate::console::moment;
use crate::console::session::SignedIn;

/// The most revocations of one page.
const MOST: usize = 100;

/// What a revocation refuses.
pub(super) fn refusal(revocation: &api::Revocation, now: u64) -> Markup {
    html! {
        @match (revocation.state, revocation.issued_before) {
            (api::RevocationState::Closed, Some(before)) => { "issued before " (moment::exactly(before.0, now)) },
            _ => { "every one, until all processes know of it" },
        }
    }
}

pub(super) fn selector_words(revocation: &api::Revocation) -> Markup {
    let api::RevocationSelector {
        jti,
        session,
        subject,
        client,
        audience,
        issuer,
    } = &revocation.selector;
    let named = [
        ("subject", subject),
        ("session", session),
        ("client", client),
        ("audience", audience),
        ("jti", jti),
    ];
    html! {
        @if revocation.erased { span.muted { "erased" } }
        @if *issuer == Some(true) { "every token of the issuer" }
        @for (word, value) in named {
            @if let Some(value) = value { (word) " " code { (visible(value)) } " " }
        }
    }
}

fn by(revocation: &api::Revocation) -> &str {
    let name = revocation.by.get("name").and_then(|name| name.as_str());
    let kind = revocation.by.get("kind").and_then(|kind| kind.as_str());
    name.or(kind).unwrap_or("–")
}

/// What is in force.
pub(super) async fn live(signed: &SignedIn, issuer: &str) -> Markup {
    let (calls, now) = (signed.calls(), signed.now());
    let rest = format!("/revocations?live=true&limit={MOST}");
    let read = calls
        .get::<api::Revocations>(&of_issuer(issuer, rest))
        .await;
    let page = match &read {
        Ok(page) => page,
        Err(problem) => return html! { section { h2 { "In force now" } (refused(problem)) } },
    };
    let rows: Vec<Row> = page
        .revocations
        .iter()
        .map(|revocation| live_row(revocation, issuer, now))
        .collect();
    let headings = [
        Heading::Text("What"),
        Heading::Text("Refused"),
        Heading::Text("Signing"),
        Heading::Text("By, when"),
        Heading::Text("Reason"),
        Heading::Act,
    ];
    html! {
        section aria-labelledby="live" {
            h2 #live { "In force now: " (rows.len()) @if page.next.as_ref().is_some() { " of more" } }
            @if rows.is_empty() {
                (empty("Nothing is taken back", html! {
                    p { "Search for a subject, a session or a token above. On the command line:" }
                    pre { "keywright logout --session SID\nkeywright ban SUBJECT --reason INC-1" }
                }))
            } @else {
                (table(None, "Revocations in force", &headings, &rows))
                @if page.next.as_ref().is_some() {
                    p.muted.small.field { "The first " (MOST) " are shown. Search for others above, or list them: " code { "keywright revocations" } }
                }
            }
        }
    }
}

fn live_row(revocation: &api::Revocation, issuer: &str, now: u64) -> Row {
    let is_banned = !matches!(revocation.ban, None | Some(api::Ban::UntilLifted(false)));
    let lift = format!("{}?lift={}", path(issuer), encoded(&revocation.id));
    let shown = format!("{}?shown={}#answer", path(issuer), encoded(&revocation.id));
    Row::new(
        selector_words(revocation),
        [
            html! { a href=(shown) { (refusal(revocation, now)) } },
            html! {
                @match revocation.ban {
                    None | Some(api::Ban::UntilLifted(false)) => { "allowed" },
                    Some(api::Ban::UntilLifted(true)) => { span.tag.danger { "banned" } small { "until lifted" } },
                    Some(api::Ban::Until(end)) => { span.tag.warn { "banned" } small { "until " (moment::at(end.until.0, now)) } },
                }
            },
            html! { (visible(by(revocation))) small { (moment::at(revocation.created_at.0, now)) } },
            html! { @if let Some(reason) = &revocation.reason { (visible(reason)) } @else { "–" } },
            html! { @if is_banned { a href=(lift) { "Lift" } } },
        ],
    )
}

/// One revocation, and when it is in force where.
pub(super) async fn read_one(
    signed: &SignedIn,
    issuer: &str,
    id: &str,
) -> Result<api::RevocationInForce, api::Problem> {
    let path = of_issuer(issuer, format!("/revocations/{}", encoded(id)));
    signed.calls().get(&path).await
}

/// What became of the revocation that was just made, and what is in force where.
pub(super) async fn just_made(signed: &SignedIn, issuer: &str, id: Option<&str>) -> Markup {
    let Some(id) = id else {
        return html! {};
    };
    match read_one(signed, issuer, id).await {
        Ok(in_force) => in_force_section(&in_force, signed.now()),
        Err(problem) => refused(&problem),
    }
}

/// What a revocation does, and where.
pub(super) fn in_force_section(in_force: &api::RevocationInForce, now: u64) -> Markup {
    let revocation = &in_force.revocation;
    let is_banned = !matches!(revocation.ban, None | Some(api::Ban::UntilLifted(false)));
    let since = revocation.created_at.0;
    let feed = in_force.in_force_at_verifiers.as_ref();
    let mut places = vec![PlaceInForce {
        who: html! { "Signers" },
        at: Some(in_force.in_force_at_signers.0),
        is_covered: true,
        word: "in force",
    }];
    match feed {
        Some(feed) => {
            places.push(PlaceInForce {
                who: html! { "Verifiers that follow the feed" small { "while everything works" } },
                at: Some(feed.expected.0),
                is_covered: true,
                word: "in force",
            });
            places.push(PlaceInForce {
                who: html! { "Verifiers that follow the feed" small { "whatever fails" } },
                at: Some(feed.guaranteed.0),
                is_covered: true,
                word: "in force",
            });
        }
        None => places.push(PlaceInForce {
            who: html! { "Verifiers" small { "the policy has no feed" } },
            at: None,
            is_covered: false,
            word: "in force",
        }),
    }
    places.push(PlaceInForce {
        who: html! { "Verifiers that do not follow" small { "they accept until the last token expires" } },
        at: Some(in_force.tokens_until.0),
        is_covered: false,
        word: "all expired",
    });
    let title = if is_banned { "Banned" } else { "Taken back" };
    html! {
        section.first #answer aria-labelledby="made" {
            h2 #made { (title) ": " (selector_words(revocation)) }
            @match revocation.state {
                api::RevocationState::Open => {
                    (notice(Tone::Warn, "It is open.", "Not every process has said that it knows of it. Requests that match are held meanwhile, and verifiers refuse every matching token. Others are not affected."))
                },
                api::RevocationState::Closed => {
                    (notice(Tone::Ok, "It holds.", html! {
                        "Tokens " (refusal(revocation, now)) " are refused. "
                        @if is_banned { "Nothing is signed that matches. " }
                        "Revocation " code { (visible(&revocation.id)) } "."
                    }))
                },
            }
            div.field { (in_force::draw("What is in force where", &places, since, now)) }
            p.field {
                "This page counts on by itself; without JavaScript, read it again. The command line prints the same: "
                code { "keywright revocations" }
            }
        }
    }
}
