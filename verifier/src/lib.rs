//! Verifies JSON Web Tokens against an issuer's public keys: right by default, hard to misuse, fast,
//! and calm when the network is not.
//!
//! It works with any issuer that publishes a JWKS and signs with ES256 or RS256. A verifier is built
//! from what must be named, issuer, audience and algorithms, and from a source of keys:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Ijl0cHhKMHNRQkpaYnZJaGhvVjVyWTVnbFZLMmlIMC1DWkYydTNCNmc2bGMifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwic3ViIjoidXNlci0xIiwiYXVkIjoib3JkZXJzIiwiaWF0IjoxNzY3MjI1NTQwLCJleHAiOjE3NjcyMjY0NDAsImp0aSI6ImExIiwic2NvcGUiOiJvcmRlcnM6cmVhZCJ9.WZPhoohNNkGd8S2h-jy_p8fuuHhvoA9PiV51bj0uyzlFrTfr72QG7tY0kg1cSGeaqxzHO58kSjN0v_oUzL6PJA";
//! # const PUBLISHED: &[u8] = include_bytes!("../tests/conformance/published.json");
//! use std::time::{Duration, UNIX_EPOCH};
//!
//! use keywright_verifier::{Algorithm, Fault, JwkSet, Rules, Verifier};
//!
//! #[derive(serde::Deserialize)]
//! struct Claims {
//!     sub: String,
//!     scope: String,
//! }
//!
//! let rules = Rules::new("https://id.example.com", "orders", [Algorithm::Es256]);
//! let verifier = Verifier::new(rules, JwkSet::parse(PUBLISHED)?)?;
//!
//! // In a service: verifier.verify::<Claims>(TOKEN).await. Here at another time than now.
//! let then = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
//! let token = verifier.verify_with_held_keys::<Claims>(TOKEN, then)?;
//! assert_eq!(token.claims.sub, "user-1");
//! assert_eq!(token.claims.scope, "orders:read");
//!
//! // An hour later it has expired: genuine, and too late.
//! let later = then + Duration::from_secs(3600);
//! let error = verifier.verify_with_held_keys::<Claims>(TOKEN, later).unwrap_err();
//! assert_eq!((error.code(), error.fault()), ("token-expired", Fault::Time));
//! # Ok(())
//! # }
//! ```
//!
//! Keys come from a [`JwkSet`], from a [`KeyFile`] that is read again when it changes, or, with the feature
//! `remote`, from the issuer itself:
//!
#![cfg_attr(feature = "remote", doc = "```")]
#![cfg_attr(not(feature = "remote"), doc = "```ignore")]
//! # async fn run(token: &str) -> Result<(), Box<dyn std::error::Error>> {
//! # #[derive(serde::Deserialize)]
//! # struct Claims { sub: String }
//! use keywright_verifier::{Algorithm, RemoteKeys, Rules, Verifier};
//!
//! let issuer = "https://id.example.com";
//! let keys = RemoteKeys::of_issuer(issuer).start()?;
//! let rules = Rules::new(issuer, "orders", [Algorithm::Es256]).typ("at+jwt");
//! let verifier = Verifier::new(rules, keys)?;
//! let token = verifier.verify::<Claims>(token).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Tokens that were taken back
//!
//! With the feature `revocations` a verifier follows what its issuer has revoked: users that are banned,
//! sessions that have ended, tokens that were stolen. It takes one line, here with the issuer's feed:
//!
#![cfg_attr(all(feature = "remote", feature = "revocations"), doc = "```")]
#![cfg_attr(
    not(all(feature = "remote", feature = "revocations")),
    doc = "```ignore"
)]
//! # async fn run(rules: keywright_verifier::Rules) -> Result<(), Box<dyn std::error::Error>> {
//! # let issuer = "https://id.example.com";
//! # let keys = keywright_verifier::RemoteKeys::of_issuer(issuer).start()?;
//! use keywright_verifier::{RevocationFeed, Verifier};
//!
//! let verifier = Verifier::new(rules, keys)?.with_revocations(RevocationFeed::of_issuer(issuer))?;
//! # Ok(())
//! # }
//! ```
//!
//! A revoked token is expected to be refused after about 2 s, and guaranteed to be after the `max_age` of
//! the feed, a minute by default, or a bound of the verifier's own: then a verifier that cannot reach the
//! feed refuses every token that is as old. Without a network, a signed file does the same:
//!
#![cfg_attr(feature = "revocations", doc = "```")]
#![cfg_attr(not(feature = "revocations"), doc = "```ignore")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/revocations/example");
//! # let path = |name: &str| format!("{folder}/{name}");
//! # let token = |session: &str| std::fs::read_to_string(path(session));
//! use std::time::{Duration, UNIX_EPOCH};
//!
//! use keywright_verifier::{Algorithm, KeyFile, RevocationFile, Rules, Verifier};
//! use serde_json::Value;
//!
//! let rules = Rules::new("https://id.example.com", "orders", [Algorithm::Es256]);
//! let keys = KeyFile::open(path("keys.json"))?;
//! let file = RevocationFile::open(path("revocations.json"))?;
//! let verifier = Verifier::new(rules, keys)?.with_revocations(file)?;
//!
//! // A minute after the file was signed, one of two sessions has ended.
//! let then = UNIX_EPOCH + Duration::from_secs(1_735_689_660);
//! let ended = verifier.verify_with_held_keys::<Value>(&token("session-1.jwt")?, then);
//! let error = ended.unwrap_err();
//! assert_eq!(error.code(), "revoked");
//! assert_eq!(error.to_string(), "the token was revoked by its session");
//! let other = verifier.verify_with_held_keys::<Value>(&token("session-2.jwt")?, then)?;
//! assert_eq!(other.vouched_at, Some(then - Duration::from_secs(60)));
//! # Ok(())
//! # }
//! ```
//!
//! # Tokens that are bound to a key or a certificate
//!
//! A token with a claim `cnf` is worth something only together with a proof: of a key that signs each
//! request (DPoP, RFC 9449), or of the certificate of the connection (RFC 8705). [`Verifier::verify`] refuses
//! it, so that a service that does not check proofs does not take a stolen token for a bearer token.
//! [`Verifier::verify_bound`] takes what the request proves:
//!
//! ```
//! # async fn run(verifier: keywright_verifier::Verifier, token: &str, proof: &str)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! # #[derive(serde::Deserialize)]
//! # struct Claims { sub: String }
//! use keywright_verifier::Possession;
//!
//! // The address is the one in this service's configuration, never that of a header.
//! let possession = Possession::none().with_dpop(proof, "GET", "https://api.example/orders");
//! let token = verifier.verify_bound::<Claims>(token, &possession).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each proof counts once in a process ([`Dpop`]).
//!
//! # Tokens that count once
//!
//! A token with the claim `single_use` is good for one call, at whichever service it comes first. Its issuer
//! keeps count. A verifier refuses it as [`SingleUseError::NoConsumer`] until it is told how to ask:
//! [`Verifier::consume_with`] takes a [`TokenConsumer`], which is called when everything else about a token is
//! good.
//!
//! # Features
//!
//! All are off by default.
//!
//! - `remote`: [`RemoteKeys`](https://docs.rs/keywright-verifier), which fetches an issuer's keys and
//!   keeps them fresh in the background. Needs tokio.
//! - `revocations`: tokens that the issuer has taken back are refused, by a signed file, and with the
//!   feature `remote` by the issuer's feed. The format is in [`revocation`], with or without it.
//! - `status-lists`: tokens whose issuer says in a status list (Token Status List, draft 21) that they are
//!   no longer valid are refused. For tokens of other systems; those of keywright are taken back for more
//!   reasons than a list says, which `revocations` reads. Needs `remote`. The format is in `status_list`.
//! - `aws-lc`: RSA signatures are verified by aws-lc-rs, with keys that are parsed once: a third more
//!   a second. It is larger to build than ring, which still verifies ES256.
//! - `axum`: a layer that lets only requests with a good token pass, guards for scopes and claims, and
//!   an extractor for handlers, in a module of that name.
//!
//! # Why it is shaped like this
//!
//! Most attacks on JWT libraries begin where a library is generous, so this crate makes the generous
//! states impossible to write down instead of checking for them later:
//!
//! - [`Algorithm`] has two values. `none` and the HMAC family are not refused, they do not exist, so
//!   no key of one kind can be fed to an algorithm of another.
//! - [`Rules`] begin with issuer, audience and algorithms, because none of them has a default that
//!   would be right. What accepts more says `danger`.
//! - [`Jwk`] holds public members only, and names its own algorithm. The token's header alone never
//!   decides how it is verified.
//! - [`Kid`] is a lookup hint, compared byte for byte. It is never a path, a query or an address, and
//!   the members of a header that carry or point to keys are never looked at.
//! - [`json::parse`] refuses what two parsers could read differently: repeated members, a byte order
//!   mark, numbers that lose their value, nesting without an end. [`Jws::parse`] refuses every second
//!   spelling of the same token for the same reason.
//! - What a token says can be read before it has been verified only by asking for
//!   [`unverified_claims`](Jws::unverified_claims).
//! - Time is a parameter, and there is no state outside of a [`Verifier`]: each decision can be
//!   repeated and tested, and two verifiers with different rules live in one process.
//!
//! Errors name the rule that was broken and, where one helps, a member; they never repeat a token, a
//! claim's value or key material. Each has a stable [`code`](VerifyError::code), and says
//! [whose fault](Fault) it is: an expired token is told apart from a forged one, and both from an
//! issuer that cannot be reached.
//!
//! For octets that are signed and no JWT there is [`Jws::verify`], and under it [`Jwk::verify`].

mod algorithm;
#[cfg(feature = "remote")]
mod background;
mod base64url;
mod claims;
mod clock;
mod confirmation;
mod dpop;
mod error;
mod excerpt;
mod file;
#[cfg(feature = "remote")]
mod http;
mod jwk;
mod jwk_set;
mod jws;
mod keys;
mod kid;
mod rules;
mod signature_cache;
mod single_use;
mod verified;
mod verifier;

#[cfg(feature = "axum")]
pub mod axum;
pub mod json;
pub mod revocation;
#[cfg(feature = "revocations")]
mod revocations;
#[cfg(feature = "status-lists")]
pub mod status_list;
#[cfg(feature = "status-lists")]
mod status_lists;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use claims::ClaimError;
pub use confirmation::{BindingError, Confirmation, InvalidThumbprint, Possession, Thumbprint};
pub use dpop::{
    DEFAULT_DPOP_MAX_AGE, DEFAULT_DPOP_PROOFS, DEFAULT_DPOP_PROOFS_PER_KEY, DPOP_TYP, Dpop,
    DpopError, DpopProof, DpopRequest, MAX_DPOP_CLOCK_LEAD, MAX_DPOP_PROOF_BYTES,
};
pub use error::{Fault, VerifyError};
#[cfg(feature = "remote")]
pub use http::{FetchError, InvalidAddress};
pub use jwk::{Jwk, JwkError, MAX_JWK_BYTES, PublicKey, SignatureError, decode_jwk_number};
pub use jwk_set::{
    JwkSet, JwkSetError, MAX_JWK_SET_BYTES, MAX_JWK_SET_KEYS, NoUsableKey, PassedOver,
};
pub use jws::{Inspected, Jws, JwsError, VerifiedJws};
#[cfg(feature = "remote")]
pub use keys::remote::{RemoteKeys, RemoteKeysBuilder, RemoteKeysError};
pub use keys::{KeyFile, KeyFileError, KeySource, KeysUnavailable};
pub use kid::{InvalidKid, Kid};
#[cfg(feature = "revocations")]
pub use revocations::{
    DEFAULT_MAX_RECORDS, InvalidRevocations, NoRevocations, RevocationFile, RevocationSource,
    Revocations, RevocationsError,
};
#[cfg(all(feature = "remote", feature = "revocations"))]
pub use revocations::{InvalidCredential, RevocationFeed};
pub use rules::{DEFAULT_MAX_TOKEN_BYTES, InvalidRules, MAX_LEEWAY, Rules};
pub use signature_cache::DEFAULT_SIGNATURE_CACHE;
pub use single_use::{Consumption, SINGLE_USE_CLAIM, SingleUseError, TokenConsumer};
#[cfg(feature = "status-lists")]
pub use status_lists::{
    DEFAULT_MAX_STATUS_LIST_BYTES, DEFAULT_MAX_STATUS_LISTS, FetchFuture, InvalidStatusLists,
    StatusError, StatusListError, StatusListFetcher, StatusLists,
};
pub use verified::{Header, Verified};
pub use verifier::Verifier;
