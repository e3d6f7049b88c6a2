//! What is in force where, after something was taken back: a table with a countdown. The latest time stands
//! beside it, so that the page is complete where nothing moves.

use maud::{Markup, html};

use crate::console::elements::{Heading, Row, table};
use crate::console::moment;

/// A place where a change takes effect.
pub(super) struct Place {
    /// Who it is.
    pub(super) who: Markup,
    /// When it is in force there at the latest; `None` where it never is.
    pub(super) at: Option<u64>,
    /// Whether what was done reaches it: where it does not, only time helps.
    pub(super) is_covered: bool,
    /// What stands there once it is.
    pub(super) word: &'static str,
}

/// The table. `since` is when the change was made.
pub(super) fn draw(caption: &str, places: &[Place], since: u64, now: u64) -> Markup {
    let rows: Vec<Row> = places.iter().map(|place| row(place, since, now)).collect();
    let headings = [
        Heading::Text("Where"),
        Heading::Text("State"),
        Heading::Text("At the latest"),
        Heading::Text("Left"),
    ];
    table(None, caption, &headings, &rows)
}

fn row(place: &Place, since: u64, now: u64) -> Row {
    let state = match place.at {
        Some(at) if at <= now => html! { span.ok { (place.word) } },
        _ if !place.is_covered => html! { span.tag.danger { "not covered" } },
        None => html! { "–" },
        Some(_) => html! { span.waiting { "counting" } },
    };
    let left = match place.at {
        Some(at) if at > now => {
            let (done, whole) = (now.saturating_sub(since), at.saturating_sub(since).max(1));
            let percent = done.saturating_mul(100) / whole;
            html! {
                span data-left=(at) { (moment::length(at - now)) }
                progress aria-label="time passed" data-since=(since) data-until=(at) value=(percent) max="100" {
                    (percent) " %"
                }
            }
        }
        Some(_) | None => html! { "–" },
    };
    let at = html! {
        @match place.at { Some(at) => { (moment::exactly(at, now)) }, None => { "–" } }
    };
    Row::new(place.who.clone(), [state, at, left])
}
