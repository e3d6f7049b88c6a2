//! Settings of traces.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use super::ConfigError;

/// Where traces go, and how much is traced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// The collector that takes traces; without one, nothing is traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// How much is traced of what comes without a decision of its caller's.
    pub trace_share: TraceShare,
}

impl Telemetry {
    /// Refuses a collector where spans cannot be sent.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self.otlp_endpoint {
            Some(_) if cfg!(not(feature = "otlp")) => Err(ConfigError::NoOtlp),
            _ => Ok(()),
        }
    }
}

/// The URL of a collector, under which it takes traces at `/v1/traces` (OTLP over HTTP).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OtlpEndpoint(Url);

/// A text is not the URL of a collector. It is not repeated: it may have a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the URL of a collector such as \"http://127.0.0.1:4318\": http or https, without user, query and \
     fragment"
)]
pub struct InvalidOtlpEndpoint;

impl OtlpEndpoint {
    /// The URL.
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl TryFrom<String> for OtlpEndpoint {
    type Error = InvalidOtlpEndpoint;

    fn try_from(text: String) -> Result<Self, InvalidOtlpEndpoint> {
        let url = Url::parse(&text).map_err(|_| InvalidOtlpEndpoint)?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let is_usable = ["http", "https"].contains(&url.scheme()) && url.has_host() && is_plain;
        is_usable.then_some(Self(url)).ok_or(InvalidOtlpEndpoint)
    }
}

impl From<OtlpEndpoint> for String {
    fn from(OtlpEndpoint(url): OtlpEndpoint) -> Self {
        url.into()
    }
}

impl fmt::Debug for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

/// A share, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct TraceShare(f64);

// No share is not a number.
impl Eq for TraceShare {}

/// A number is no share.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not a share from 0 to 1, such as 0.01")]
pub struct InvalidTraceShare(f64);

impl Default for TraceShare {
    /// One in a hundred.
    fn default() -> Self {
        Self(0.01)
    }
}

impl TryFrom<f64> for TraceShare {
    type Error = InvalidTraceShare;

    fn try_from(share: f64) -> Result<Self, InvalidTraceShare> {
        (0.0..=1.0)
            .contains(&share)
            .then_some(Self(share))
            .ok_or(InvalidTraceShare(share))
    }
}

impl From<TraceShare> for f64 {
    fn from(TraceShare(share): TraceShare) -> Self {
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_a_plain_url() {
        for text in [
            "http://127.0.0.1:4318",
            "https://otel.example/tenant",
            "http://[::1]:4318/",
        ] {
            assert!(OtlpEndpoint::try_from(text.to_owned()).is_ok(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:4318",
            "grpc://127.0.0.1:4317",
            "unix:/run/otel.sock",
            "https://user:secret@otel.example",
            "https://otel.example/?key=secret",
            "https://otel.example/#traces",
        ] {
            assert!(OtlpEndpoint::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_from_0_to_1() {
        for share in [0.0, 0.01, 1.0] {
            assert!(TraceShare::try_from(share).is_ok(), "{share}");
        }
        for share in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
            assert!(TraceShare::try_from(share).is_err(), "{share}");
        }
    }
}
