//! Key identifiers (RFC 7517 §4.5).

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base64url;

/// A key identifier: 1 to 256 bytes of visible ASCII (`0x21` to `0x7e`).
///
/// A `Kid` is compared byte for byte and used for nothing else: never as a path, a query or an
/// address. Its alphabet keeps it on one line in logs and whole in headers. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Kid(Arc<str>);

impl Kid {
    /// The most bytes that a key identifier may have.
    pub const MAX_BYTES: usize = 256;

    /// Checks `text` and keeps a copy of it.
    ///
    /// # Errors
    ///
    /// [`InvalidKid`] when the text is empty, longer than [`Kid::MAX_BYTES`], or holds anything but
    /// visible ASCII.
    pub fn parse(text: &str) -> Result<Self, InvalidKid> {
        if text.is_empty() {
            return Err(InvalidKid::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidKid::TooLong { bytes: text.len() });
        }
        if let Some(at) = text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(InvalidKid::NotVisibleAscii { at });
        }
        Ok(Self(Arc::from(text)))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The identifier that is a whole SHA-256 digest in base64url (RFC 7638 §3), 43 characters.
    pub(crate) fn from_digest(digest: &[u8]) -> Self {
        Self(Arc::from(base64url::encode(digest)))
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for Kid {
    type Err = InvalidKid;

    fn from_str(text: &str) -> Result<Self, InvalidKid> {
        Self::parse(text)
    }
}

impl Borrow<str> for Kid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Kid {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for Kid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The name lets a deserializer say which kind of text is wrong.
        #[derive(Deserialize)]
        #[serde(rename = "Kid")]
        struct Text(#[serde(deserialize_with = "parse")] Kid);

        fn parse<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kid, D::Error> {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        }

        Text::deserialize(deserializer).map(|Text(value)| value)
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for Kid {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kid".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[!-~]{1,256}$"})
    }
}

/// Why a text is not a [`Kid`]. Never holds the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidKid {
    /// The text has no bytes.
    #[error("a kid must not be empty")]
    Empty,
    /// The text is longer than [`Kid::MAX_BYTES`].
    #[error("a kid of {bytes} bytes is longer than 256")]
    TooLong {
        /// The length of the text in bytes.
        bytes: usize,
    },
    /// The text holds a control character, white space, or a character outside ASCII.
    #[error("a kid must be visible ASCII, byte {at} is not")]
    NotVisibleAscii {
        /// The offset of the first such byte, from 0.
        at: usize,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::{InvalidKid, Kid};

    #[test]
    fn every_visible_ascii_character_is_accepted() {
        let text: String = ('\u{21}'..='\u{7e}').collect();
        assert_eq!(Kid::parse(&text).unwrap().as_str(), text);
    }

    #[test]
    fn the_length_is_1_to_256_bytes() {
        assert_eq!(Kid::parse(""), Err(InvalidKid::Empty));
        assert!(Kid::parse("k").is_ok());
        assert!(Kid::parse(&"k".repeat(256)).is_ok());
        assert_eq!(
            Kid::parse(&"k".repeat(257)),
            Err(InvalidKid::TooLong { bytes: 257 })
        );
    }

    // Attack 41: neither NUL nor line breaks nor anything outside ASCII reaches a lookup or a log.
    #[test]
    fn spaces_control_characters_and_non_ascii_are_refused_with_their_place() {
        for text in ["a b", "a\0b", "a\nb", "a\u{7f}b", "aéb", "a\u{202e}b"] {
            assert_eq!(
                Kid::parse(text),
                Err(InvalidKid::NotVisibleAscii { at: 1 }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn maps_are_searched_by_text_without_making_a_kid() {
        let kid: Kid = "k1".parse().unwrap();
        assert_eq!(HashMap::from([(kid.clone(), 1)]).get("k1"), Some(&1));
        assert_eq!(BTreeMap::from([(kid, 1)]).get("k1"), Some(&1));
    }

    #[test]
    fn serde_writes_the_text_and_refuses_what_parse_refuses() {
        let kid = Kid::parse("k\"1").unwrap();
        assert_eq!(serde_json::to_string(&kid).unwrap(), r#""k\"1""#);
        assert_eq!(serde_json::from_str::<Kid>(r#""k\"1""#).unwrap(), kid);
        assert!(serde_json::from_str::<Kid>("\"a b\"").is_err());
    }

    #[test]
    fn the_error_does_not_repeat_the_text() {
        let error = Kid::parse("secret text").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
