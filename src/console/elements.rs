//! The parts that pages are made of. Tables carry explicit roles, because below 640 px they are shown as
//! lists and would lose their meaning for screen readers otherwise.

use keywright_api as api;
use maud::{Markup, Render, html};

use crate::printable::{is_hidden, push_escape};

/// The heading of a column.
#[derive(Clone, Copy)]
pub(super) enum Heading {
    /// Of texts.
    Text(&'static str),
    /// Of a small chart.
    Chart(&'static str),
    /// Of what can be done; it is only heard.
    Act,
}

impl Heading {
    fn label(self) -> &'static str {
        match self {
            Self::Text(label) | Self::Chart(label) => label,
            Self::Act => "Act",
        }
    }

    fn class(self) -> Option<&'static str> {
        match self {
            Self::Text(_) => None,
            Self::Chart(_) => Some("bar-cell"),
            Self::Act => Some("action"),
        }
    }
}

/// A row: what it is about, and a cell for each further column.
pub(super) struct Row {
    /// A class of the row's.
    pub(super) class: Option<&'static str>,
    /// The first cell.
    pub(super) about: Markup,
    /// The others.
    pub(super) cells: Vec<Markup>,
}

impl Row {
    /// A row without a class.
    pub(super) fn new(about: Markup, cells: impl IntoIterator<Item = Markup>) -> Self {
        Self {
            class: None,
            about,
            cells: cells.into_iter().collect(),
        }
    }
}

/// A table. Its caption is only heard.
pub(super) fn table(
    class: Option<&str>,
    caption: &str,
    headings: &[Heading],
    rows: &[Row],
) -> Markup {
    html! {
        table role="table" class=[class] {
            caption.unseen { (caption) }
            thead role="rowgroup" { tr role="row" {
                @for heading in headings {
                    th role="columnheader" scope="col" class=[heading.class()] {
                        @match heading {
                            Heading::Act => { span.unseen { "Act" } },
                            heading => { (heading.label()) },
                        }
                    }
                }
            } }
            tbody role="rowgroup" {
                @for row in rows { (table_row(headings, row)) }
            }
        }
    }
}

fn table_row(headings: &[Heading], row: &Row) -> Markup {
    let cells = row.cells.iter().zip(headings.iter().skip(1));
    html! {
        @if row.cells.is_empty() {
            tr.group role="row" {
                th role="rowheader" scope="rowgroup" colspan=(headings.len()) { (row.about) }
            }
        } @else {
            tr role="row" class=[row.class] {
                th role="rowheader" scope="row" { (row.about) }
                @for (cell, heading) in cells {
                    @match heading {
                        Heading::Act => { td.action role="cell" { (cell) } },
                        heading => {
                            td role="cell" class=[heading.class()] data-label=(heading.label()) { (cell) }
                        },
                    }
                }
            }
        }
    }
}

/// How a notice sounds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// It is as it should be.
    Ok,
    /// The operator has to look or to wait.
    Warn,
    /// Something failed, or ends for good.
    Danger,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Ok => "notice ok",
            Self::Warn => "notice warn",
            Self::Danger => "notice danger",
        }
    }
}

/// The only box: what is so, in bold, and then the rest.
pub(super) fn notice(tone: Tone, fact: impl Render, rest: impl Render) -> Markup {
    html! { div class=(tone.class()) { p { strong { (fact) } " " (rest) } } }
}

/// A notice that answers an act which failed: it is heard at once.
pub(super) fn alert(tone: Tone, fact: impl Render, rest: impl Render) -> Markup {
    html! { div class=(tone.class()) role="alert" { p { strong { (fact) } " " (rest) } } }
}

/// What a section says that the API refuses to show.
pub(super) fn refused(problem: &api::Problem) -> Markup {
    match problem.code.0.as_str() {
        "role-missing" => {
            html! { p.muted { "You may not see this: " (visible(&problem.detail)) "." } }
        }
        "client-limit" => {
            html! { p.muted { "Your limits do not let you see this: " (visible(&problem.detail)) "." } }
        }
        _ => alert(
            Tone::Danger,
            "This could not be read.",
            visible(&sentence(&problem.detail)),
        ),
    }
}

/// What the answer to an act says that the API has refused.
pub(super) fn not_done(problem: &api::Problem) -> Markup {
    let is_unknown = problem.status == 408 || problem.status >= 500;
    match is_unknown && problem.code.0 != "overloaded" {
        true => alert(
            Tone::Danger,
            "We do not know whether it is done.",
            html! { "The answer was: " (visible(&problem.detail)) ". Look at the state below before you send it again." },
        ),
        false => alert(
            Tone::Danger,
            "Not done.",
            visible(&sentence(&problem.detail)),
        ),
    }
}

/// A detail of a problem as a sentence.
pub(super) fn sentence(detail: &str) -> String {
    let mut characters = detail.chars();
    let first = characters
        .next()
        .map(|first| first.to_uppercase().to_string());
    format!(
        "{}{}.",
        first.unwrap_or_default(),
        characters.as_str().trim_end_matches('.')
    )
}

/// Says why there is nothing, and what makes something.
pub(super) fn empty(title: &str, text: impl Render) -> Markup {
    html! { div.empty { h3 { (title) } (text) } }
}

/// The longest name of a key that is shown whole, in characters.
const WHOLE: usize = 16;

/// The first eight characters of a key's name, and all of them when they are pointed at.
pub(super) fn short_kid(kid: &str) -> Markup {
    let short = short(kid);
    match kid.chars().count() <= WHOLE {
        true => html! { code.whole { (visible(kid)) } },
        false => html! { code title=(kid) { (visible(&short)) "…" } },
    }
}

/// The first eight characters of a name.
pub(super) fn short(name: &str) -> String {
    name.chars().take(8).collect()
}

/// A text that others wrote: what cannot be seen is shown by its escape, and its direction is its own.
pub(super) fn visible(text: &str) -> Markup {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match is_hidden(character) {
            true => push_escape(&mut shown, character),
            false => shown.push(character),
        }
    }
    html! { bdi { (shown) } }
}

/// The state of a key, with the swatch of the chart.
pub(super) fn key_state(state: api::KeyState) -> Markup {
    let word = match state {
        api::KeyState::Removed => "gone",
        state => state.as_str(),
    };
    html! { span class=(format!("state {}", state.as_str())) { (word) } }
}

/// A number with a comma between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && place % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 key`, `2 keys`.
pub(super) fn counted(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), expected);
        }
    }

    #[test]
    fn what_others_have_written_is_text() {
        let hostile = "<script>alert(1)</script>\u{202e}\"'&";
        let shown = visible(hostile).into_string();
        assert!(!shown.contains("<script"), "{shown}");
        assert!(!shown.contains('\u{202e}'), "{shown}");
        assert!(!short_kid(hostile).into_string().contains("<script"));
    }

    #[test]
    fn a_detail_becomes_a_sentence() {
        assert_eq!(sentence("the set is full"), "The set is full.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence(""), ".");
    }
}
