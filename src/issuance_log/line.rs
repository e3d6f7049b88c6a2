//! What a line says, and how it is spelled.

use std::fmt::Write as _;
use std::io;

use chrono::{DateTime, SecondsFormat};
use keywright_verifier::json::AnyValue;
use keywright_verifier::{Algorithm, Kid};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::queue::Priority;
use crate::lifecycle::Timestamp;
use crate::printable::{is_hidden, push_escape};

/// The longest text of a caller's that a line repeats, in characters.
const LONGEST_TEXT: usize = 256;

/// The most audiences that a line repeats.
const MOST_AUDIENCES: usize = 16;

/// Stands where something was left out.
const CUT: char = '…';

/// A request for one token, and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// When it was decided.
    pub time: Timestamp,
    /// The client's id.
    pub client: &'a str,
    /// The issuer, as the request names it.
    pub issuer: &'a str,
    /// The algorithm, as far as it is known.
    pub algorithm: Option<Algorithm>,
    /// The logged claims of the request.
    pub claims: &'a LoggedClaims,
    /// The request's id: the one of the answer and of the service's log.
    pub request_id: &'a str,
    /// What became of it.
    pub decision: Decision<'a>,
}

/// What became of a request for a token.
#[derive(Debug, Clone, Copy)]
pub enum Decision<'a> {
    /// It was signed.
    Signed {
        /// With this key.
        kid: &'a Kid,
        /// The token's identifier.
        jti: &'a str,
        /// Its end, in Unix seconds.
        expires_at: u64,
    },
    /// It was refused.
    Refused {
        /// The stable code of the problem.
        code: &'static str,
        /// The claim and the rule of a limit of the client's.
        limit: Option<(&'a str, &'a str)>,
    },
}

impl Decision<'_> {
    pub(super) fn priority(&self) -> Priority {
        match self {
            Self::Signed { .. } => Priority::Token,
            Self::Refused { .. } => Priority::Refusal,
        }
    }
}

/// The requested `sub` and `aud` of a token: no other claim is ever logged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoggedClaims {
    subject: Option<String>,
    audience: Option<Audience>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl LoggedClaims {
    /// Looks at the claims of a request. What is long is cut, and what is no text is left out.
    pub fn of<'c, V: AnyValue + 'c>(claim: impl Fn(&str) -> Option<&'c V>) -> Self {
        let audience = claim("aud");
        let one = || audience?.as_str().map(cut).map(Audience::One);
        let several = || {
            let several = audience?.as_elements()?;
            let texts = several.iter().filter_map(AnyValue::as_str);
            let mut shown: Vec<String> = texts.take(MOST_AUDIENCES).map(cut).collect();
            if several.len() > shown.len() {
                shown.push(CUT.into());
            }
            Some(Audience::Several(shown))
        };
        Self {
            subject: claim("sub").and_then(AnyValue::as_str).map(cut),
            audience: one().or_else(several),
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}{CUT}", text.get(..end).unwrap_or_default()),
    }
}

/// The members in the order in which they are written.
#[derive(Serialize)]
struct Members<'a> {
    time: &'a str,
    decision: &'a str,
    client: &'a str,
    issuer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a Kid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a Audience>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    request_id: &'a str,
}

impl Line<'_> {
    /// One JSON object and the end of the line.
    pub(super) fn text(&self) -> Vec<u8> {
        let time = rfc3339(self.time);
        let (decision, limit, token) = match self.decision {
            Decision::Signed {
                kid,
                jti,
                expires_at,
            } => ("signed", None, Some((kid, jti, expires_at))),
            Decision::Refused { code, limit } => (code, limit, None),
        };
        let members = Members {
            time: &time,
            decision,
            client: self.client,
            issuer: self.issuer,
            kid: token.map(|(kid, _, _)| kid),
            alg: self.algorithm.map(Algorithm::as_str),
            jti: token.map(|(_, jti, _)| jti),
            sub: self.claims.subject.as_deref(),
            aud: self.claims.audience.as_ref(),
            exp: token.map(|(_, _, expires_at)| expires_at),
            claim: limit.map(|(claim, _)| claim),
            rule: limit.map(|(_, rule)| rule),
            request_id: self.request_id,
        };
        let mut text = Vec::with_capacity(512);
        // Text and numbers always serialise, and a vector takes everything.
        let mut serializer = Serializer::with_formatter(&mut text, HiddenEscaped);
        let _ = members.serialize(&mut serializer);
        text.push(b'\n');
        text
    }
}

/// JSON in which characters that cannot be seen are escaped, also those that JSON lets stand: to
/// many readers U+2028 ends a line, and U+202E turns one around.
struct HiddenEscaped;

impl Formatter for HiddenEscaped {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if !fragment.chars().any(is_hidden) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut escaped = String::with_capacity(fragment.len() * 2);
        for character in fragment.chars() {
            if is_hidden(character) {
                push_escape(&mut escaped, character);
            } else {
                escaped.push(character);
            }
        }
        writer.write_all(escaped.as_bytes())
    }
}

/// Refusals that have no lines of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusalCount {
    /// The stable code of the problem.
    pub(super) code: &'static str,
    /// The client's id; `None` for clients that are not counted apart.
    pub(super) client: Option<String>,
    /// How many.
    pub(super) count: u64,
    /// When the first of them was refused.
    pub(super) since: Timestamp,
}

/// The members in the order in which they are written.
#[derive(Serialize)]
struct CountMembers<'a> {
    time: &'a str,
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    count: u64,
    since: &'a str,
}

impl RefusalCount {
    /// One JSON object and the end of the line.
    pub(super) fn text(&self, now: Timestamp) -> Vec<u8> {
        let members = CountMembers {
            time: &rfc3339(now),
            decision: self.code,
            client: self.client.as_deref(),
            count: self.count,
            since: &rfc3339(self.since),
        };
        let mut text = Vec::with_capacity(192);
        // Text and numbers always serialise, and a vector takes everything.
        let _ = serde_json::to_writer(&mut text, &members);
        text.push(b'\n');
        text
    }
}

/// UTC with milliseconds (RFC 3339 §5.6): every line has the same length there and sorts as text.
fn rfc3339(time: Timestamp) -> String {
    let millis = i64::try_from(time.millis()).ok();
    match millis.and_then(DateTime::from_timestamp_millis) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => {
            let mut text = String::new();
            // Writing to a string does not fail. The year 262143 is not foreseen by RFC 3339.
            let _ = write!(text, "{}", time.millis());
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_has_no_character_that_cannot_be_seen_and_means_what_was_sent() {
        for hidden in [
            '\n',
            '\r',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{200b}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2066}',
            '\u{feff}',
            '\u{e0001}',
        ] {
            let claims = json!({
                "sub": format!("user{hidden}1"), "aud": ["a", format!("{hidden}é\"\\")],
            });
            let claims = LoggedClaims::of(|name| claims.get(name));
            let place = format!("/a{hidden}");
            let line = Line {
                time: Timestamp::from_seconds(1),
                client: "0123456789abcdef",
                issuer: &format!("default{hidden}"),
                algorithm: None,
                claims: &claims,
                request_id: &format!("{hidden}id"),
                decision: Decision::Refused {
                    code: "client-limit",
                    limit: Some((&place, "claims_schema")),
                },
            };
            let text = String::from_utf8(line.text()).unwrap();
            let (line, end) = text.split_at(text.len() - 1);
            assert_eq!(end, "\n");
            assert!(!line.chars().any(is_hidden), "{line:?}");
            let read: Value = serde_json::from_str(line).unwrap();
            assert_eq!(read["sub"], format!("user{hidden}1"));
            assert_eq!(read["aud"], json!(["a", format!("{hidden}é\"\\")]));
            assert_eq!(read["issuer"], format!("default{hidden}"));
            assert_eq!(read["claim"], place);
            assert_eq!(read["request_id"], format!("{hidden}id"));
        }
    }
}
