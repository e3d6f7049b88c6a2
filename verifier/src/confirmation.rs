//! What a token is bound to (RFC 7800 §3), and what a request proves.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::dpop::{DpopError, DpopRequest};
use crate::json::{AnyValue as _, BorrowedValue, Members};
use crate::jwk::sha256;
use crate::{ClaimError, base64url};

/// A SHA-256 thumbprint: of a public key (RFC 7638) or of a certificate (RFC 8705 §3.1). Its text is base64url, 43
/// characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint with these octets.
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The thumbprint of a certificate in DER: its `x5t#S256`.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(sha256(&[der]))
    }

    /// The octets.
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&base64url::encode(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Thumbprint({self})")
    }
}

impl FromStr for Thumbprint {
    type Err = InvalidThumbprint;

    fn from_str(text: &str) -> Result<Self, InvalidThumbprint> {
        let octets = base64url::decode(text).ok_or(InvalidThumbprint)?;
        octets.try_into().map(Self).map_err(|_| InvalidThumbprint)
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text is no thumbprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a SHA-256 thumbprint is 43 characters of base64url")]
pub struct InvalidThumbprint;

/// What a token is bound to: its claim `cnf`. All of it must be proven.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Confirmation {
    /// `jkt`: the key of DPoP proofs (RFC 9449 §6.1).
    #[serde(rename = "jkt", skip_serializing_if = "Option::is_none")]
    pub key: Option<Thumbprint>,
    /// `x5t#S256`: the certificate of the TLS connection (RFC 8705 §3.1).
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Thumbprint>,
}

impl Confirmation {
    /// A binding to a key.
    pub const fn key(thumbprint: Thumbprint) -> Self {
        Self {
            key: Some(thumbprint),
            certificate: None,
        }
    }

    /// A binding to a certificate.
    pub const fn certificate(thumbprint: Thumbprint) -> Self {
        Self {
            key: None,
            certificate: Some(thumbprint),
        }
    }

    /// Reads the claim `cnf`, if there is one.
    ///
    /// # Errors
    ///
    /// [`BindingError`]: it is none that this library knows.
    pub fn of(claims: &Members<'_>) -> Result<Option<Self>, BindingError> {
        let Some(value) = claims.get("cnf") else {
            return Ok(None);
        };
        let BorrowedValue::Object(members) = value else {
            let expected = "an object";
            return Err(BindingError::Claim(ClaimError::Malformed {
                claim: "cnf",
                expected,
            }));
        };
        let mut confirmation = Self::default();
        for (name, value) in members.iter() {
            // What is not known here cannot be checked: the token is not let pass as one that is not bound.
            let thumbprint = value.as_str().and_then(|text| text.parse().ok());
            let thumbprint = thumbprint.ok_or(BindingError::UnknownConfirmation)?;
            match name {
                "jkt" => confirmation.key = Some(thumbprint),
                "x5t#S256" => confirmation.certificate = Some(thumbprint),
                _ => return Err(BindingError::UnknownConfirmation),
            }
        }
        match confirmation == Self::default() {
            true => Err(BindingError::UnknownConfirmation),
            false => Ok(Some(confirmation)),
        }
    }
}

/// What a request proves besides its token: nothing, unless it is said.
#[derive(Clone, Copy, Default, Debug)]
pub struct Possession<'r> {
    pub(crate) dpop: Option<DpopRequest<'r>>,
    pub(crate) certificate: Option<Thumbprint>,
}

impl<'r> Possession<'r> {
    /// Nothing: a bound token is refused.
    pub const fn none() -> Self {
        Self {
            dpop: None,
            certificate: None,
        }
    }

    /// The token came as `Authorization: DPoP` with this proof, which is for this method and address. The
    /// address must come from configuration: [`DpopRequest::url`].
    #[must_use]
    pub const fn with_dpop(mut self, proof: &'r str, method: &'r str, url: &'r str) -> Self {
        self.dpop = Some(DpopRequest {
            proof,
            method,
            url,
            access_token: None,
        });
        self
    }

    /// The connection was opened with this client certificate, whose key the TLS handshake has proven. A
    /// certificate from a header proves nothing, unless a proxy that sets it always is the only way in.
    #[must_use]
    pub const fn with_certificate(mut self, certificate: Thumbprint) -> Self {
        self.certificate = Some(certificate);
        self
    }
}

/// Why a request may not use its token, which is valid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// The token is bound to a key, and the request has no proof of it (RFC 9449 §7.1). It may have been sent as
    /// a bearer token, which is refused whether or not there is a proof (§7.2).
    #[error("the token is bound to a key, and the request does not prove that it has the key")]
    ProofMissing,
    /// The token is bound to a certificate, and the connection has none (RFC 8705 §3).
    #[error("the token is bound to a certificate, and the connection has none")]
    CertificateMissing,
    /// The proof is that of another key.
    #[error("the token is bound to another key")]
    OtherKey,
    /// The certificate is another one.
    #[error("the token is bound to another certificate")]
    OtherCertificate,
    /// The token came with a proof, and is bound to no key.
    #[error("the token is not bound to a key; present it as a bearer token")]
    NotBound,
    /// `cnf` has a way of binding that is not known here, or none.
    #[error("the token is bound in a way that cannot be checked here")]
    UnknownConfirmation,
    /// `cnf` is no object.
    #[error(transparent)]
    Claim(ClaimError),
    /// The proof is refused.
    #[error(transparent)]
    Dpop(#[from] DpopError),
}

impl BindingError {
    /// A stable name for programs: `proof-missing`, `proof-mismatch`, `token-not-bound`,
    /// `confirmation-unknown`, `claim-malformed`, or that of [`DpopError::code`].
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ProofMissing | Self::CertificateMissing => "proof-missing",
            Self::OtherKey | Self::OtherCertificate => "proof-mismatch",
            Self::NotBound => "token-not-bound",
            Self::UnknownConfirmation => "confirmation-unknown",
            Self::Claim(error) => error.code(),
            Self::Dpop(error) => error.code(),
        }
    }
}
