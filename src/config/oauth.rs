//! Settings of the OAuth endpoints.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::oauth::Endpoints;

/// The OAuth endpoints on the public listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oauth {
    /// Whether they are served.
    #[serde(default, deserialize_with = "figment::util::bool_from_str_or_int")]
    pub enabled: bool,
    /// The origins whose pages may call them.
    #[serde(default)]
    pub allowed_origins: Vec<Origin>,
    /// Whether client secrets may cross a network to the public listener in the clear.
    #[serde(default, deserialize_with = "figment::util::bool_from_str_or_int")]
    pub allow_plaintext: bool,
}

impl Oauth {
    /// Whether the metadata of issuers names the endpoints.
    pub fn endpoints(&self) -> Endpoints {
        match self.enabled {
            true => Endpoints::On,
            false => Endpoints::Off,
        }
    }
}

/// The origin of a page, as browsers send it: `https://app.example` (RFC 6454 §6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// A text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin such as \"https://app.example\": scheme, host and port, no path")]
pub struct InvalidOrigin(String);

impl Origin {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;

    /// Reads an origin. A browser sends it in one spelling only, and it is compared as text.
    fn try_from(text: String) -> Result<Self, InvalidOrigin> {
        let url = Url::parse(&text).ok();
        let is_origin = url.is_some_and(|url| {
            ["http", "https"].contains(&url.scheme()) && url.origin().ascii_serialization() == text
        });
        is_origin
            .then(|| Self(text.clone()))
            .ok_or(InvalidOrigin(text))
    }
}

impl From<Origin> for String {
    fn from(Origin(text): Origin) -> Self {
        text
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for text in [
            "https://app.example",
            "http://127.0.0.1:3000",
            "http://[::1]:8080",
        ] {
            assert_eq!(Origin::try_from(text.to_owned()).unwrap().as_str(), text);
        }
        for text in [
            "*",
            "null",
            "",
            "app.example",
            "https://app.example/",
            "https://app.example:443",
            "https://App.example",
            "https://app.example/path",
            "https://user@app.example",
            "file:///tmp",
        ] {
            assert!(Origin::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
