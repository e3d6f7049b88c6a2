//! The DPoP proof of a request for a token (RFC 9449 §5).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderName;
use axum::http::request::Parts;
use keywright_verifier::{Dpop, DpopError, DpopProof, DpopRequest, JwsError};

use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::lifecycle::Timestamp;
use crate::oauth::{Endpoint, RequestProof};

/// The header with a proof.
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The header with the nonce of the next proof.
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// What a request proves. Its proof was checked, and is used up when the request is known to be good
/// otherwise: what anyone can send takes no memory.
pub(super) struct UnusedProof<'d> {
    dpop: &'d Dpop,
    now: SystemTime,
    proof: Option<DpopProof>,
}

impl<'d> UnusedProof<'d> {
    /// Reads and checks the proof of a request to the token endpoint, if it has one. It must be for the
    /// endpoint's address in the metadata: neither `Host` nor a forwarded header counts.
    pub(super) fn of(
        dpop: &'d Dpop,
        authority: &Authority,
        issuer: &Issuer,
        parts: &Parts,
    ) -> Result<Self, Problem> {
        let now = wall(authority.now());
        let mut values = parts.headers.get_all(DPOP).iter();
        let proof = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => {
                let value = value.to_str().map_err(|_| JwsError::Character);
                let value = value.map_err(DpopError::from)?;
                let snapshot = issuer.snapshot();
                let request = DpopRequest {
                    proof: value,
                    method: parts.method.as_str(),
                    url: &Endpoint::Token.url(snapshot.set().policy().url.as_str()),
                    access_token: None,
                };
                Some(dpop.check(&request, now)?)
            }
            (Some(_), Some(_)) => return Err(DpopError::NotOne.into()),
        };
        Ok(Self { dpop, now, proof })
    }

    /// Uses the proof up.
    pub(super) fn use_up(self) -> Result<RequestProof, Problem> {
        if let Some(proof) = &self.proof {
            self.dpop.use_up(proof, self.now)?;
        }
        Ok(RequestProof {
            key: self.proof.map(|proof| proof.key()),
        })
    }
}

/// A time as the verifier's crate reads it.
pub(super) fn wall(now: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(now.millis())
}

impl From<DpopError> for Problem {
    fn from(error: DpopError) -> Self {
        match error {
            DpopError::NonceRequired => Self::new(Code::DpopNonceRequired, error),
            DpopError::Replayed => Self::new(Code::DpopProofReplayed, error),
            DpopError::MemoryFull => Self::dpop_memory_full(error),
            _ => Self::new(Code::InvalidDpopProof, error),
        }
    }
}
