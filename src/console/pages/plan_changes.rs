//! Which coming events of keys another policy moves, adds and takes away.

use keywright_api as api;
use maud::{Markup, html};

use crate::console::elements::{Heading, Row, counted, short_kid, table};
use crate::console::moment;
use crate::console::plan_comparison::{LifeChange, LifeEvent, compare, differ};
use crate::console::timeline::Life;

/// The most keys that are shown.
const MOST_KEYS: usize = 40;

/// What changes until a time.
pub(super) fn section(today: &[Life], after: &[Life], plan: &api::Plan, until: u64) -> Markup {
    let changes = compare(today, after);
    let now = plan.now.0;
    let rows: Vec<Row> = changes
        .iter()
        .take(MOST_KEYS)
        .map(|change| row(change, now, until))
        .collect();
    let headings = [
        Heading::Text("Key"),
        Heading::Text("It"),
        Heading::Text("Published"),
        Heading::Text("Signs from"),
        Heading::Text("Signs until"),
        Heading::Text("In the set until"),
    ];
    html! {
        section aria-labelledby="moves" {
            h2 #moves { "What changes for keys" }
            @if rows.is_empty() {
                p { "Nothing until " (moment::at(until, now)) ": every event comes as it is planned today." }
            } @else {
                p.lead {
                    "Until " (moment::at(until, now)) ", for " (counted(changes.len(), "key"))
                    @if changes.len() > MOST_KEYS { ", of which the first " (MOST_KEYS) " are shown" }
                    ". All other events come as they are planned today."
                }
                (table(None, "Keys whose events change", &headings, &rows))
            }
        }
    }
}

fn row(change: &LifeChange<'_>, now: u64, until: u64) -> Row {
    let (life, word, cells): (&Life, Markup, Vec<Markup>) = match change {
        LifeChange::Moves(before, after) => (
            after,
            html! { "moves" },
            LifeEvent::ALL
                .iter()
                .map(|event| moved(event.of(before), event.of(after), now, until))
                .collect(),
        ),
        LifeChange::Comes(after) => (
            after,
            html! { span.tag.ok { "comes" } small { "today’s plan lacks it" } },
            LifeEvent::ALL
                .iter()
                .map(|event| planned(event.of(after), now))
                .collect(),
        ),
        LifeChange::Goes(before) => (
            before,
            html! { span.tag.warn { "goes" } small { "it would come today" } },
            LifeEvent::ALL
                .iter()
                .map(|event| html! { @if event.of(before).is_some() { s { (planned(event.of(before), now)) } } @else { "–" } })
                .collect(),
        ),
    };
    let about = match life.state {
        Some(_) => short_kid(&life.kid),
        None => html! { code.whole { (life.kid) } },
    };
    Row::new(about, std::iter::once(word).chain(cells))
}

fn planned(at: Option<u64>, now: u64) -> Markup {
    html! { @match at { Some(at) => (moment::at(at, now)), None => "–" } }
}

/// A time that may be another one than today's plan has.
fn moved(before: Option<u64>, after: Option<u64>, now: u64, until: u64) -> Markup {
    if !differ(before, after) {
        return html! { span.muted { (planned(after, now)) } };
    }
    html! {
        @match (before, after) {
            (Some(before), Some(after)) => {
                strong { (moment::at(after, now)) }
                small {
                    (moment::length(before.abs_diff(after))) @if after > before { " later" } @else { " earlier" }
                    " than " (moment::at(before, now))
                }
            },
            (None, Some(after)) => { strong { (moment::at(after, now)) } small { "today: not by " (moment::at(until, now)) } },
            (Some(before), None) => { strong { "not by " (moment::at(until, now)) } small { "today: " (moment::at(before, now)) } },
            (None, None) => { "–" },
        }
    }
}
