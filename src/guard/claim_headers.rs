//! The claims of a token as headers of a response.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use keywright_verifier::Verified;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

/// The most bytes that the headers of claims take, names and separators included: nginx reads a response
/// head into 4 KiB unless it is told otherwise.
pub(super) const LARGEST_HEADERS: usize = 3072;

/// What is written as `%XX`: everything that cannot be seen, what is not ASCII, and `%` itself.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// How a claim is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As one word; the elements of an array with spaces between.
    Text,
    /// A string is a list with spaces between (RFC 8693 §4.2).
    List,
    /// A time, in whole seconds since 1970.
    Time,
}

/// The headers that there always are, each with its claim.
const STANDARD: [(HeaderName, &str, Form); 8] = [
    (HeaderName::from_static("x-auth-subject"), "sub", Form::Text),
    (
        HeaderName::from_static("x-auth-client"),
        "client_id",
        Form::Text,
    ),
    (HeaderName::from_static("x-auth-scope"), "scope", Form::List),
    (HeaderName::from_static("x-auth-session"), "sid", Form::Text),
    (HeaderName::from_static("x-auth-jti"), "jti", Form::Text),
    (HeaderName::from_static("x-auth-expires"), "exp", Form::Time),
    (HeaderName::from_static("x-auth-issuer"), "iss", Form::Text),
    (
        HeaderName::from_static("x-auth-audience"),
        "aud",
        Form::Text,
    ),
];

/// Up to when it is known that the token was not revoked.
const VOUCHED_AT: HeaderName = HeaderName::from_static("x-auth-vouched-at");

/// Which claims are shown, and where.
pub(super) struct ClaimHeaders {
    headers: Vec<(HeaderName, String, Form)>,
}

/// A header that claims are not shown in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "headers: \"{0}\" must begin with x-, consist of a-z, 0-9 and -, and be no other header of the guard"
)]
pub(super) struct InvalidHeader(String);

/// Claims that take too many bytes as headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge {
    pub(super) bytes: usize,
}

impl ClaimHeaders {
    /// The standard headers, and some more, each with its claim.
    ///
    /// # Errors
    /// [`InvalidHeader`].
    pub(super) fn new(more: &BTreeMap<String, String>) -> Result<Self, InvalidHeader> {
        let mut headers: Vec<_> = STANDARD
            .map(|(name, claim, form)| (name, claim.to_owned(), form))
            .into();
        for (written, claim) in more {
            let invalid = || InvalidHeader(written.clone());
            let lower = written.to_ascii_lowercase();
            let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let is_ours = lower.starts_with("x-") && lower.bytes().all(is_of_a_name);
            let name: HeaderName = lower.parse().map_err(|_| invalid())?;
            let is_taken = name == VOUCHED_AT || headers.iter().any(|(known, ..)| *known == name);
            if !is_ours || is_taken {
                return Err(invalid());
            }
            headers.push((name, claim.clone(), Form::Text));
        }
        Ok(Self { headers })
    }

    /// Every header, empty where the token lacks the claim.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub(super) fn of(&self, token: &Verified<Value>) -> Result<HeaderMap, TooLarge> {
        let shown = |(name, claim, form): &(HeaderName, String, Form)| {
            let value = token.claims.get(claim).map(|value| form.write(value));
            (name.clone(), value.unwrap_or_default())
        };
        let vouched_at = token.vouched_at.map(|time| {
            let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            since_epoch.as_secs().to_string()
        });
        let vouched_at = (VOUCHED_AT, vouched_at.unwrap_or_default());
        let mut headers = HeaderMap::new();
        let mut bytes = 0;
        for (name, value) in self.headers.iter().map(shown).chain([vouched_at]) {
            bytes += name.as_str().len() + ": ".len() + value.len() + "\r\n".len();
            // Nothing that is written here is forbidden in a header.
            let value = HeaderValue::from_maybe_shared(value.into_bytes());
            headers.insert(name, value.unwrap_or(HeaderValue::from_static("")));
        }
        if bytes > LARGEST_HEADERS {
            return Err(TooLarge { bytes });
        }
        Ok(headers)
    }
}

impl Form {
    fn write(self, value: &Value) -> String {
        match (self, value) {
            (_, Value::Null) => String::new(),
            (Self::List, Value::String(list)) => {
                let words = list.split(' ').filter(|word| !word.is_empty());
                words.map(encode).collect::<Vec<_>>().join(" ")
            }
            (Self::Time, Value::Number(seconds)) => whole(seconds).to_string(),
            (_, Value::String(text)) => encode(text),
            (_, Value::Array(values)) => {
                let words = values.iter().map(|value| Self::Text.write(value));
                words.collect::<Vec<_>>().join(" ")
            }
            (_, Value::Bool(_) | Value::Number(_) | Value::Object(_)) => encode(&value.to_string()),
        }
    }
}

/// A time without its fraction (RFC 7519 §2). The conversion saturates, so that a time beyond all
/// clocks stays one.
fn whole(seconds: &serde_json::Number) -> u64 {
    let with_fraction = || seconds.as_f64().unwrap_or_default() as u64;
    seconds.as_u64().unwrap_or_else(with_fraction)
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_written_as_visible_ascii() {
        for (form, value, written) in [
            (Form::Text, json!("user-1"), "user-1"),
            (Form::Text, json!("Zoë 100%"), "Zo%C3%AB%20100%25"),
            (
                Form::Text,
                json!("a\r\nx-auth-subject: admin"),
                "a%0D%0Ax-auth-subject:%20admin",
            ),
            (Form::List, json!(" read  write\tall "), "read write%09all"),
            (
                Form::Text,
                json!(["orders", "in voices"]),
                "orders in%20voices",
            ),
            (Form::Text, json!([["a b"], null, 1]), "a%20b  1"),
            (Form::Text, json!(true), "true"),
            (Form::Text, json!({ "a": "b c" }), "{\"a\":\"b%20c\"}"),
            (Form::Text, json!(null), ""),
            (Form::Time, json!(1_795_936_369), "1795936369"),
            (Form::Time, json!(1_795_936_369.9), "1795936369"),
            (Form::Time, json!(1e300), "18446744073709551615"),
        ] {
            assert_eq!(form.write(&value), written, "{value}");
        }
    }

    #[test]
    fn more_headers_are_x_headers_that_are_not_taken() {
        let new = |name: &str| ClaimHeaders::new(&BTreeMap::from([(name.into(), "tenant".into())]));
        for name in ["x-tenant", "X-Auth-Tenant"] {
            assert!(new(name).is_ok(), "{name}");
        }
        for name in [
            "X-Auth-Subject",
            "x-auth-vouched-at",
            "Authorization",
            "Content-Length",
            "x_tenant",
            "x-a b",
            "x-\u{e4}",
            "",
        ] {
            assert!(new(name).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_text_survives_as_a_header(text in any::<String>()) {
            let written = Form::Text.write(&text.clone().into());
            prop_assert!(written.bytes().all(|byte| byte.is_ascii_graphic()));
            let read = percent_decode_str(&written).decode_utf8().unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
