//! JSON and foreign text on a terminal.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::printable::{is_hidden, push_escape};

/// A text as it is, and whatever else as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The members of a document that is an object.
pub(super) fn members(document: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(document) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// Indents a JSON text by two spaces and changes nothing else: members keep their order and
/// numbers their digits.
///
/// Characters that a terminal might act on ([`printable`]) become `\u` escapes, which mean the
/// same in JSON.
pub(super) fn indented(text: &str) -> String {
    let mut output = String::with_capacity(text.len() * 2);
    let mut depth: usize = 0;
    let mut in_string = false;
    let mut escaped = false;
    let mut characters = text.trim().chars().peekable();
    while let Some(character) = characters.next() {
        if in_string {
            push_printable(&mut output, character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                output.push(character);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    output.push(end);
                } else {
                    depth += 1;
                    break_line(&mut output, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut output, depth);
                output.push(character);
            }
            ',' => {
                output.push(',');
                break_line(&mut output, depth);
            }
            ':' => output.push_str(": "),
            '"' => {
                in_string = true;
                output.push('"');
            }
            other => push_printable(&mut output, other),
        }
    }
    output
}

/// Foreign text with `\u` escapes in place of characters that a terminal or its reader might act on:
/// control, format and line separator characters.
pub(super) fn printable(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for character in text.chars() {
        push_printable(&mut output, character);
    }
    output
}

fn push_printable(output: &mut String, character: char) {
    if is_hidden(character) {
        push_escape(output, character);
    } else {
        output.push(character);
    }
}

fn break_line(output: &mut String, depth: usize) {
    output.push('\n');
    for _ in 0..depth {
        output.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indentation_changes_neither_order_nor_numbers_nor_strings() {
        let text = r#"{"b":1.50,"a":[1e3, {}],"c":"x, {\"y\": [\\" ,"d":[ ]}"#;
        let expected = "{\n  \"b\": 1.50,\n  \"a\": [\n    1e3,\n    {}\n  ],\n  \
                        \"c\": \"x, {\\\"y\\\": [\\\\\",\n  \"d\": []\n}";
        assert_eq!(indented(text), expected);
        assert_eq!(indented(expected), expected);
    }

    #[test]
    fn what_a_terminal_might_act_on_is_escaped() {
        assert_eq!(
            printable("a\u{1b}[2J\u{9b}\u{202e}é"),
            "a\\u001b[2J\\u009b\\u202eé"
        );
        assert_eq!(indented("\"\u{7f}\""), "\"\\u007f\"");
        assert_eq!(
            printable("a\u{2028}b\u{2029}c\u{85}"),
            "a\\u2028b\\u2029c\\u0085"
        );
        assert_eq!(printable("\u{feff}\u{200b}\u{ad}"), "\\ufeff\\u200b\\u00ad");
        // JSON escapes units of UTF-16.
        assert_eq!(indented("\"\u{e0041}\""), "\"\\udb40\\udc41\"");
    }
}
