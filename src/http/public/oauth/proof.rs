//! What a request for a token proves besides its client: the key of its DPoP proof (RFC 9449 §5), and the
//! certificate of its connection (RFC 8705 §3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use keywright_verifier::{Dpop, DpopError, DpopProof, DpopRequest, Thumbprint};

use super::Door;
use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::http::code::Code;
use crate::http::connection::Peer;
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
    certificate: Option<Thumbprint>,
}

impl<'d> UnusedProof<'d> {
    /// Reads and checks the proof of a request to the token endpoint, if it has one. It must be for the
    /// endpoint's address in the metadata: neither `Host` nor a forwarded header counts.
    pub(super) fn of(
        dpop: &'d Dpop,
        authority: &Authority,
        issuer: &Issuer,
        door: &Door,
        parts: &Parts,
    ) -> Result<Self, Problem> {
        let now = wall(authority.now());
        let values = parts.headers.get_all(DPOP).iter();
        let proof = match Dpop::proof_of(values.map(HeaderValue::as_bytes))? {
            None => None,
            Some(proof) => {
                let snapshot = issuer.snapshot();
                let url = door.url_of(&snapshot.set().policy().url);
                let request = DpopRequest {
                    proof,
                    method: parts.method.as_str(),
                    url: &Endpoint::Token.url(&url),
                    access_token: None,
                };
                Some(dpop.check(&request, now)?)
            }
        };
        let peer = parts.extensions.get::<Peer>();
        let certificate = peer.and_then(|peer| peer.certificate.as_ref());
        Ok(Self {
            dpop,
            now,
            proof,
            certificate: certificate.map(|shown| Thumbprint::from_octets(shown.thumbprint)),
        })
    }

    /// Uses the proof up.
    pub(super) fn use_up(self) -> Result<RequestProof, Problem> {
        if let Some(proof) = &self.proof {
            self.dpop.use_up(proof, self.now)?;
        }
        Ok(RequestProof {
            key: self.proof.map(|proof| proof.key()),
            certificate: self.certificate,
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
