//! `application/x-www-form-urlencoded`, read strictly (RFC 6749 §3.2, appendix B).

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::exchange::LARGEST_CONTEXT;

/// The most parameters that a form may have.
const MOST_PARAMETERS: usize = 32;

/// The most fields of a page's form: a policy has many members.
const MOST_FIELDS: usize = 96;

/// The longest name that an error repeats, in characters.
const SHOWN: usize = 64;

/// The parameters of a request. One without a value counts as absent (RFC 6749 §3.2).
#[derive(Default)]
pub struct Form(BTreeMap<String, String>);

/// Why a form is refused. No value is repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It is not what a form looks like.
    #[error("the body is not application/x-www-form-urlencoded in UTF-8")]
    Malformed,
    /// A parameter is there twice (RFC 6749 §3.2).
    #[error("the parameter {0} is repeated")]
    Repeated(String),
    /// There are too many parameters.
    #[error("the body has more than {0} parameters")]
    TooMany(usize),
    /// A parameter is required.
    #[error("the parameter {0} is required")]
    Missing(&'static str),
    /// A token of another type is sent or asked for than is exchanged.
    #[error("{0} is not a type of token that is exchanged or issued here")]
    TokenType(&'static str),
    /// A parameter is no JSON object, or too large a one.
    #[error("{0} is not a JSON object of at most {LARGEST_CONTEXT} bytes and 8 levels")]
    NoObject(&'static str),
}

impl Form {
    /// Reads the bytes of a form.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        Self::of(bytes, MOST_PARAMETERS, decode)
    }

    /// Reads the bytes of a page's form, whose fields may have several lines.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn parse_page(bytes: &[u8]) -> Result<Self, FormError> {
        Self::of(bytes, MOST_FIELDS, decode_lines)
    }

    fn of(
        bytes: &[u8],
        most: usize,
        decode_value: fn(&str) -> Result<String, FormError>,
    ) -> Result<Self, FormError> {
        let text = std::str::from_utf8(bytes).map_err(|_| FormError::Malformed)?;
        let mut parameters = BTreeMap::new();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            if index == most {
                return Err(FormError::TooMany(most));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode_value(value)?);
            if parameters.contains_key(&name) {
                let shown = name.escape_default().take(SHOWN).collect();
                return Err(FormError::Repeated(shown));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }

    /// A parameter that may be absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// [`FormError::Missing`].
    pub fn required(&self, name: &'static str) -> Result<&str, FormError> {
        self.get(name).ok_or(FormError::Missing(name))
    }
}

/// Decodes a name or a value: `+` is a space, `%` begins two hexadecimal digits, and nothing is a
/// control character.
pub(super) fn decode(text: &str) -> Result<String, FormError> {
    without_control(decode_any(text)?, char::is_control)
}

/// The same, but for tabs and the ends of lines.
fn decode_lines(text: &str) -> Result<String, FormError> {
    let is_refused =
        |character: char| character.is_control() && !matches!(character, '\t' | '\r' | '\n');
    without_control(decode_any(text)?, is_refused)
}

fn without_control(text: String, is_refused: fn(char) -> bool) -> Result<String, FormError> {
    match text.chars().any(is_refused) {
        true => Err(FormError::Malformed),
        false => Ok(text),
    }
}

fn decode_any(text: &str) -> Result<String, FormError> {
    let is_escaped = text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !is_escaped {
        return Err(FormError::Malformed);
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced)
        .decode_utf8()
        .map(Cow::into_owned);
    decoded.map_err(|_| FormError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_and_an_empty_value_is_absent() {
        let form = Form::parse(b"grant_type=client_credentials&scope=a+b%20c&state=&x").unwrap();
        assert_eq!(form.get("grant_type"), Some("client_credentials"));
        assert_eq!(form.get("scope"), Some("a b c"));
        assert_eq!(form.get("state"), None);
        assert_eq!(form.get("x"), None);
        assert_eq!(form.required("x"), Err(FormError::Missing("x")));
        assert_eq!(Form::parse(b"").unwrap().get("grant_type"), None);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let repeated = |name: &str| FormError::Repeated(name.to_owned());
        for (body, error) in [
            (b"scope=a&scope=a".as_slice(), repeated("scope")),
            (b"scope=a&sc%6fpe=b", repeated("scope")),
            (b"scope=&scope=a", repeated("scope")),
            (b"x&x", repeated("x")),
            (b"a=%", FormError::Malformed),
            (b"a=%4", FormError::Malformed),
            (b"a=%4g", FormError::Malformed),
            (b"a=%ff", FormError::Malformed),
            (b"a=\xff", FormError::Malformed),
            (b"a=%00", FormError::Malformed),
            (b"a=b%0Ac", FormError::Malformed),
            (b"{\"grant_type\":\"x\",\n\"a\":1}", FormError::Malformed),
        ] {
            assert_eq!(Form::parse(body).err(), Some(error), "{body:?}");
        }
        let many: Vec<String> = (0..33).map(|number| format!("a{number}=1")).collect();
        let many = |count: usize| Form::parse(many[..count].join("&").as_bytes()).err();
        assert_eq!(many(33), Some(FormError::TooMany(32)));
        assert_eq!(many(32), None);
    }

    #[test]
    fn a_field_of_a_page_may_have_several_lines() {
        let form = Form::parse_page(b"claims=%7B%0D%0A%09%22sub%22%7D&name=a").unwrap();
        assert_eq!(form.get("claims"), Some("{\r\n\t\"sub\"}"));
        for body in [b"a=%00".as_slice(), b"a%0A=b", b"a=%7f", b"a=%C2%85"] {
            assert_eq!(Form::parse_page(body).err(), Some(FormError::Malformed));
        }
        let many: Vec<String> = (0..97).map(|number| format!("a{number}=1")).collect();
        let many = |count: usize| Form::parse_page(many[..count].join("&").as_bytes()).err();
        assert_eq!(many(97), Some(FormError::TooMany(96)));
        assert_eq!(many(96), None);
    }
}
