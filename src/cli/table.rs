//! Plain aligned columns.

use std::io::{self, IsTerminal as _};

use tabled::builder::Builder;
use tabled::settings::object::Cell;
use tabled::settings::{Color, Modify, Padding, Style};

use super::json_text::printable;

/// The narrowest column that text is wrapped into, in characters. Where less is left, the last cell
/// goes to a line of its own.
const NARROWEST: usize = 24;

/// How far such a line is indented.
const INDENT: usize = 4;

/// What the reader's screen can show.
#[derive(Clone, Copy)]
struct Screen {
    /// How many characters a line has; `None` where lines are not wrapped.
    width: Option<usize>,
    /// Whether states are coloured.
    has_colours: bool,
}

impl Screen {
    /// Standard output: a terminal has its width and colours, unless `NO_COLOR` is set
    /// (no-color.org). `COLUMNS` sets the width in any case.
    fn of_standard_output() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let columns = std::env::var_os("COLUMNS").and_then(|text| text.to_str()?.parse().ok());
        let terminal = || {
            let (width, _) = terminal_size::terminal_size()?;
            Some(usize::from(width.0))
        };
        Self {
            width: columns
                .or_else(|| is_terminal.then(|| terminal().unwrap_or(80)))
                .map(|width: usize| width.max(40)),
            has_colours: is_terminal && !is_set("NO_COLOR") && !is_dumb,
        }
    }
}

/// Rows under a heading, in columns two spaces apart, without borders. Foreign text in the cells
/// cannot act on the terminal. The column `state` is coloured on a terminal, and the last column is
/// wrapped.
pub(super) fn columns<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let states = heading.iter().position(|name| *name == "state");
    let heading = heading.map(str::to_uppercase);
    let rows = std::iter::once(heading).chain(rows).collect();
    aligned(rows, states, Screen::of_standard_output())
}

/// Names and values, one pair a line.
pub(super) fn pairs(rows: impl IntoIterator<Item = [String; 2]>) -> String {
    let rows: Vec<[String; 2]> = rows.into_iter().collect();
    aligned(rows, None, Screen::of_standard_output())
}

fn aligned<const N: usize>(
    rows: Vec<[String; N]>,
    states: Option<usize>,
    screen: Screen,
) -> String {
    let mut rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| row.map(|cell| printable(&cell)).to_vec())
        .collect();
    let below = fit(&mut rows, screen.width);
    let mut builder = Builder::default();
    for row in &rows {
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    if let (Some(column), true) = (states, screen.has_colours) {
        for (number, row) in rows.iter().enumerate() {
            if let Some(colour) = row.get(column).and_then(|state| colour(state)) {
                table.with(Modify::new(Cell::new(number, column)).with(colour));
            }
        }
    }
    let mut lines: Vec<String> = Vec::new();
    let mut below = below.into_iter();
    for line in table.to_string().lines() {
        lines.push(line.trim_end().to_owned());
        lines.extend(below.next().into_iter().flatten());
    }
    lines.join("\n")
}

/// Makes the rows fit a width by their last column: wrapped where there is room for it, otherwise
/// taken out, as lines that go below each row.
fn fit(rows: &mut [Vec<String>], width: Option<usize>) -> Vec<Vec<String>> {
    let Some(width) = width else {
        return Vec::new();
    };
    let lengths = |rows: &[Vec<String>], column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let last = rows.first().map_or(0, |row| row.len().saturating_sub(1));
    let taken: usize = (0..last).map(|column| lengths(rows, column) + 2).sum();
    let left = width.saturating_sub(taken);
    if lengths(rows, last) <= left {
        return Vec::new();
    }
    if left >= NARROWEST {
        for cell in rows.iter_mut().filter_map(|row| row.get_mut(last)) {
            *cell = wrapped(cell, left).join("\n");
        }
        return Vec::new();
    }
    let taken_out = rows.iter_mut().map(|row| {
        let cell = row.get_mut(last).map(std::mem::take).unwrap_or_default();
        let indented = wrapped(&cell, width.saturating_sub(INDENT)).into_iter();
        let indented = indented.map(|line| format!("{:INDENT$}{line}", ""));
        indented.filter(|line| !line.trim().is_empty()).collect()
    });
    taken_out.collect()
}

/// A text in lines of at most so many characters, broken between words where that is possible.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.push(word.into_iter().collect());
            word = rest;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        length += word.len();
        line.extend(word);
    }
    lines.push(line);
    lines
}

/// The colour of a state of a key, a replica or an issuer.
fn colour(state: &str) -> Option<Color> {
    match state {
        "active" | "live" | "ok" => Some(Color::FG_GREEN),
        "pending" => Some(Color::FG_YELLOW),
        "retired" => Some(Color::FG_BLUE),
        "revoked" | "silent" => Some(Color::FG_RED),
        "removed" | "deleted" => Some(Color::FG_BRIGHT_BLACK),
        // Another word for an issuer is its fault; a heading is not in lower case.
        fault if fault.contains('-') => Some(Color::FG_RED),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNBOUND: Screen = Screen {
        width: None,
        has_colours: false,
    };

    fn table<const N: usize>(rows: &[[&str; N]], width: usize, has_colours: bool) -> String {
        let rows = rows.iter().map(|row| row.map(str::to_owned)).collect();
        let screen = Screen {
            width: Some(width),
            has_colours,
        };
        aligned(rows, Some(1), screen)
    }

    #[test]
    fn columns_are_aligned_and_end_without_white_space() {
        let rows = [["ONE", "TWO"], ["a", "bb"], ["ccc", ""]];
        let rows = rows.map(|row| row.map(str::to_owned)).to_vec();
        assert_eq!(aligned(rows, None, UNBOUND), "ONE  TWO\na    bb\nccc");
    }

    #[test]
    fn a_last_column_that_is_too_wide_is_wrapped_or_goes_below() {
        let text = "one two three four five six seven eight nine ten";
        let shown = table(&[["A", "B"], ["first", text]], 40, false);
        assert_eq!(
            shown,
            "A      B\nfirst  one two three four five six seven\n       eight nine ten"
        );
        let kid = "k".repeat(30);
        let shown = table(&[["A", "B"], [&kid, text]], 40, false);
        assert_eq!(
            shown,
            format!("A\n    B\n{kid}\n    one two three four five six seven\n    eight nine ten")
        );
        let word = "w".repeat(70);
        let shown = table(&[["A", "B"], ["a", &word]], 40, false);
        assert!(shown.lines().all(|line| line.len() <= 40), "{shown}");
        assert_eq!(shown.matches('w').count(), 70);
    }

    #[test]
    fn states_are_coloured_where_there_are_colours() {
        let rows = [
            ["KID", "STATE", "NEXT"],
            ["a", "active", "signs"],
            ["b", "revoked", ""],
        ];
        let shown = table(&rows, 80, true);
        assert!(
            shown.contains("\u{1b}[32mactive") && shown.contains("\u{1b}[31mrevoked"),
            "{shown:?}"
        );
        assert!(!table(&rows, 80, false).contains('\u{1b}'));
    }

    #[test]
    fn a_cell_stays_one_line_and_is_read_as_it_is_written() {
        for hidden in [
            "\n",
            "\r",
            "\u{b}",
            "\u{85}",
            "\u{2028}",
            "\u{2029}",
            "\u{1b}",
            "\u{202e}",
            "\u{200b}",
            "\u{feff}",
            "\u{e0001}",
        ] {
            let rows = [["one", "two"], [&format!("a{hidden}b"), "c"]];
            let rows = rows.map(|row| row.map(str::to_owned)).to_vec();
            let table = aligned(rows, None, UNBOUND);
            assert_eq!(table.lines().count(), 2, "{table:?}");
            assert!(
                !table.trim_matches('\n').contains(hidden) || hidden == "\n",
                "{table:?}"
            );
            assert!(table.contains("a\\u"), "{table:?}");
        }
    }
}
