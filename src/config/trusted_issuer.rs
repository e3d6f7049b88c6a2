//! Settings of issuers whose tokens prove who a caller is.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::listener::any_duration;

/// An issuer of tokens that prove who a caller is, such as a Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// What the rules of clients call it.
    pub name: String,
    /// Its `iss`.
    pub issuer: String,
    /// The `aud` that its tokens must have.
    pub audience: String,
    /// The algorithms that it signs with; ES256 and RS256 when nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<String>,
    /// The `typ` of its tokens; absent or `JWT` when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// How far its clock and this one may be apart: 60 s when nothing is said, 5 minutes at most.
    #[serde(default = "default_leeway", with = "any_duration")]
    pub leeway: Duration,
    /// Where its key set is; found by its metadata when neither this nor a file is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// A file with its key set, read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Certificates (PEM) that are trusted when its keys are fetched, beside the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// Clocks of clusters are a few seconds apart, and a token is often used in the second of its `nbf`.
const fn default_leeway() -> Duration {
    Duration::from_secs(60)
}
