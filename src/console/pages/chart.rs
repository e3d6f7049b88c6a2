//! Charts: SVG without a `viewBox`. Each x is a percentage and each y is in pixels, so that text keeps its size
//! at every width. Attributes and classes alone say how they look.

use maud::{Markup, html};

use crate::console::elements::{Heading, Row, empty, short, table};
use crate::console::event_words::Moment;
use crate::console::moment;
use crate::console::timeline::{Life, Phase, Scale, percent};

/// The height of a key's row, in pixels.
const ROW: u32 = 44;

/// The most rows of a timeline.
const MOST_ROWS: usize = 40;

/// How near two marks may be, in hundredths of a percent of the whole.
const MARK: u64 = 350;

/// The most marks.
const MOST_MARKS: usize = 9;

/// How much time a timeline shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Day,
    Weeks,
    Year,
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

impl Span {
    pub(super) const ALL: [Self; 3] = [Self::Day, Self::Weeks, Self::Year];

    /// Its word in an address.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Weeks => "weeks",
            Self::Year => "year",
        }
    }

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Weeks => "9 weeks",
            Self::Year => "1 year",
        }
    }

    /// From when until when it shows: a third of it is past.
    pub(super) fn scale(self, now: u64) -> Scale {
        let length = match self {
            Self::Day => DAY,
            Self::Weeks => 63 * DAY,
            Self::Year => 366 * DAY,
        };
        Scale {
            from: now.saturating_sub(length / 3),
            until: now + length * 2 / 3,
        }
    }

    /// The lines of the axis, with their labels.
    fn ticks(self, scale: Scale) -> Vec<(u64, String)> {
        let every = |step: u64, label: fn(u64) -> String| {
            let first = scale.from.div_ceil(step) * step;
            let count = usize::try_from(scale.until.saturating_sub(first) / step + 1);
            let ticks = (0..).map(|number: u64| first + number * step);
            let ticks = ticks.take(count.unwrap_or_default().min(40));
            ticks.map(|at| (at, label(at))).collect::<Vec<_>>()
        };
        match self {
            Self::Day => every(3 * HOUR, moment::hour),
            Self::Weeks => every(7 * DAY, moment::day),
            Self::Year => {
                let months = moment::months(scale.from, scale.until);
                months.into_iter().map(|at| (at, moment::day(at))).collect()
            }
        }
    }
}

/// A mark of a chart: a moment, and at which height its number stands.
struct Mark<'m, 'p> {
    number: usize,
    moment: &'m Moment<'p>,
    y: u32,
}

/// The moments that a chart marks, as their table numbers them.
fn marked<'m, 'p>(moments: &'m [Moment<'p>], scale: Scale) -> &'m [Moment<'p>] {
    let within = moments.iter().take_while(|moment| moment.at <= scale.until);
    let count = within.count().min(MOST_MARKS);
    moments.get(..count).unwrap_or_default()
}

/// Numbers that would cover each other stand at three heights in turn.
fn marks<'m, 'p>(moments: &'m [Moment<'p>], scale: Scale) -> Vec<Mark<'m, 'p>> {
    let mut last: Option<(u64, u32)> = None;
    let numbered = moments.iter().zip(1..);
    numbered
        .map(|(moment, number)| {
            let place = scale.place(moment.at);
            let y = match last {
                Some((before, y)) if place - before < MARK => 34 + (y - 34 + 18) % 54,
                _ => 34,
            };
            last = Some((place, y));
            Mark { number, moment, y }
        })
        .collect()
}

/// What a timeline shows.
pub(super) struct Timeline<'t> {
    /// What tells it from another one of the page.
    pub(super) id: &'static str,
    /// Whose keys and which plan it shows.
    pub(super) title: String,
    /// The keys, those of an algorithm after each other.
    pub(super) lives: &'t [Life],
    /// What is marked, if it is within the time.
    pub(super) moments: &'t [Moment<'t>],
    pub(super) span: Span,
    pub(super) now: u64,
}

impl Timeline<'_> {
    /// The picture with what its looks mean, and the coming events as a table.
    pub(super) fn figure(&self) -> Markup {
        let scale = self.span.scale(self.now);
        let shown: Vec<&Life> = self
            .lives
            .iter()
            .filter(|life| !life.bars(scale.from, self.now, scale.until).is_empty())
            .take(MOST_ROWS)
            .collect();
        let moments = marked(self.moments, scale);
        html! {
            @if shown.is_empty() {
                (empty("No key lives in this time", html! { p { "Look at a longer one." } }))
            } @else {
                figure { (self.draw(&shown, moments, scale)) figcaption { (legend(self.id)) } }
            }
            @if !moments.is_empty() { (coming(moments, self.now)) }
        }
    }

    fn draw(&self, lives: &[&Life], moments: &[Moment<'_>], scale: Scale) -> Markup {
        let marks = marks(moments, scale);
        let top = if marks.is_empty() { 44 } else { 88 };
        let (rows, height) = rows(lives, top);
        let x = |at: u64| percent(scale.place(at));
        let now = x(self.now);
        let (title, text) = (format!("{}-title", self.id), format!("{}-desc", self.id));
        html! {
            svg.chart height=(height) role="img" aria-labelledby=(title) aria-describedby=(text) {
                title id=(title) {
                    (self.title) ", " (moment::day(scale.from)) " to " (moment::day(scale.until))
                }
                desc id=(text) { "All times are in the tables below." }
                defs { (hatch(&format!("hatch-{}", self.id))) }
                @for (number, (at, label)) in self.span.ticks(scale).iter().enumerate() {
                    line.grid x1=(x(*at)) x2=(x(*at)) y1="18" y2=(height) {}
                    @if scale.place(*at) < 9_500 {
                        text class=[(number % 2 == 1).then_some("broad")] x=(x(*at)) y="12" dx="-1" { (label) }
                    }
                }
                line.divide x1="0" x2="100%" y1="18" y2="18" {}
                @for mark in &marks {
                    line.event x1=(x(mark.moment.at)) x2=(x(mark.moment.at)) y1=(mark.y) y2=(height) {}
                }
                @for row in &rows { (self.row(row, scale)) }
                line.now x1=(now) x2=(now) y1="18" y2=(height) {}
                text.now-label.end x=(now) dx="-8" y="38" { "now" }
                @for mark in &marks {
                    circle.mark cx=(x(mark.moment.at)) cy=(mark.y) r="8" {}
                    text.mark-label x=(x(mark.moment.at)) y=(mark.y + 4) { (mark.number) }
                }
            }
        }
    }

    fn row(&self, row: &PlacedRow<'_>, scale: Scale) -> Markup {
        let (life, y) = match row {
            PlacedRow::Group(name, y) => {
                return html! { text.group x="0" y=(y) { (name) } };
            }
            PlacedRow::Key(life, y) => (life, *y),
        };
        let (x, width) = (
            |at: u64| percent(scale.place(at)),
            |from: u64, until: u64| percent(scale.place(until) - scale.place(from)),
        );
        let name = short(&life.kid);
        let is_cut = name != life.kid && life.state.is_some();
        let label_class = match life.revoked {
            Some(_) => "end revoked-label",
            None => "end",
        };
        html! {
            g {
                text.name x="0" y=(y) {
                    @if life.state.is_some() { (visible_text(&name)) @if is_cut { "…" } } @else { (life.kid) }
                }
                text class=(label_class) x="100%" y=(y) { (self.label(life)) }
                @if life.known > life.published && life.known > scale.from && life.published < scale.until
                    && life.revoked.is_none() {
                    rect.horizon x=(x(life.published)) y=(y + 4) width=(width(life.published, life.known)) height="18" {}
                }
                @for bar in life.bars(scale.from, self.now, scale.until) {
                    @let class = format!("bar {}{}", bar.phase.as_str(), if bar.is_planned { " planned" } else { "" });
                    @let (top, height) = match bar.phase {
                        Phase::Canary => (y + 13, 6),
                        Phase::Retired => (y + 10, 6),
                        Phase::Pending | Phase::Active => (y + 7, 12),
                    };
                    @let fill = (bar.phase == Phase::Pending).then(|| format!("url(#hatch-{})", self.id));
                    rect class=(class) fill=[fill] x=(x(bar.from)) y=(top) width=(width(bar.from, bar.until)) height=(height) {}
                }
                @if let Some(gone) = life.gone_from(scale.until) {
                    @if life.revoked.is_some() {
                        line.end-revoked x1=(x(gone)) x2=(x(gone)) y1=(y + 3) y2=(y + 23) {}
                    } @else {
                        line.gone x1=(x(gone)) x2="100%" y1=(y + 13) y2=(y + 13) {}
                    }
                }
            }
        }
    }

    /// What is said of a key in its row, at the right.
    fn label(&self, life: &Life) -> String {
        let now = self.now;
        if let Some(revoked) = life.revoked {
            return format!("revoked {}", moment::day(revoked));
        }
        match (life.signs_from, life.signs_until, life.in_set_until) {
            _ if life.state.is_none() => "does not exist yet".to_owned(),
            (_, _, Some(end)) if end <= now => format!("gone since {}", moment::day(end)),
            (_, Some(until), Some(end)) if until <= now => {
                format!("verifies until {}", moment::day(end))
            }
            (Some(from), Some(until), _) if from <= now => {
                format!("signs until {}", moment::day(until))
            }
            (Some(from), None, _) if from <= now => match life.canary_until {
                Some(until) if until <= now => "signs".to_owned(),
                _ => "signs a share".to_owned(),
            },
            _ if life.known > now => "not known everywhere yet".to_owned(),
            _ => "ready, stands by".to_owned(),
        }
    }
}

enum PlacedRow<'t> {
    Group(&'static str, u32),
    Key(&'t Life, u32),
}

/// Where each row is, and how high the chart is.
fn rows<'l>(lives: &[&'l Life], top: u32) -> (Vec<PlacedRow<'l>>, u32) {
    let mut rows = Vec::new();
    let mut y = top;
    let mut algorithm = None;
    for life in lives {
        if algorithm != Some(life.algorithm) {
            if algorithm.is_some() {
                y += 11;
            }
            rows.push(PlacedRow::Group(life.algorithm.as_str(), y));
            y += 21;
            algorithm = Some(life.algorithm);
        }
        rows.push(PlacedRow::Key(life, y));
        y += ROW;
    }
    (rows, y)
}

/// The marked events, as the timeline numbers them.
fn coming(moments: &[Moment<'_>], now: u64) -> Markup {
    let rows: Vec<Row> = (1..)
        .zip(moments)
        .map(|(number, moment): (usize, _)| {
            Row::new(
                html! { (number) },
                [
                    html! { (moment::at(moment.at, now)) small { (moment::from_now(moment.at, now)) } },
                    moment.sentences(),
                ],
            )
        })
        .collect();
    let headings = [
        Heading::Text("No."),
        Heading::Text("When"),
        Heading::Text("What happens by itself"),
    ];
    table(
        Some("brief numbered"),
        "Coming events, as numbered in the timeline",
        &headings,
        &rows,
    )
}

/// Text of a chart, where no element of HTML can stand.
fn visible_text(text: &str) -> String {
    text.chars()
        .map(|character| match crate::printable::is_hidden(character) {
            true => '\u{fffd}',
            false => character,
        })
        .collect()
}

fn hatch(id: &str) -> Markup {
    html! {
        pattern id=(id) width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
            line.hatch x1="1" y1="0" x2="1" y2="5" {}
        }
    }
}

/// What the looks of bars mean.
fn legend(id: &str) -> Markup {
    let hatched = format!("legend-{id}");
    html! {
        ul.legend {
            li {
                svg.chart aria-hidden="true" {
                    defs { (hatch(&hatched)) }
                    rect.bar.pending fill=(format!("url(#{hatched})")) x="1" y="1" width="22" height="10" {}
                }
                "pending: published, does not sign"
            }
            li { svg.chart aria-hidden="true" { rect.bar.canary x="1" y="6" width="22" height="5" {} } "canary: signs a share" }
            li { svg.chart aria-hidden="true" { rect.bar.active x="1" y="1" width="22" height="10" {} } "active: signs" }
            li { svg.chart aria-hidden="true" { rect.bar.retired x="1" y="4" width="22" height="5" {} } "retired: only verifies" }
            li { svg.chart aria-hidden="true" { line.gone x1="0" x2="24" y1="6" y2="6" {} } "gone" }
            li { svg.chart aria-hidden="true" { rect.bar.active.planned x="1" y="1" width="22" height="10" {} } "pale: planned" }
            li { svg.chart aria-hidden="true" { rect.horizon x="0" y="0" width="24" height="12" {} } "a cache may still lack the key" }
        }
    }
}

/// The next 30 days of an issuer in one line.
pub(super) fn strip(moments: &[Moment<'_>], now: u64, is_overdue: bool) -> Markup {
    let scale = Scale {
        from: now,
        until: now + 30 * DAY,
    };
    let within: Vec<_> = moments
        .iter()
        .filter(|moment| moment.at <= scale.until)
        .take(12)
        .collect();
    let mut told: Vec<String> = Vec::new();
    if is_overdue {
        told.push("Overdue now.".to_owned());
    }
    for moment in &within {
        told.push(format!(
            "{} {}.",
            moment.title(),
            moment::from_now(moment.at, now)
        ));
    }
    if told.is_empty() {
        told.push("No event is planned.".to_owned());
    }
    html! {
        svg.chart.strip role="img" aria-label=(told.join(" ")) {
            line.divide x1="0" x2="100%" y1="10" y2="10" {}
            line.now x1="1" x2="1" y1="2" y2="18" {}
            @if is_overdue { rect.exposed x="0" y="7" width="6.7%" height="6" {} }
            @for moment in within {
                @let x = percent(scale.place(moment.at));
                @if moment.is_rotation() {
                    rect.bar.active x=(x) y="4" width="4" height="12" {}
                } @else {
                    circle.mark cx=(x) cy="10" r="4" {}
                }
            }
        }
    }
}

/// What the marks of strips mean.
pub(super) fn strip_legend() -> Markup {
    html! {
        ul.legend {
            li { svg.chart aria-hidden="true" { circle.mark cx="12" cy="6" r="4" {} } "the set changes" }
            li { svg.chart aria-hidden="true" { rect.bar.active x="10" y="0" width="4" height="12" {} } "a key begins to sign" }
            li { svg.chart aria-hidden="true" { rect.exposed x="0" y="3" width="24" height="6" {} } "overdue" }
        }
    }
}
