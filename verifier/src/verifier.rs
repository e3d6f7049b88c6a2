//! One question, one answer: is this token good here and now?

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;

use crate::claims::{ClaimError, string};
use crate::json::Members;
use crate::keys::{KeySource, KeysUnavailable};
use crate::rules::{InvalidRules, Rules};
use crate::{Algorithm, JwkSet, Jws, JwsError, Kid, VerifyError, clock};

/// Verifies tokens of one issuer or several, each by its own rules and with its own keys.
///
/// It has no state that another one shares: two verifiers with different rules live side by side.
/// Share one between tasks in an `Arc`.
#[derive(Clone, Debug)]
pub struct Verifier {
    issuers: Vec<Issuer>,
    /// The largest limit of all, which stands before the issuer is known.
    longest_token: usize,
}

#[derive(Clone, Debug)]
struct Issuer {
    rules: Rules,
    keys: KeySource,
}

impl Verifier {
    /// Accepts the tokens that `rules` describe, signed with one of `keys`.
    ///
    /// # Errors
    ///
    /// [`InvalidRules`] when the rules accept nothing, or cannot be meant.
    pub fn new(rules: Rules, keys: impl Into<KeySource>) -> Result<Self, InvalidRules> {
        let none = Self {
            issuers: Vec::new(),
            longest_token: 0,
        };
        none.and(rules, keys)
    }

    /// Accepts the tokens of another issuer too. The `iss` of a token says whose rules and keys count
    /// for it, and no other's do.
    ///
    /// # Errors
    ///
    /// As for [`Verifier::new`], and [`InvalidRules::DuplicateIssuer`].
    pub fn and(mut self, rules: Rules, keys: impl Into<KeySource>) -> Result<Self, InvalidRules> {
        rules.validate()?;
        if self.issuer(rules.issuer()).is_some() {
            return Err(InvalidRules::DuplicateIssuer {
                issuer: rules.issuer().to_owned(),
            });
        }
        self.longest_token = self.longest_token.max(rules.longest_token());
        self.issuers.push(Issuer {
            rules,
            keys: keys.into(),
        });
        Ok(self)
    }

    /// Verifies a token now, and reads its claims into `C`.
    ///
    /// It waits for the network in two cases only: no keys have been fetched yet, or the token names a
    /// key that the set at hand lacks and the issuer has not been asked for the length of the
    /// cool-down. With a fixed set or a file it never waits.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] says what is wrong, [`VerifyError::fault`] whose fault it is. Nothing is said
    /// about the claims before the signature has been verified, but that no issuer of that name is
    /// known here.
    pub async fn verify<C: DeserializeOwned>(
        &self,
        token: &str,
    ) -> Result<Verified<C>, VerifyError> {
        // After the wait, in which the token may have expired.
        self.judge(token, clock::wall).await
    }

    /// Like [`Verifier::verify`], at another time than now.
    ///
    /// # Errors
    ///
    /// As for [`Verifier::verify`].
    pub async fn verify_at<C: DeserializeOwned>(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Verified<C>, VerifyError> {
        self.judge(token, || now).await
    }

    /// Like [`Verifier::verify_at`], without ever waiting: by the keys at hand.
    ///
    /// For code that is not async. A token whose key a remote source has not seen yet is refused as
    /// [`JwsError::UnknownKey`].
    ///
    /// # Errors
    ///
    /// As for [`Verifier::verify`].
    pub fn verify_with_held_keys<C: DeserializeOwned>(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Verified<C>, VerifyError> {
        let jws = Jws::parse(token, self.longest_token)?;
        let token = self.read(&jws, token.len())?;
        let kid = token.key_of(&token.issuer.keys.cached())?;
        token.accept(kid, now)
    }

    async fn judge<C: DeserializeOwned>(
        &self,
        token: &str,
        now: impl FnOnce() -> SystemTime,
    ) -> Result<Verified<C>, VerifyError> {
        let jws = Jws::parse(token, self.longest_token)?;
        let token = self.read(&jws, token.len())?;
        let source = &token.issuer.keys;
        let mut key = token.key_of(&source.cached());
        let is_curable = matches!(
            key,
            Err(VerifyError::Keys(_) | VerifyError::Token(JwsError::UnknownKey))
        );
        if is_curable && let Some(cached) = source.refetched().await {
            key = token.key_of(&cached);
        }
        token.accept(key?, now())
    }

    /// The most bytes of a token that any issuer's rules allow.
    #[cfg(feature = "axum")]
    pub(crate) const fn longest_token(&self) -> usize {
        self.longest_token
    }

    /// Reads the claims of a token of so many bytes and finds its issuer. Everything in it is still
    /// what anybody could write.
    fn read<'t>(&self, jws: &'t Jws<'t>, bytes: usize) -> Result<Token<'_, 't>, VerifyError> {
        let claims = jws.unverified_members()?;
        let issuer = string(&claims, "iss")?
            .and_then(|name| self.issuer(name))
            .ok_or(ClaimError::WrongIssuer)?;
        issuer.rules.check_size(bytes)?;
        Ok(Token {
            jws,
            claims,
            issuer,
        })
    }

    fn issuer(&self, name: &str) -> Option<&Issuer> {
        self.issuers
            .iter()
            .find(|issuer| issuer.rules.issuer() == name)
    }
}

/// A token on its way, with the issuer that it names.
struct Token<'v, 't> {
    jws: &'t Jws<'t>,
    claims: Members<'t>,
    issuer: &'v Issuer,
}

impl Token<'_, '_> {
    /// The name of the key that the signature verifies with.
    fn key_of(&self, cached: &Result<Arc<JwkSet>, KeysUnavailable>) -> Result<Kid, VerifyError> {
        let keys = cached.as_ref().map_err(|error| *error)?;
        let verified = self.jws.verify(keys, self.issuer.rules.algorithms())?;
        Ok(verified.key().kid().clone())
    }

    /// Checks the claims of a token whose signature has been verified.
    fn accept<C: DeserializeOwned>(
        self,
        kid: Kid,
        now: SystemTime,
    ) -> Result<Verified<C>, VerifyError> {
        let rules = &self.issuer.rules;
        rules.check(self.jws.typ(), &self.claims, now)?;
        let claims = self
            .claims
            .read_into()
            .map_err(|_| VerifyError::ClaimsShape)?;
        let header = Header {
            algorithm: self.jws.algorithm(),
            kid,
            typ: self.jws.typ().map(str::to_owned),
        };
        Ok(Verified { header, claims })
    }
}

/// A token that is good: its header and its claims.
///
/// Its `Debug` leaves the claims out, because they are about a person.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified<C> {
    /// The header.
    pub header: Header,
    /// The claims, in the type that the caller asked for.
    pub claims: C,
}

impl<C> fmt::Debug for Verified<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verified")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// The header of a token that is good.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Header {
    /// What the token is signed with.
    pub algorithm: Algorithm,
    /// The key that it is signed with, by the name that the issuer's set gives it.
    pub kid: Kid,
    /// `typ`, as written.
    pub typ: Option<String>,
}
