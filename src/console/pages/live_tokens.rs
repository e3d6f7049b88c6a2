//! Whose tokens a key has signed that are still alive, as far as the issuance log of this process knows.

use keywright_api as api;
use maud::{Markup, html};

use crate::console::api::encoded;
use crate::console::elements::{Heading, Row, table, visible};
use crate::console::moment;

const HEADINGS: [Heading; 4] = [
    Heading::Text("Whose"),
    Heading::Text("What"),
    Heading::Text("Live tokens"),
    Heading::Text("Last expires"),
];

pub(super) fn shown(live: Result<&api::LiveTokens, &api::Problem>, now: u64) -> Markup {
    let live = match live {
        Ok(live) => live,
        Err(problem) => {
            return html! { p.muted { "Live tokens are not counted: " (problem.detail) "." } };
        }
    };
    let row = |name: Markup, what: &str, tokens: u64, expires_at: u64| {
        let cells = [
            html! { (what) },
            html! { (tokens) },
            html! { (moment::at(expires_at, now)) },
        ];
        Row::new(name, cells)
    };
    let clients = live.clients.iter().map(|share| {
        let path = format!("/console/clients/{}", encoded(&share.client));
        let name = html! { a href=(path) { (visible(&share.client)) } };
        row(name, "client", share.tokens, share.expires_at.0)
    });
    let audiences = live.audiences.iter().map(|share| {
        let name = html! { (visible(&share.audience)) };
        row(name, "audience", share.tokens, share.expires_at.0)
    });
    let rows: Vec<Row> = clients.chain(audiences).collect();
    html! {
        p {
            strong { (live.tokens) @if live.tokens == 1 { " live token" } @else { " live tokens" } }
            " in the issuance log of this process."
            @if !live.complete {
                @match live.read_since.as_ref() {
                    Some(since) => { " There may be more: the log was read from " (moment::at(since.0, now)) " on." },
                    None => { " There may be more: the log is empty." },
                }
            }
        }
        @if !rows.is_empty() { (table(None, "Live tokens by client and by audience", &HEADINGS, &rows)) }
    }
}
