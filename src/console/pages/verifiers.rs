//! Who verifies with what, as far as this process has seen.

use keywright_api as api;
use maud::{Markup, html};

use crate::console::elements::{Heading, Row, count, empty, refused, short_kid, table, visible};
use crate::console::moment;

/// The most verifiers of a page; those that are behind come first.
const MOST: usize = 50;

/// How many have the set that is served now, and of how many.
pub(super) fn up_to_date(seen: &api::Verifiers) -> (usize, usize) {
    let current = seen.verifiers.iter().filter(|one| one.current).count();
    (current, seen.verifiers.len())
}

/// The section of an issuer's page. `url` is the issuer's.
pub(super) fn section(seen: &Result<api::Verifiers, api::Problem>, url: &str, now: u64) -> Markup {
    let content = match seen {
        Ok(seen) if seen.verifiers.is_empty() => empty(
            "No verifier has asked yet",
            html! {
                p { "A verifier appears here when it fetches the set from this process. Point one at this address:" }
                pre { (visible(url.trim_end_matches('/'))) "/.well-known/jwks.json" }
            },
        ),
        Ok(seen) => seen_table(seen, now),
        Err(problem) => refused(problem),
    };
    html! {
        section aria-labelledby="verifiers" {
            h2 #verifiers { "Who verifies with what" }
            p.lead {
                "Counted from the requests for the set to this process in the last 24 hours. A verifier behind a CDN is not seen."
            }
            @if let Ok(seen) = seen {
                @for waiting in &seen.waiting { (waits(waiting, now)) }
            }
            (content)
        }
    }
}

/// For whom a rotation waits.
fn waits(waiting: &api::WaitingRotation, now: u64) -> Markup {
    let cannot_tell = waiting.uncounted_replicas;
    html! {
        div.notice.warn { p {
            strong { "The " (waiting.algorithm) " rotation waits for verifiers." } " "
            (count(waiting.holders)) " of " (count(waiting.verifiers)) " hold the next key " (short_kid(waiting.kid.as_str()))
            ", the policy wants " (waiting.share)
            @if cannot_tell > 0 { ", and " (count(cannot_tell)) @if cannot_tell == 1 { " replica cannot tell yet" } @else { " replicas cannot tell yet" } }
            "; it happens at " (moment::at(waiting.until.0, now)) " at the latest."
        } }
    }
}

fn seen_table(seen: &api::Verifiers, now: u64) -> Markup {
    let (current, total) = up_to_date(seen);
    let mut verifiers: Vec<&api::Verifier> = seen.verifiers.iter().collect();
    // The sort is stable: within each half those that asked last come first.
    verifiers.sort_by_key(|one| one.current);
    let rows: Vec<Row> = verifiers
        .iter()
        .take(MOST)
        .map(|one| row(one, now))
        .collect();
    let headings = [
        Heading::Text("Who"),
        Heading::Text("Set"),
        Heading::Text("Asked last"),
        Heading::Text("Requests"),
    ];
    html! {
        p {
            (current) " of " (total) " have the current set."
            @for held in &seen.keys {
                @if held.state == api::KeyState::Pending {
                    " " (short_kid(held.kid.as_str())) ", the next key, is held by " (held.verifiers) " of " (total) "."
                }
            }
        }
        div.field { (table(None, "Verifiers by the set that they hold", &headings, &rows)) }
        @if total > MOST { p.muted.small.field { "Of " (total) ", " (MOST) " are shown. All of them: " code { "keywright verifiers" } } }
        @if seen.unrecorded_requests > 0 {
            p.muted.small.field { (count(seen.unrecorded_requests)) " requests came from others, for which there was no room." }
        }
    }
}

fn row(verifier: &api::Verifier, now: u64) -> Row {
    let agent = match verifier.user_agent.as_str() {
        "" => "no User-Agent",
        agent => agent,
    };
    Row::new(
        html! { (visible(&verifier.address)) small { (visible(agent)) } },
        [
            html! {
                @if verifier.current { span.ok { "current" } } @else { span.tag.warn { "behind" } }
                small { @if verifier.confirmed { "it says so itself" } @else { "it was sent this one" } }
            },
            html! { (moment::at(verifier.seen_at.0, now)) small { (moment::from_now(verifier.seen_at.0, now)) } },
            html! { (count(verifier.requests)) },
        ],
    )
}
