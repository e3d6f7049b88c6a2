//! `scope`: a list of scope tokens with one space between two of them (RFC 6749 §3.3).

use std::collections::BTreeSet;

/// The longest scope, in bytes.
const LONGEST: usize = 4096;

/// Scope tokens, of which none is there twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(String);

/// A text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "scope has at most {LONGEST} bytes: different tokens of printable ASCII, with one space between \
     two of them"
)]
pub struct InvalidScope;

impl Scope {
    /// Reads a scope.
    ///
    /// # Errors
    /// [`InvalidScope`].
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        if text.len() > LONGEST {
            return Err(InvalidScope);
        }
        let mut seen = BTreeSet::new();
        let is_scope = text
            .split(' ')
            .all(|token| is_token(token) && seen.insert(token));
        is_scope.then(|| Self(text.to_owned())).ok_or(InvalidScope)
    }

    /// All of these tokens; `None` when there are none, or too many for a scope.
    pub fn of(tokens: &BTreeSet<String>) -> Option<Self> {
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        Self::parse(&tokens.join(" ")).ok()
    }

    /// Whether each of its tokens is one of another scope.
    pub fn is_within(&self, other: &Self) -> bool {
        let others: BTreeSet<&str> = other.0.split(' ').collect();
        self.0.split(' ').all(|token| others.contains(token))
    }

    /// Those of its tokens that are allowed; `None` when there are none.
    pub fn only(&self, is_allowed: impl Fn(&str) -> bool) -> Option<Self> {
        let tokens = self.0.split(' ').filter(|token| is_allowed(token));
        let tokens: Vec<&str> = tokens.collect();
        (!tokens.is_empty()).then(|| Self(tokens.join(" ")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_token(token: &str) -> bool {
    let legal = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !token.is_empty() && token.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_list_of_different_tokens() {
        for text in ["a", "orders:read orders:write", "!#[]~"] {
            assert_eq!(Scope::parse(text).unwrap().as_str(), text);
        }
        let long = "a".repeat(LONGEST + 1);
        for text in [
            "", " ", "a ", " a", "a  b", "a\tb", "a\"", "a\\", "é", "a a", &long,
        ] {
            assert_eq!(Scope::parse(text), Err(InvalidScope), "{text:?}");
        }
    }

    #[test]
    fn the_scope_of_tokens_has_all_of_them() {
        let tokens = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        let scope = Scope::of(&tokens(&["b", "a"])).unwrap();
        assert_eq!(scope.as_str(), "a b");
        assert_eq!(Scope::of(&tokens(&[])), None);
    }
}
