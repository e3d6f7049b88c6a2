//! Plain aligned columns.

use tabled::builder::Builder;
use tabled::settings::{Padding, Style};

use super::json_text::printable;

/// Rows under a heading, in columns two spaces apart, without borders. Foreign text in the cells
/// cannot act on the terminal.
pub(super) fn columns<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let heading = heading.map(str::to_uppercase);
    aligned(std::iter::once(heading).chain(rows))
}

/// Names and values, one pair a line.
pub(super) fn pairs(rows: impl IntoIterator<Item = [String; 2]>) -> String {
    aligned(rows)
}

fn aligned<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut builder = Builder::default();
    for row in rows {
        builder.push_record(row.map(|cell| printable(&cell)));
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    let lines: Vec<String> = table
        .to_string()
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_end_without_white_space() {
        let rows = [
            ["a".to_owned(), "bb".to_owned()],
            ["ccc".to_owned(), String::new()],
        ];
        assert_eq!(columns(["one", "two"], rows), "ONE  TWO\na    bb\nccc");
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
            let rows = [[format!("a{hidden}b"), "c".to_owned()]];
            let table = columns(["one", "two"], rows);
            assert_eq!(table.lines().count(), 2, "{table:?}");
            assert!(
                !table.trim_matches('\n').contains(hidden) || hidden == "\n",
                "{table:?}"
            );
            assert!(table.contains("a\\u"), "{table:?}");
        }
    }
}
