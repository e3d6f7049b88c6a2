//! Signing: one token, or up to a thousand.

use std::borrow::Cow;

use keywright_verifier::{Algorithm, Kid};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Entries, Problem, UnixSeconds};

/// The most tokens that one batch may ask for.
pub const LARGEST_BATCH: usize = 1000;

/// What to sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignRequest {
    /// What is asserted.
    #[schemars(with = "Claims")]
    pub claims: Map<String, Value>,
    /// The lifetime in seconds, at most the policy's `max_token_ttl`. Default: the policy's
    /// `default_token_ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub expires_in: Option<u64>,
    /// The type in the header. Default: `JWT`. An `at+jwt` (RFC 9068) needs the claims `sub`, `aud`
    /// and `client_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[A-Za-z0-9.+/-]{1,64}$"))]
    pub typ: Option<String>,
    /// An algorithm with an active key. Default: the policy's `default_algorithm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<Algorithm>,
    /// Whether the token counts once: it has the claim `single_use`, and a service that takes it uses it up at
    /// the issuer's `/consume`. Needs `oauth.enabled`. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_use: Option<bool>,
    /// Whether the token has an entry in a status list: `claims` has a `status` then, and `jti` says to the
    /// service which one. `true` only where the policy has `true`; where it has `"tracked"`, nothing else.
    /// Default: the policy's `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<TokenStatus>,
}

/// Whether tokens have an entry in a status list (Token Status List, draft 21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenStatus {
    /// `false`: they have none.
    Off,
    /// `true`: they have one, which a revocation by `jti` makes invalid.
    Listed,
    /// `"tracked"`: they have one, and the service writes down whom they are about before it hands them out,
    /// so that a revocation of a subject or of a session makes their entries invalid, too.
    Tracked,
}

/// The word of [`TokenStatus::Tracked`].
const TRACKED: &str = "tracked";

impl TokenStatus {
    /// That of a boolean.
    pub const fn of_bool(is_listed: bool) -> Self {
        match is_listed {
            true => Self::Listed,
            false => Self::Off,
        }
    }

    /// That of a word; `None` for another one than `tracked`.
    pub fn of_word(word: &str) -> Option<Self> {
        (word == TRACKED).then_some(Self::Tracked)
    }
}

impl Serialize for TokenStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::Listed => serializer.serialize_bool(true),
            Self::Tracked => serializer.serialize_str(TRACKED),
        }
    }
}

impl<'de> Deserialize<'de> for TokenStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(is_listed) => Some(Self::of_bool(is_listed)),
            Value::String(word) => Self::of_word(&word),
            _ => None,
        }
        .ok_or_else(|| D::Error::custom("status must be false, true or \"tracked\""))
    }
}

impl JsonSchema for TokenStatus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TokenStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Not one enumeration of both: generators of clients leave out what has one.
        json_schema!({"anyOf": [{"type": "boolean"}, {"type": "string", "enum": [TRACKED]}]})
    }
}

/// What is asserted; it may be empty. `iss`, `iat`, `exp`, `jti` and `ancestor_jtis` are refused. Every other claim
/// passes as it is. A number is an integer from −2^63 to 2^64 − 1, or finite and at most 2^53 in
/// magnitude; there are at most 32 levels of arrays and objects in the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend(
    "propertyNames" = {"not": {"enum": ["iss", "iat", "exp", "jti", "ancestor_jtis"]}},
    "additionalProperties" = true,
))]
pub struct Claims {
    /// The subject that the token is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The audience that the token is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// The client that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What it allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Not valid before, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
}

/// One audience, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(#[schemars(length(min = 1))] Vec<String>),
}

/// A signed token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// The compact JWS. It is a credential: it has no place in a log.
    pub token: String,
    /// The key that signed it.
    pub kid: Kid,
    /// Its identifier: 22 characters that say nothing to others.
    pub jti: String,
    /// When it expires, in Unix seconds.
    pub expires_at: UnixSeconds,
}

impl Token {
    /// The other members than the token are shorter than this, but for a kid that came from elsewhere.
    pub const OTHER_MEMBERS_BYTES: usize = 256;

    /// Writes its document as serde does, for a token that was made here: a compact JWS and its
    /// identifier have no character that JSON escapes, so that they are not searched for one.
    pub fn write_json(&self, text: &mut Vec<u8>) {
        let Self {
            token,
            kid,
            jti,
            expires_at,
        } = self;
        text.extend_from_slice(b"{\"token\":\"");
        text.extend_from_slice(token.as_bytes());
        text.extend_from_slice(b"\",\"kid\":");
        write_value(kid, text);
        text.extend_from_slice(b",\"jti\":\"");
        text.extend_from_slice(jti.as_bytes());
        text.extend_from_slice(b"\",\"expires_at\":");
        write_value(expires_at, text);
        text.push(b'}');
    }
}

fn write_value(value: &impl Serialize, text: &mut Vec<u8>) {
    // Writing what is all texts and numbers to memory does not fail.
    let _ = serde_json::to_writer(text, value);
}

/// What would become of a request for a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SigningCheck {
    /// Whether a token would be signed.
    pub signed: bool,
    /// The header that it would have. Absent if none would be signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<Map<String, Value>>,
    /// The claims that it would have, but for `jti` and `status`, which only a signed token has. Absent if
    /// none would be signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Map<String, Value>>,
    /// The problem that the request would get. Absent if a token would be signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
}

/// Several tokens to sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// What to sign.
    pub requests: Entries<SignRequest, 1, LARGEST_BATCH>,
}

/// The answer to a batch.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchResults {
    /// One entry for each request, in order.
    pub results: Vec<BatchResult>,
}

/// A token, or the problem that its request would have got alone.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum BatchResult {
    /// The token.
    Token(Token),
    /// The problem.
    Problem(Box<Problem>),
}

/// The document of [`BatchResults`] while it is written, a result at a time.
pub struct BatchResultsText(Vec<u8>);

/// What the result of most tokens takes.
const USUAL_RESULT_BYTES: usize = 640;

impl BatchResultsText {
    const BEGIN: &[u8] = b"{\"results\":[";

    /// The document without a result yet, with room for so many.
    pub fn with_room_for(results: usize) -> Self {
        let mut text = Vec::with_capacity(results.saturating_mul(USUAL_RESULT_BYTES));
        text.extend_from_slice(Self::BEGIN);
        Self(text)
    }

    /// Adds a result. For a token see [`Token::write_json`].
    pub fn push(&mut self, result: &BatchResult) {
        let Self(text) = self;
        if text.len() > Self::BEGIN.len() {
            text.push(b',');
        }
        match result {
            BatchResult::Token(token) => token.write_json(text),
            BatchResult::Problem(problem) => write_value(problem, text),
        }
    }

    /// The document.
    pub fn finish(self) -> Vec<u8> {
        let Self(mut text) = self;
        text.extend_from_slice(b"]}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(kid: &str) -> Token {
        Token {
            token: "e30.e30.c2ln".to_owned(),
            kid: Kid::parse(kid).unwrap(),
            jti: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            expires_at: UnixSeconds::from(1_800_000_000),
        }
    }

    #[test]
    fn what_is_written_is_what_serde_writes() {
        let results: Vec<BatchResult> = ["k1", "\"\\<>"]
            .into_iter()
            .map(|kid| BatchResult::Token(token(kid)))
            .collect();
        let mut text = BatchResultsText::with_room_for(0);
        results.iter().for_each(|result| text.push(result));
        let document = BatchResults { results };
        assert_eq!(text.finish(), serde_json::to_vec(&document).unwrap());
        let none = BatchResults { results: vec![] };
        let text = BatchResultsText::with_room_for(3).finish();
        assert_eq!(text, serde_json::to_vec(&none).unwrap());
    }
}
