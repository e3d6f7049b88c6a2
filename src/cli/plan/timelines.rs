//! What will happen, as a picture: one timeline a key, so that overlap is seen at a glance.

use serde::Deserialize;

use super::document::PlanDocument;
use crate::cli::json_text::printable;
use crate::cli::moment::rfc3339;
use crate::cli::short_names::ShortNames;

/// How many columns the whole time takes.
const WIDTH: u64 = 60;

const SECONDS_PER_DAY: u64 = 86_400;

/// A key as it is before the plan begins.
#[derive(Deserialize)]
pub(super) struct CurrentKey {
    pub(super) kid: String,
    algorithm: String,
    state: String,
}

#[derive(Deserialize)]
pub(super) struct CurrentKeys {
    pub(super) keys: Vec<CurrentKey>,
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

struct KeyTimeline<'a> {
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

impl KeyTimeline<'_> {
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

/// Draws the timelines of every key that is published at some time of the plan, by algorithm; empty
/// when there is none.
pub(super) fn draw(plan: &PlanDocument, keys: &[CurrentKey], names: &ShortNames) -> String {
    let mut timelines = timelines_of(plan, keys);
    timelines.retain(|timeline| !timeline.spans.is_empty());
    // The sort is stable: within an algorithm keys stay in the order of their lives.
    timelines.sort_by_key(|timeline| timeline.algorithm);
    let labels: Vec<String> = timelines
        .iter()
        .map(|timeline| {
            printable(&format!(
                "{} {}",
                timeline.algorithm,
                names.short(timeline.kid)
            ))
        })
        .collect();
    let Some(indent) = labels.iter().map(|label| label.chars().count()).max() else {
        return String::new();
    };
    let mut lines = vec![format!("{:indent$}  {}", "", axis(plan))];
    for (timeline, label) in timelines.iter().zip(&labels) {
        let line = format!("{label:indent$}  {}", paint(timeline, plan));
        lines.push(line.trim_end().to_owned());
    }
    lines.push(format!(
        "{:indent$}  · pending   ━ active   ╌ retired   a column is {}",
        "",
        crate::cli::moment::length(plan.until.saturating_sub(plan.now) / WIDTH)
    ));
    lines.join("\n")
}

fn timelines_of<'a>(plan: &'a PlanDocument, keys: &'a [CurrentKey]) -> Vec<KeyTimeline<'a>> {
    let mut timelines: Vec<KeyTimeline<'a>> = keys
        .iter()
        .filter_map(|key| {
            let state = match key.state.as_str() {
                "pending" => Published::Pending,
                "active" => Published::Active,
                "retired" => Published::Retired,
                _ => return None,
            };
            Some(KeyTimeline {
                kid: &key.kid,
                algorithm: &key.algorithm,
                current: Some((state, plan.now)),
                spans: Vec::new(),
            })
        })
        .collect();
    for occurrence in &plan.occurrences {
        let (Some(kid), Some(algorithm)) = (&occurrence.kid, &occurrence.algorithm) else {
            continue;
        };
        let state = match occurrence.event.as_str() {
            "key-published" => Some(Published::Pending),
            "key-activated" => Some(Published::Active),
            "key-retired" => Some(Published::Retired),
            _ => None,
        };
        match timelines.iter_mut().find(|timeline| timeline.kid == kid) {
            Some(timeline) => timeline.enter(state, occurrence.at),
            None => timelines.push(KeyTimeline {
                kid,
                algorithm,
                current: state.map(|state| (state, occurrence.at)),
                spans: Vec::new(),
            }),
        }
    }
    for timeline in &mut timelines {
        timeline.enter(None, plan.until);
    }
    timelines
}

/// Every state gets at least one column; where two share one, the shorter shows, because the
/// longer shows elsewhere.
fn paint(timeline: &KeyTimeline<'_>, plan: &PlanDocument) -> String {
    let mut cells = vec![' '; usize::try_from(WIDTH).unwrap_or_default()];
    let mut spans: Vec<&Span> = timeline.spans.iter().collect();
    spans.sort_by_key(|span| std::cmp::Reverse(span.to.saturating_sub(span.from)));
    for span in spans {
        let first = position(plan, span.from).min(WIDTH - 1);
        let end = position(plan, span.to).clamp(first + 1, WIDTH);
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
fn position(plan: &PlanDocument, at: u64) -> u64 {
    let whole = u128::from(plan.until.saturating_sub(plan.now).max(1));
    let part = u128::from(at.saturating_sub(plan.now)) * u128::from(WIDTH);
    u64::try_from(part / whole).unwrap_or(WIDTH)
}

fn axis(plan: &PlanDocument) -> String {
    let mut from = rfc3339(plan.now);
    let mut until = rfc3339(plan.until);
    if plan.until.saturating_sub(plan.now) > SECONDS_PER_DAY {
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
