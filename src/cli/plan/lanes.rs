//! What will happen, as a picture: one lane a key, so that overlap is seen at a glance.

use serde::Deserialize;

use super::story::{Names, Story};
use crate::cli::json_text::printable;
use crate::cli::moment::rfc3339;

/// How many columns the whole time takes.
const WIDTH: u64 = 60;

const SECONDS_PER_DAY: u64 = 86_400;

/// A key as it is before the story begins.
#[derive(Deserialize)]
pub(super) struct KeyNow {
    pub(super) kid: String,
    algorithm: String,
    state: String,
}

#[derive(Deserialize)]
pub(super) struct KeysNow {
    pub(super) keys: Vec<KeyNow>,
}

/// A state in which a key is published.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Published {
    Pending,
    Active,
    Retired,
}

impl Published {
    fn glyph(self) -> char {
        match self {
            Self::Pending => '·',
            Self::Active => '━',
            Self::Retired => '╌',
        }
    }
}

struct Lane<'a> {
    kid: &'a str,
    algorithm: &'a str,
    current: Option<(Published, u64)>,
    spans: Vec<Span>,
}

struct Span {
    state: Published,
    from: u64,
    to: u64,
}

impl Lane<'_> {
    fn enter(&mut self, state: Option<Published>, at: u64) {
        if let Some((state, from)) = self.current.take()
            && from < at
        {
            self.spans.push(Span {
                state,
                from,
                to: at,
            });
        }
        self.current = state.map(|state| (state, at));
    }
}

/// Draws the lanes of every key that is published at some time of the story, by algorithm; empty
/// when there is none.
pub(super) fn draw(story: &Story, keys: &[KeyNow], names: &Names) -> String {
    let mut lanes = lanes_of(story, keys);
    lanes.retain(|lane| !lane.spans.is_empty());
    // The sort is stable: within an algorithm keys stay in the order of their lives.
    lanes.sort_by_key(|lane| lane.algorithm);
    let labels: Vec<String> = lanes
        .iter()
        .map(|lane| printable(&format!("{} {}", lane.algorithm, names.short(lane.kid))))
        .collect();
    let Some(indent) = labels.iter().map(|label| label.chars().count()).max() else {
        return String::new();
    };
    let mut lines = vec![format!("{:indent$}  {}", "", axis(story))];
    for (lane, label) in lanes.iter().zip(&labels) {
        let line = format!("{label:indent$}  {}", paint(lane, story));
        lines.push(line.trim_end().to_owned());
    }
    lines.push(format!(
        "{:indent$}  · pending   ━ active   ╌ retired   a column is {}",
        "",
        crate::cli::moment::length(story.until.saturating_sub(story.now) / WIDTH)
    ));
    lines.join("\n")
}

fn lanes_of<'a>(story: &'a Story, keys: &'a [KeyNow]) -> Vec<Lane<'a>> {
    let mut lanes: Vec<Lane<'a>> = keys
        .iter()
        .filter_map(|key| {
            let state = match key.state.as_str() {
                "pending" => Published::Pending,
                "active" => Published::Active,
                "retired" => Published::Retired,
                _ => return None,
            };
            Some(Lane {
                kid: &key.kid,
                algorithm: &key.algorithm,
                current: Some((state, story.now)),
                spans: Vec::new(),
            })
        })
        .collect();
    for occurrence in &story.occurrences {
        let (Some(kid), Some(algorithm)) = (&occurrence.kid, &occurrence.algorithm) else {
            continue;
        };
        let state = match occurrence.event.as_str() {
            "key-published" => Some(Published::Pending),
            "key-activated" => Some(Published::Active),
            "key-retired" => Some(Published::Retired),
            _ => None,
        };
        match lanes.iter_mut().find(|lane| lane.kid == kid) {
            Some(lane) => lane.enter(state, occurrence.at),
            None => lanes.push(Lane {
                kid,
                algorithm,
                current: state.map(|state| (state, occurrence.at)),
                spans: Vec::new(),
            }),
        }
    }
    for lane in &mut lanes {
        lane.enter(None, story.until);
    }
    lanes
}

/// Every state gets at least one column; where two share one, the shorter shows, because the
/// longer shows elsewhere.
fn paint(lane: &Lane<'_>, story: &Story) -> String {
    let mut cells = vec![' '; usize::try_from(WIDTH).unwrap_or_default()];
    let mut spans: Vec<&Span> = lane.spans.iter().collect();
    spans.sort_by_key(|span| std::cmp::Reverse(span.to.saturating_sub(span.from)));
    for span in spans {
        let first = position(story, span.from).min(WIDTH - 1);
        let end = position(story, span.to).clamp(first + 1, WIDTH);
        for (_, cell) in (0..)
            .zip(&mut cells)
            .filter(|(at, _)| (first..end).contains(at))
        {
            *cell = span.state.glyph();
        }
    }
    cells.into_iter().collect()
}

/// The column in which an instant falls.
fn position(story: &Story, at: u64) -> u64 {
    let whole = u128::from(story.until.saturating_sub(story.now).max(1));
    let part = u128::from(at.saturating_sub(story.now)) * u128::from(WIDTH);
    u64::try_from(part / whole).unwrap_or(WIDTH)
}

fn axis(story: &Story) -> String {
    let mut from = rfc3339(story.now);
    let mut until = rfc3339(story.until);
    if story.until.saturating_sub(story.now) > SECONDS_PER_DAY {
        for label in [&mut from, &mut until] {
            if let Some(day) = label.find('T') {
                label.truncate(day);
            }
        }
    }
    let gap = usize::try_from(WIDTH)
        .unwrap_or_default()
        .saturating_sub(from.len() + until.len());
    format!("{from}{:gap$}{until}", "")
}
