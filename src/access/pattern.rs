//! A text, or everything that begins with one.

use std::fmt;

/// What a value must be: exactly this, or anything that begins with this. Written `orders` or
/// `orders/*`; a lone `*` is everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This text and no other, byte for byte.
    Exact(String),
    /// Every text that begins with this one.
    Prefix(String),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pattern has 1 to 256 characters without control characters, and a \"*\" at its end alone"
)]
pub struct InvalidPattern;

/// The longest pattern, in bytes.
const LONGEST: usize = 256;

impl Pattern {
    /// Reads a pattern. A `*` anywhere but at the end is refused: it would be taken for a glob.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(InvalidPattern);
        }
        let (beginning, is_prefix) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        if beginning.contains('*') {
            return Err(InvalidPattern);
        }
        let beginning = beginning.to_owned();
        Ok(if is_prefix {
            Self::Prefix(beginning)
        } else {
            Self::Exact(beginning)
        })
    }

    /// Whether a text is what the pattern demands.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(beginning) => text.starts_with(beginning),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => f.write_str(exact),
            Self::Prefix(beginning) => write!(f, "{beginning}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_itself_or_what_begins_with_it() {
        for (pattern, text, matches) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders", "Orders", false),
            ("https://a.example/*", "https://a.example/x", true),
            ("https://a.example/*", "https://a.example.evil/x", false),
            ("https://a.example/*", "https://a.example", false),
            ("*", "", true),
            ("*", "anything", true),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(text), matches, "{pattern} {text}");
            assert_eq!(parsed.to_string(), pattern);
        }
        for text in ["", "a*b", "**", "*a", "a\n", &"a".repeat(257)] {
            assert_eq!(Pattern::parse(text), Err(InvalidPattern), "{text:?}");
        }
    }
}
