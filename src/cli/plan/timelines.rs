//! What will happen, as a picture: one timeline a key, so that overlap is seen at a glance.

use keywright_api::{Key, KeyEvent, KeyState, Plan};
use keywright_verifier::{Algorithm, Kid};

use crate::cli::json_text::printable;
use crate::cli::moment::rfc3339;
use crate::cli::short_names::ShortNames;

/// How many columns the whole time takes.
const WIDTH: u64 = 60;

const SECONDS_PER_DAY: u64 = 86_400;

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
    kid: &'a Kid,
    algorithm: Algorithm,
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
pub(super) fn draw(plan: &Plan, keys: &[Key], names: &ShortNames) -> String {
    let mut timelines = timelines_of(plan, keys);
    timelines.retain(|timeline| !timeline.spans.is_empty());
    // The sort is stable: within an algorithm keys stay in the order of their lives.
    timelines.sort_by_key(|timeline| timeline.algorithm.as_str());
    let labels: Vec<String> = timelines
        .iter()
        .map(|timeline| {
            printable(&format!(
                "{} {}",
                timeline.algorithm,
                names.short(timeline.kid.as_str())
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
        crate::cli::moment::length(plan.until.0.saturating_sub(plan.now.0) / WIDTH)
    ));
    lines.join("\n")
}

fn timelines_of<'a>(plan: &'a Plan, keys: &'a [Key]) -> Vec<KeyTimeline<'a>> {
    let mut timelines: Vec<KeyTimeline<'a>> = keys
        .iter()
        .filter_map(|key| {
            let state = match key.state {
                KeyState::Pending => Published::Pending,
                KeyState::Canary | KeyState::Active => Published::Active,
                KeyState::Retired => Published::Retired,
                KeyState::Removed | KeyState::Revoked => return None,
            };
            Some(KeyTimeline {
                kid: &key.kid,
                algorithm: key.algorithm,
                current: Some((state, plan.now.0)),
                spans: Vec::new(),
            })
        })
        .collect();
    for occurrence in &plan.occurrences {
        let members = &occurrence.members;
        let (Some(kid), Some(algorithm)) = (&members.kid, members.algorithm) else {
            continue;
        };
        let at = occurrence.at.0;
        let state = match occurrence.event {
            KeyEvent::KeyPublished => Some(Published::Pending),
            KeyEvent::KeyCanaryStarted | KeyEvent::KeyActivated => Some(Published::Active),
            KeyEvent::KeyRetired => Some(Published::Retired),
            _ => None,
        };
        match timelines.iter_mut().find(|timeline| timeline.kid == kid) {
            Some(timeline) => timeline.enter(state, at),
            None => timelines.push(KeyTimeline {
                kid,
                algorithm,
                current: state.map(|state| (state, at)),
                spans: Vec::new(),
            }),
        }
    }
    for timeline in &mut timelines {
        timeline.enter(None, plan.until.0);
    }
    timelines
}

/// Every state gets at least one column; where two share one, the shorter shows, because the
/// longer shows elsewhere.
fn paint(timeline: &KeyTimeline<'_>, plan: &Plan) -> String {
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
fn position(plan: &Plan, at: u64) -> u64 {
    let whole = u128::from(plan.until.0.saturating_sub(plan.now.0).max(1));
    let part = u128::from(at.saturating_sub(plan.now.0)) * u128::from(WIDTH);
    u64::try_from(part / whole).unwrap_or(WIDTH)
}

fn axis(plan: &Plan) -> String {
    let mut from = rfc3339(plan.now.0);
    let mut until = rfc3339(plan.until.0);
    if plan.until.0.saturating_sub(plan.now.0) > SECONDS_PER_DAY {
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
