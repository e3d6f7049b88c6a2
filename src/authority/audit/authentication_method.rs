//! How a caller proved who it is, as an event says it.

use serde::Serialize;

use crate::access::session::SessionProof;

/// How a caller proved who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "via", rename_all = "kebab-case")]
pub enum AuthenticationMethod {
    /// A bearer credential.
    Credential {
        /// Its name among the client's credentials.
        credential: String,
    },
    /// A TLS certificate.
    Certificate {
        /// Its SHA-256 thumbprint in base64url.
        sha256: String,
    },
    /// An assertion that the client signed itself.
    Assertion {
        /// Its `jti`.
        jti: String,
    },
    /// A token of a trusted issuer.
    Workload {
        /// The trusted issuer's name in the configuration.
        issuer: String,
        /// Whose token it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
    },
    /// The console, and what its session was opened with, or the certificate of the connection.
    Console(SessionProof),
}

impl AuthenticationMethod {
    /// The same by way of the console.
    pub fn in_console(self) -> Self {
        Self::Console(match self {
            Self::Console(proof) => proof,
            Self::Credential { credential } => SessionProof {
                credential: Some(credential),
                ..SessionProof::default()
            },
            Self::Certificate { sha256 } => SessionProof {
                sha256: Some(sha256),
                ..SessionProof::default()
            },
            Self::Assertion { jti } => SessionProof {
                jti: Some(jti),
                ..SessionProof::default()
            },
            Self::Workload { issuer, subject } => SessionProof {
                issuer: Some(issuer),
                subject,
                ..SessionProof::default()
            },
        })
    }
}
