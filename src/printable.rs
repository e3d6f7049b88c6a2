//! Foreign text that must not act on the person or the program that reads it.

use std::fmt::Write as _;

use unicode_general_category::{GeneralCategory, get_general_category};

/// Whether a character cannot be seen but may be acted on: a control character, a format character
/// such as one that changes the direction of writing, a line or a paragraph separator (Unicode's
/// categories Cc, Cf, Zl and Zp).
pub fn is_hidden(character: char) -> bool {
    match character {
        ' '..='~' => false,
        _ => matches!(
            get_general_category(character),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        ),
    }
}

/// Appends a hidden character as JSON escapes it: `\u` and four digits for each unit of UTF-16
/// (RFC 8259 §7).
pub fn push_escape(output: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = write!(output, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_format_and_separator_characters_are_hidden_and_nothing_else_is() {
        for hidden in [
            '\0',
            '\t',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{feff}',
            '\u{fff9}',
            '\u{110bd}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0020}',
        ] {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
        for shown in [
            ' ', '~', 'é', 'ſ', '\u{a0}', '日', '\u{301}', '😀', '\u{3000}',
        ] {
            assert!(!is_hidden(shown), "{shown:?}");
        }
    }

    #[test]
    fn an_escape_is_json() {
        let mut text = String::from("\"");
        for hidden in ['\u{1b}', '\u{2028}', '\u{e0001}'] {
            push_escape(&mut text, hidden);
        }
        text.push('"');
        assert_eq!(text, r#""\u001b\u2028\udb40\udc01""#);
        let read: String = serde_json::from_str(&text).unwrap();
        assert_eq!(read, "\u{1b}\u{2028}\u{e0001}");
    }
}
