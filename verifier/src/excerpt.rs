//! How much of a stranger's text an error may repeat.

/// The first `max_chars` characters of `text` after escaping everything but printable ASCII.
///
/// Error texts end up in logs and terminals, so the result has no control characters, and a long
/// input ends in `...` without pushing the total past `max_chars`.
pub(crate) fn excerpt(text: &str, max_chars: usize) -> String {
    let mut escaped: String = text.escape_default().take(max_chars + 1).collect();
    if escaped.len() > max_chars {
        // The text is ASCII by now, so every index is a character boundary.
        escaped.truncate(max_chars.saturating_sub(3));
        escaped.push_str("...");
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn short_text_is_kept_as_it_is() {
        assert_eq!(excerpt("kid", 64), "kid");
        assert_eq!(excerpt("abcdef", 6), "abcdef");
    }

    #[test]
    fn long_text_is_cut_to_the_limit_and_says_so() {
        assert_eq!(excerpt("abcdefg", 6), "abc...");
        assert_eq!(excerpt(&"x".repeat(10_000), 64).len(), 64);
    }

    #[test]
    fn control_and_non_ascii_characters_are_escaped() {
        assert_eq!(excerpt("a\n\u{1b}é", 64), "a\\n\\u{1b}\\u{e9}");
    }
}
