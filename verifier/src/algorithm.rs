//! Signature algorithms (RFC 7518 §3.1).

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::excerpt::excerpt;

/// A signature algorithm that keywright knows: the `alg` of a header and of a JWK.
///
/// Both are asymmetric. There is no value for `none` or for the HMAC family, so code that holds an
/// `Algorithm` cannot be talked into either (RFC 8725 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256; signatures are 64 octets, r then s (RFC 7518 §3.4).
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256; signatures are as long as the modulus (RFC 7518 §3.3).
    Rs256,
}

impl Algorithm {
    /// Every algorithm, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Es256, Self::Rs256];

    /// The registered name: `ES256` or `RS256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Parses the registered name. Case matters (RFC 7515 §4.1.1), and nothing is trimmed.
    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| UnknownAlgorithm(excerpt(text, 32)))
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The name lets a deserializer say which kind of text is wrong.
        #[derive(Deserialize)]
        #[serde(rename = "Algorithm")]
        struct Text(#[serde(deserialize_with = "parse")] Algorithm);

        fn parse<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        }

        Text::deserialize(deserializer).map(|Text(value)| value)
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for Algorithm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Algorithm".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names = Self::ALL.map(Self::as_str);
        schemars::json_schema!({
            "type": "string",
            "enum": names,
            "description": "A signature algorithm (RFC 7518 §3.1)."
        })
    }
}

/// A name that is not one of [`Algorithm::ALL`].
///
/// Holds at most 32 characters of the name, escaped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("algorithm \"{0}\" is not one of ES256, RS256")]
pub struct UnknownAlgorithm(String);

#[cfg(test)]
mod tests {
    use super::Algorithm;

    #[test]
    fn names_are_the_registered_ones_and_parse_back() {
        let names = Algorithm::ALL.map(Algorithm::as_str);
        assert_eq!(names, ["ES256", "RS256"]);
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
    }

    // Attacks 1, 2, 3 and 4: no spelling of `none`, no other case and no HMAC name is a value.
    #[test]
    fn none_hmac_and_other_spellings_are_not_algorithms() {
        for name in [
            "none", "nOnE", "None", "HS256", "HS384", "HS512", "es256", "Rs256", "PS256", "ES384",
            "ES256K", " ES256", "ES256 ", "",
        ] {
            assert!(name.parse::<Algorithm>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_error_names_the_value_and_what_is_known() {
        let error = "HS256".parse::<Algorithm>().unwrap_err().to_string();
        assert_eq!(error, "algorithm \"HS256\" is not one of ES256, RS256");
    }

    #[test]
    fn the_error_repeats_at_most_32_characters() {
        let error = "x"
            .repeat(5000)
            .parse::<Algorithm>()
            .unwrap_err()
            .to_string();
        assert_eq!(error.matches('x').count(), 29, "{error}");
    }

    #[test]
    fn serde_uses_the_name_and_refuses_any_other() {
        assert_eq!(
            serde_json::to_string(&Algorithm::Rs256).unwrap(),
            "\"RS256\""
        );
        let parsed: Algorithm = serde_json::from_str("\"ES256\"").unwrap();
        assert_eq!(parsed, Algorithm::Es256);
        assert!(serde_json::from_str::<Algorithm>("\"Es256\"").is_err());
        assert!(serde_json::from_str::<Algorithm>("0").is_err());
    }
}
