//! Verifies JSON Web Tokens against a JSON Web Key Set: strict by default, public keys only.
//!
//! # Why it is shaped like this
//!
//! Most attacks on JWT libraries begin where a library is generous, so this crate makes the generous
//! states impossible to write down instead of checking for them later:
//!
//! - [`Algorithm`] has two values. `none` and the HMAC family are not refused, they do not exist, so
//!   no key of one kind can be fed to an algorithm of another.
//! - [`Jwk`] holds public members only. A document with a private member is an error and not a key,
//!   which is why nothing here can leak one and why no caller has to remember a filter.
//! - A [`Jwk`] names its own algorithm. [`Jws::verify`] compares that with the token's header and with
//!   the list that the caller must give; the header alone never decides.
//! - [`Kid`] is a lookup hint, compared byte for byte. It is never a path, a query or an address, and
//!   the members of a header that carry or point to keys are never looked at.
//! - [`json::parse`] refuses what two parsers could read differently: repeated members, a byte order
//!   mark, numbers that lose their value, nesting without an end. [`Jws::parse`] refuses every second
//!   spelling of the same token for the same reason.
//! - Time is a parameter. [`Expectations::check`] reads no clock, so each of its decisions can be
//!   repeated and tested.
//!
//! Errors name the rule that was broken and, where one helps, a member; they never repeat a token, a
//! claim's value or key material. Those that a verifier meets at run time have a stable `code()`.
//!
//! ```
//! # fn verify(token: &str, published: &[u8], now_seconds: u64) -> Result<(), Box<dyn std::error::Error>> {
//! use keywright_verifier::{Algorithm, Expectations, JwkSet, Jws};
//!
//! let keys = JwkSet::parse(published)?;
//! let jws = Jws::parse(token, 4096)?;
//! jws.verify(&keys, &[Algorithm::Es256])?;
//! let expectations = Expectations {
//!     issuer: Some("https://id.example".to_owned()),
//!     audience: Some("orders".to_owned()),
//!     ..Expectations::default()
//! };
//! expectations.check(jws.typ(), &jws.claims()?, now_seconds)?;
//! # Ok(())
//! # }
//! ```

mod algorithm;
mod base64url;
mod claims;
mod clock;
mod error;
mod excerpt;
mod jwk;
mod jwk_set;
mod jws;
mod keys;
mod kid;
mod rules;
mod verifier;

#[cfg(feature = "axum")]
pub mod axum;
pub mod json;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use claims::ClaimError;
pub use error::{Fault, VerifyError};
pub use jwk::{Jwk, JwkError, MAX_JWK_BYTES, PublicKey, SignatureError};
pub use jwk_set::{JwkSet, JwkSetError, MAX_JWK_SET_BYTES, PassedOver};
pub use jws::{Jws, JwsError, VerifiedJws};
#[cfg(feature = "remote")]
pub use keys::remote::{
    FetchError, InvalidAddress, RemoteKeys, RemoteKeysBuilder, RemoteKeysError,
};
pub use keys::{KeyFile, KeyFileError, KeySource, KeysUnavailable};
pub use kid::{InvalidKid, Kid};
pub use rules::{DEFAULT_MAX_TOKEN_BYTES, InvalidRules, MAX_LEEWAY, Rules};
pub use verifier::{Header, Verified, Verifier};
