//! What stands in the members of documents: numbers, texts and lists that keep their rules.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::read::NULLABLE;

/// An instant in Unix seconds: what has happened rounded down, what is to come rounded up.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[schemars(inline)]
pub struct UnixSeconds(pub u64);

impl From<u64> for UnixSeconds {
    fn from(seconds: u64) -> Self {
        Self(seconds)
    }
}

/// A value, or `null` where that means something of its own. A member that may be absent is an
/// `Option`, and takes no `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nullable<T> {
    /// `null`.
    Null,
    /// The value.
    Value(T),
}

impl<T> Nullable<T> {
    /// The value, if there is one.
    pub const fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<T> From<Option<T>> for Nullable<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Value)
    }
}

impl<T> From<Nullable<T>> for Option<T> {
    fn from(value: Nullable<T>) -> Self {
        match value {
            Nullable::Null => None,
            Nullable::Value(value) => Some(value),
        }
    }
}

impl<T: Serialize> Serialize for Nullable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NULLABLE, NullableVisitor(PhantomData))
    }
}

struct NullableVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for NullableVisitor<T> {
    type Value = Nullable<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value or null")
    }

    fn visit_none<E>(self) -> Result<Nullable<T>, E> {
        Ok(Nullable::Null)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Nullable<T>, D::Error> {
        Option::deserialize(deserializer).map(Nullable::from)
    }
}

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        NULLABLE.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({"anyOf": [value, {"type": "null"}], (crate::schema::NULL_IS_MEANT): true})
    }
}

/// A list of so many entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Entries<T, const LEAST: usize, const MOST: usize>(Vec<T>);

impl<T, const LEAST: usize, const MOST: usize> Entries<T, LEAST, MOST> {
    /// The entries.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

/// Entries that are known to be as many as they may be.
impl<T, const LEAST: usize, const MOST: usize> FromIterator<T> for Entries<T, LEAST, MOST> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<T, const LEAST: usize, const MOST: usize> Deref for Entries<T, LEAST, MOST> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>, const LEAST: usize, const MOST: usize> Deserialize<'de>
    for Entries<T, LEAST, MOST>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::deserialize(deserializer)?;
        match (LEAST..=MOST).contains(&entries.len()) {
            true => Ok(Self(entries)),
            false => Err(D::Error::custom(format!(
                "must name {LEAST} to {MOST}, or be left out"
            ))),
        }
    }
}

impl<T: JsonSchema, const LEAST: usize, const MOST: usize> JsonSchema for Entries<T, LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Entries".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<T>();
        let mut schema = json_schema!({"type": "array", "items": entry, "maxItems": MOST});
        if LEAST > 0 {
            schema.insert("minItems".to_owned(), LEAST.into());
        }
        schema
    }
}

pub(crate) fn parse<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// Reads a text with `FromStr` and writes it with `Display`; the members describe it as JSON Schema.
macro_rules! text {
    ($type:ident, $name:tt, $schema:tt) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // The name lets `read` say which kind of text is wrong.
                #[derive(Deserialize)]
                #[serde(rename = $name)]
                struct Text(#[serde(deserialize_with = "parse")] $type);

                Text::deserialize(deserializer).map(|Text(value)| value)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// The short name of an issuer: 1 to 63 characters of `a-z`, `0-9` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerName(Arc<str>);

/// Why a text names no issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an issuer's name has 1 to 63 characters of a-z, 0-9 and -")]
pub struct InvalidIssuerName;

impl IssuerName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidIssuerName`] when it has another length or character.
    pub fn parse(text: &str) -> Result<Self, InvalidIssuerName> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidIssuerName)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IssuerName {
    type Err = InvalidIssuerName;

    fn from_str(text: &str) -> Result<Self, InvalidIssuerName> {
        Self::parse(text)
    }
}

impl std::borrow::Borrow<str> for IssuerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IssuerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IssuerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

text!(IssuerName, "IssuerName", {
    "type": "string",
    "pattern": "^[a-z0-9-]{1,63}$",
});

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a duration is a whole number and one unit of s, m, h or d, at most 3650d, such as \"90s\""
)]
pub struct InvalidDuration;

const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// Reads a duration such as `90s`, `5m`, `24h` or `30d`.
///
/// # Errors
/// [`InvalidDuration`] for any other form, and for more than 3650 days.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let (digits, unit_seconds) = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]
        .iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|digits| (digits, *seconds)))
        .ok_or(InvalidDuration)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidDuration);
    }
    let count: u64 = digits.parse().map_err(|_| InvalidDuration)?;
    let duration = Duration::from_secs(count.checked_mul(unit_seconds).ok_or(InvalidDuration)?);
    if duration > LONGEST {
        Err(InvalidDuration)
    } else {
        Ok(duration)
    }
}

/// Writes a duration in the form that [`parse_duration`] reads, in the largest unit that keeps it
/// whole; a single day stays `24h`, as people say it.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        s if s % 86_400 == 0 && s > 86_400 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// A length of time as documents have it, such as `90s`: whole seconds, at most 3650 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(pub Duration);

impl FromStr for DurationText {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        parse_duration(text).map(Self)
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

text!(DurationText, "DurationText", {
    "type": "string",
    "pattern": "^[0-9]+[smhd]$",
});

/// A [`DurationText`] of at least `1s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PositiveDuration(pub Duration);

/// Why a text is no [`PositiveDuration`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPositiveDuration {
    /// It is no duration.
    #[error(transparent)]
    Form(#[from] InvalidDuration),
    /// It is `0s`.
    #[error("a duration of at least 1s")]
    Zero,
}

impl FromStr for PositiveDuration {
    type Err = InvalidPositiveDuration;

    fn from_str(text: &str) -> Result<Self, InvalidPositiveDuration> {
        match parse_duration(text)? {
            Duration::ZERO => Err(InvalidPositiveDuration::Zero),
            duration => Ok(Self(duration)),
        }
    }
}

impl fmt::Display for PositiveDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DurationText(self.0).fmt(f)
    }
}

text!(PositiveDuration, "DurationText", {
    "type": "string",
    "pattern": "^[0-9]+[smhd]$",
});

/// The caller's reason for a change, for the audit log: 1 to 500 printable characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// Why a text is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a reason has 1 to {LONGEST_REASON} printable characters")]
pub struct InvalidReason;

impl FromStr for Reason {
    type Err = InvalidReason;

    fn from_str(text: &str) -> Result<Self, InvalidReason> {
        let length = text.chars().count();
        match (1..=LONGEST_REASON).contains(&length) && !text.chars().any(char::is_control) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidReason),
        }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(Reason, "Reason", {
    "type": "string",
    "pattern": "^[^\\u0000-\\u001F\\u007F-\\u009F]{1,500}$",
});

/// The name of a master key: 8 bytes that are derived from it and do not lead back to it, written in
/// hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; Fingerprint::BYTES]);

/// A text is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint of a master key has 16 hexadecimal digits, in lower case")]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// Its length, in bytes.
    pub const BYTES: usize = 8;

    /// The fingerprint of these bytes.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let legal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 2 * Self::BYTES || !text.bytes().all(legal) {
            return Err(InvalidFingerprint);
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| InvalidFingerprint)?;
        Ok(Self(number.to_be_bytes()))
    }
}

text!(Fingerprint, "Fingerprint", {
    "type": "string",
    "pattern": "^[0-9a-f]{16}$",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_written() {
        for text in ["0s", "90s", "5m", "24h", "30d", "36h", "1h"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn a_fingerprint_reads_as_it_is_written() {
        let fingerprint = Fingerprint::from_bytes([0, 1, 0xab, 3, 4, 5, 6, 0xff]);
        assert_eq!(fingerprint.to_string(), "0001ab03040506ff");
        assert_eq!("0001ab03040506ff".parse(), Ok(fingerprint));
        for text in [
            "",
            "0001ab03040506f",
            "0001AB03040506FF",
            "+001ab03040506ff",
            "0001ab03040506ff0",
        ] {
            assert_eq!(
                text.parse::<Fingerprint>(),
                Err(InvalidFingerprint),
                "{text}"
            );
        }
    }

    #[test]
    fn durations_in_any_other_form_are_refused() {
        for text in [
            "",
            "5",
            "m",
            "-5m",
            "+5m",
            "1.5h",
            "5 m",
            "5min",
            "1h30m",
            "5M",
            "3651d",
            "99999999999999999999s",
            "٣m",
        ] {
            assert_eq!(parse_duration(text), Err(InvalidDuration), "{text}");
        }
    }
}
