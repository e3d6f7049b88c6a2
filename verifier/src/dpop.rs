//! DPoP proofs (RFC 9449): a signed statement of the key's holder about one request.
//!
//! The one place that judges them, for the issuer's token endpoint and for every service that takes bound
//! tokens. Time is a parameter.

mod nonces;
mod replays;
pub(crate) mod url;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::jwk::sha256;
use crate::jws::Inspected;
use crate::rules::same_media_type;
use crate::{Jwk, JwkError, Jws, JwsError, Thumbprint, base64url};
use nonces::DpopNonces;
use replays::Replays;
pub use replays::{DEFAULT_DPOP_PROOFS, DEFAULT_DPOP_PROOFS_PER_KEY};

/// The `typ` of a proof (RFC 9449 §4.2).
pub const DPOP_TYP: &str = "dpop+jwt";

/// The longest proof that is read, in bytes: that of an RSA key of 8192 bits, with a long URL.
pub const MAX_DPOP_PROOF_BYTES: usize = 8192;

/// For how long a proof is accepted after its `iat`, unless [`Dpop::max_age`] says otherwise.
pub const DEFAULT_DPOP_MAX_AGE: Duration = Duration::from_secs(60);

/// How far the clock of a client may be ahead: a proof whose `iat` is later is refused.
pub const MAX_DPOP_CLOCK_LEAD: Duration = Duration::from_secs(10);

/// The longest `jti` and the longest `nonce` that are read, in bytes.
const LONGEST_NAME: usize = 256;

/// How proofs are judged, and which were used. Clones share the memory of used proofs.
#[derive(Clone, Debug)]
pub struct Dpop {
    max_age: Duration,
    nonces: Option<Arc<DpopNonces>>,
    replays: Arc<Replays>,
}

/// The request that a proof must be about.
#[derive(Clone, Copy)]
pub struct DpopRequest<'r> {
    /// The value of the one `DPoP` header.
    pub proof: &'r str,
    /// The method, in its own case: `POST`.
    pub method: &'r str,
    /// The address under which the client reaches this service: `https://api.example/orders`. It must come
    /// from configuration, never from `Host` or a forwarded header, which the sender of a stolen proof
    /// chooses. Query and fragment do not count.
    pub url: &'r str,
    /// The access token of the request, whose hash the proof must have (`ath`, RFC 9449 §4.3). `None` at a
    /// token endpoint, where there is none yet.
    pub access_token: Option<&'r str>,
}

impl Default for Dpop {
    fn default() -> Self {
        Self {
            max_age: DEFAULT_DPOP_MAX_AGE,
            nonces: None,
            replays: Arc::new(Replays::new(
                DEFAULT_DPOP_PROOFS_PER_KEY,
                DEFAULT_DPOP_PROOFS,
            )),
        }
    }
}

impl Dpop {
    /// For how long a proof is accepted after its `iat`. Default: [`DEFAULT_DPOP_MAX_AGE`]. Longer lets a
    /// proof that was stolen before it was used wait longer, and fills the memory sooner.
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Accepts only proofs with a nonce that was issued in the last 5 to 10 minutes (RFC 9449 §8, §9):
    /// a client cannot sign proofs for later. Nonces are an HMAC of the time under `secret`, so replicas that
    /// share the secret accept one another's, and nothing is stored. Default: no nonce is needed.
    #[must_use]
    pub fn require_nonces(mut self, secret: &[u8; 32]) -> Self {
        self.nonces = Some(Arc::new(DpopNonces::new(secret)));
        self
    }

    /// How many used proofs are remembered of one key and of all keys, until they have expired. Default:
    /// [`DEFAULT_DPOP_PROOFS_PER_KEY`] and [`DEFAULT_DPOP_PROOFS`]. Where the memory is full a proof is
    /// refused, because it could not be told from a repeated one.
    #[must_use]
    pub fn remember(mut self, of_a_key: usize, of_all: usize) -> Self {
        self.replays = Arc::new(Replays::new(of_a_key, of_all));
        self
    }

    /// The nonce to answer with in `DPoP-Nonce`; `None` unless [`Dpop::require_nonces`] is set.
    pub fn nonce(&self, now: SystemTime) -> Option<String> {
        let nonces = self.nonces.as_ref()?;
        Some(nonces.current(now))
    }

    /// The proof of a request, from the values of its `DPoP` headers; `None` if there are none. At most one
    /// is allowed (RFC 9449 §4.3).
    ///
    /// # Errors
    ///
    /// [`DpopError::NotOne`], and [`DpopError::Form`] for a value that is not ASCII.
    pub fn proof_of<'h>(
        values: impl IntoIterator<Item = &'h [u8]>,
    ) -> Result<Option<&'h str>, DpopError> {
        let mut values = values.into_iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(DpopError::NotOne);
        }
        let text = std::str::from_utf8(value)
            .ok()
            .filter(|text| text.is_ascii());
        Ok(Some(text.ok_or(JwsError::Character)?))
    }

    /// Judges a proof (RFC 9449 §4.3), but for whether it was used before: see [`Dpop::use_up`].
    ///
    /// # Errors
    ///
    /// [`DpopError`]; no variant repeats the proof or a value of it.
    pub fn check(
        &self,
        request: &DpopRequest<'_>,
        now: SystemTime,
    ) -> Result<DpopProof, DpopError> {
        let jws = Jws::parse(request.proof, MAX_DPOP_PROOF_BYTES)?;
        if !jws.typ().is_some_and(|typ| same_media_type(typ, DPOP_TYP)) {
            return Err(DpopError::WrongType);
        }
        let Inspected { mut header, claims } = Jws::inspect(request.proof, MAX_DPOP_PROOF_BYTES)?;
        let key = header.remove("jwk").ok_or(DpopError::KeyMissing)?;
        let key = Jwk::from_value(key)?;
        if key.algorithm() != jws.algorithm() {
            return Err(JwsError::AlgorithmMismatch.into());
        }
        jws.verify_with(&key)?;
        if text(&claims, "htm")? != request.method {
            return Err(DpopError::WrongMethod);
        }
        let expected = url::normalized(request.url).ok_or(DpopError::WrongUrl)?;
        if url::normalized(text(&claims, "htu")?).as_ref() != Some(&expected) {
            return Err(DpopError::WrongUrl);
        }
        let issued_at = self.check_time(&claims, now)?;
        if let Some(token) = request.access_token {
            let hash = base64url::encode(&sha256(&[token.as_bytes()]));
            if text(&claims, "ath")? != hash {
                return Err(DpopError::WrongToken);
            }
        }
        self.check_nonce(&claims, now)?;
        let jti = name(&claims, "jti")?;
        // Each part but the last has its length in front, so that no two requests hash the same bytes.
        let length = |part: &str| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes();
        let identity = sha256(&[
            key.digest(),
            &length(jti),
            jti.as_bytes(),
            &length(request.method),
            request.method.as_bytes(),
            expected.as_bytes(),
        ]);
        Ok(DpopProof {
            key: Thumbprint::from_octets(*key.digest()),
            identity,
            issued_at,
        })
    }

    /// Uses a proof up. Do this last: only a request that is accepted otherwise should take memory.
    ///
    /// # Errors
    ///
    /// [`DpopError::Replayed`], [`DpopError::TooOld`] when it may have been used and forgotten, and
    /// [`DpopError::MemoryFull`].
    pub fn use_up(&self, proof: &DpopProof, now: SystemTime) -> Result<(), DpopError> {
        let remembered_for = self.max_age + MAX_DPOP_CLOCK_LEAD;
        self.replays.enter(proof, since_epoch(now), remembered_for)
    }

    fn check_time(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<Duration, DpopError> {
        let seconds = claims.get("iat").and_then(Value::as_f64);
        let seconds = seconds.ok_or(DpopError::Claim("iat"))?;
        let issued_at =
            Duration::try_from_secs_f64(seconds).map_err(|_| DpopError::Claim("iat"))?;
        let now = since_epoch(now);
        if issued_at > now.saturating_add(MAX_DPOP_CLOCK_LEAD) {
            return Err(DpopError::FromTheFuture);
        }
        if now > issued_at.saturating_add(self.max_age) {
            return Err(DpopError::TooOld);
        }
        Ok(issued_at)
    }

    fn check_nonce(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<(), DpopError> {
        let Some(nonces) = &self.nonces else {
            return Ok(());
        };
        if !claims.contains_key("nonce") {
            return Err(DpopError::NonceRequired);
        }
        match nonces.accept(name(claims, "nonce")?, now) {
            true => Ok(()),
            false => Err(DpopError::NonceRequired),
        }
    }
}

/// A proof that is about the request, and may have been used before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DpopProof {
    key: Thumbprint,
    /// The hash of the key, `jti`, method and URL.
    identity: [u8; 32],
    /// `iat`, since 1970.
    issued_at: Duration,
}

impl DpopProof {
    /// The thumbprint of the key that has signed it: the `jkt` of tokens that are bound to it (RFC 9449 §6.1).
    pub const fn key(&self) -> Thumbprint {
        self.key
    }
}

/// Without the proof and the token, which are credentials.
impl fmt::Debug for DpopRequest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DpopRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Why a proof is refused. No variant holds the proof or a value of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DpopError {
    /// The request has several `DPoP` headers.
    #[error("the request has more than one DPoP header")]
    NotOne,
    /// It is no signed token, or its own key has not signed it.
    #[error("the DPoP proof is not acceptable: {0}")]
    Form(#[from] JwsError),
    /// `typ` of its header is not `dpop+jwt`.
    #[error("typ of the DPoP proof is not dpop+jwt")]
    WrongType,
    /// Its header has no `jwk`.
    #[error("the header of the DPoP proof has no jwk")]
    KeyMissing,
    /// `jwk` of its header is not a public ES256 or RS256 key.
    #[error("jwk of the DPoP proof is not acceptable: {0}")]
    Key(#[from] JwkError),
    /// A claim is missing, or has a wrong type or length.
    #[error("claim \"{0}\" of the DPoP proof is missing or malformed")]
    Claim(&'static str),
    /// It is about another method.
    #[error("htm of the DPoP proof is not the method of the request")]
    WrongMethod,
    /// It is about another address.
    #[error("htu of the DPoP proof is not the URL of the request")]
    WrongUrl,
    /// It is about another access token.
    #[error("ath of the DPoP proof is not the hash of the access token")]
    WrongToken,
    /// Its `iat` is later than the clock, with [`MAX_DPOP_CLOCK_LEAD`].
    #[error("iat of the DPoP proof is in the future")]
    FromTheFuture,
    /// Its `iat` is too long ago.
    #[error("the DPoP proof is too old")]
    TooOld,
    /// It was used before.
    #[error("the DPoP proof was used before")]
    Replayed,
    /// It has no nonce, or one that is not valid any more. Answer with [`Dpop::nonce`].
    #[error("the DPoP proof needs the nonce of the header DPoP-Nonce")]
    NonceRequired,
    /// No more used proofs can be remembered now. The proof may be good: answer with 503.
    #[error("too many DPoP proofs were used in the last minute")]
    MemoryFull,
}

impl DpopError {
    /// A stable name for programs: `dpop-nonce-required`, `dpop-proof-replayed`, `dpop-memory-full` or
    /// `invalid-dpop-proof`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NonceRequired => "dpop-nonce-required",
            Self::Replayed => "dpop-proof-replayed",
            Self::MemoryFull => "dpop-memory-full",
            _ => "invalid-dpop-proof",
        }
    }
}

/// A claim that is a string.
fn text<'c>(claims: &'c Map<String, Value>, claim: &'static str) -> Result<&'c str, DpopError> {
    let value = claims.get(claim).and_then(Value::as_str);
    value.ok_or(DpopError::Claim(claim))
}

/// A claim that is a string of a name's length.
fn name<'c>(claims: &'c Map<String, Value>, claim: &'static str) -> Result<&'c str, DpopError> {
    let text = text(claims, claim)?;
    match (1..=LONGEST_NAME).contains(&text.len()) {
        true => Ok(text),
        false => Err(DpopError::Claim(claim)),
    }
}

/// The wall clock as a duration. No proof is from before 1970.
fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
