//! One question, one answer: is this token good here and now?

mod token;

use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;

use crate::claims::{ClaimError, string};
use crate::confirmation::Possession;
use crate::dpop::Dpop;
use crate::keys::KeySource;
#[cfg(feature = "revocations")]
use crate::revocations::{InvalidRevocations, RevocationSource, Revocations};
use crate::rules::{InvalidRules, Rules};
use crate::signature_cache::{DEFAULT_SIGNATURE_CACHE, SignatureCache};
use crate::single_use::{Consumer, TokenConsumer};
#[cfg(feature = "status-lists")]
use crate::status_lists::{CheckedStatus, InvalidStatusLists, StatusLists};
use crate::verified::Verified;
use crate::{Jws, JwsError, VerifyError, clock};
use token::Token;

/// Verifies tokens of one issuer or several, each by its own rules and with its own keys.
///
/// It has no state that another one shares: two verifiers with different rules live side by side.
/// Share one between tasks in an `Arc`.
#[derive(Clone, Debug)]
pub struct Verifier {
    issuers: Vec<Issuer>,
    /// The largest limit of all, which stands before the issuer is known.
    longest_token: usize,
    /// What has been proven, shared by clones; `None` when it is off.
    signatures: Option<Arc<SignatureCache>>,
    /// How proofs of bound tokens are judged, shared by clones.
    dpop: Dpop,
    /// Who uses up tokens that count once.
    consumer: Consumer,
}

#[derive(Clone, Debug)]
struct Issuer {
    rules: Rules,
    keys: KeySource,
    #[cfg(feature = "revocations")]
    revocations: Option<Revocations>,
    #[cfg(feature = "status-lists")]
    status: Option<CheckedStatus>,
}

/// When a token is judged.
#[derive(Clone, Copy)]
pub(crate) enum VerificationTime {
    /// When it comes to that.
    Now,
    /// At a time that the caller says.
    At(SystemTime),
}

impl VerificationTime {
    fn wall(self) -> SystemTime {
        match self {
            Self::Now => clock::wall(),
            Self::At(time) => time,
        }
    }
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
            signatures: None,
            dpop: Dpop::default(),
            consumer: Consumer::default(),
        };
        none.and(rules, keys)
            .map(|verifier| verifier.signature_cache(DEFAULT_SIGNATURE_CACHE))
    }

    /// Remembers so many signatures that have been verified, so that the next request with the same token
    /// costs a hash in place of a signature. Default: [`DEFAULT_SIGNATURE_CACHE`]; 0 remembers none.
    ///
    /// It changes no verdict. The key set, the expiry, the rules and the revocations are asked for each
    /// token, and a token whose signature is wrong is never remembered. For each signature it has a
    /// SHA-256 digest, so that the memory of a process reveals no token.
    #[must_use]
    pub fn signature_cache(mut self, signatures: usize) -> Self {
        self.signatures = (signatures > 0).then(|| Arc::new(SignatureCache::new(signatures)));
        self
    }

    /// Judges the proofs of bound tokens in this way. Default: [`Dpop::default`].
    #[must_use]
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.dpop = dpop;
        self
    }

    /// Accepts tokens that count once (`single_use`), each of which `consumer` uses up when everything else
    /// about it is good. Default: none, and they are refused as [`SingleUseError::NoConsumer`](crate::SingleUseError::NoConsumer).
    ///
    /// A token is used up also if the caller then does nothing with it, such as for want of a scope.
    #[must_use]
    pub fn consume_with(mut self, consumer: impl TokenConsumer + 'static) -> Self {
        self.consumer = Consumer(Some(Arc::new(consumer)));
        self
    }

    /// The nonce to answer with in `DPoP-Nonce`, if proofs need one.
    pub fn dpop_nonce(&self) -> Option<String> {
        self.dpop.nonce(clock::wall())
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
            #[cfg(feature = "revocations")]
            revocations: None,
            #[cfg(feature = "status-lists")]
            status: None,
        });
        Ok(self)
    }

    /// Refuses the tokens that the issuer whose rules were given last has taken back. Its heads are
    /// verified with its keys, by the algorithms of its rules.
    ///
    /// A token is judged by it after everything else: a revoked one is
    /// [`VerifyError::Revoked`]. When it cannot be known any more whether one is,
    /// it is [`VerifyError::RevocationsStale`]. A token with more than 16 audiences or actors is refused,
    /// because not all of them are looked up.
    ///
    /// # Errors
    ///
    /// [`InvalidRevocations`]: they are another issuer's, followed already, or cannot be followed.
    #[cfg(feature = "revocations")]
    pub fn with_revocations(
        mut self,
        source: impl Into<RevocationSource>,
    ) -> Result<Self, InvalidRevocations> {
        if let Some(issuer) = self.issuers.last_mut() {
            if issuer.revocations.is_some() {
                return Err(InvalidRevocations::Duplicate {
                    issuer: issuer.rules.issuer().to_owned(),
                });
            }
            let revocations = Revocations::start(source.into(), &issuer.rules, &issuer.keys)?;
            issuer.revocations = Some(revocations);
        }
        Ok(self)
    }

    /// Refuses the tokens of the issuer whose rules were given last that are not valid as a status list says
    /// which they name (Token Status List, draft 21). Its lists are verified with its keys, by the algorithms
    /// of its rules.
    ///
    /// A token is judged by it after everything else: [`VerifyError::Status`] says why it is refused. A token
    /// without a status is accepted, unless [`StatusLists::required`] says otherwise.
    ///
    /// # Errors
    ///
    /// [`InvalidStatusLists`]: they are read already, or cannot be read.
    #[cfg(feature = "status-lists")]
    pub fn with_status_lists(mut self, lists: StatusLists) -> Result<Self, InvalidStatusLists> {
        if let Some(issuer) = self.issuers.last_mut() {
            if issuer.status.is_some() {
                return Err(InvalidStatusLists::Duplicate {
                    issuer: issuer.rules.issuer().to_owned(),
                });
            }
            issuer.status = Some(lists.start(&issuer.rules, &issuer.keys)?);
        }
        Ok(self)
    }

    /// What is known of the revocations of an issuer: for metrics, and to wait at the start. `None`
    /// when they are not followed.
    #[cfg(feature = "revocations")]
    pub fn revocations(&self, issuer: &str) -> Option<&Revocations> {
        self.issuer(issuer)?.revocations.as_ref()
    }

    /// Verifies a token now, and reads its claims into `C`.
    ///
    /// It waits for the network in three cases only: no keys have been fetched yet, the token names a
    /// key that the set at hand lacks and the issuer has not been asked for the length of the
    /// cool-down, or revocations are followed and the first have not come yet. With a fixed set or a
    /// file it never waits.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] says what is wrong, [`VerifyError::fault`] whose fault it is. Nothing is said
    /// about the claims before the signature has been verified, but that no issuer of that name is
    /// known here.
    ///
    /// A token that is bound to a key or a certificate is refused as [`BindingError::ProofMissing`](crate::BindingError::ProofMissing) or
    /// [`BindingError::CertificateMissing`](crate::BindingError::CertificateMissing): see [`Verifier::verify_bound`].
    pub async fn verify<C: DeserializeOwned>(
        &self,
        token: &str,
    ) -> Result<Verified<C>, VerifyError> {
        self.judge(token, &Possession::none(), VerificationTime::Now)
            .await
    }

    /// Like [`Verifier::verify`], for a request that may prove a key or a certificate besides its token. A
    /// token that is not bound is accepted without a proof, and refused with one for a key, as RFC 9449 §7.1
    /// asks: it was presented as `Authorization: DPoP`.
    ///
    /// A proof that is accepted is used up. One for a token that is refused is not.
    ///
    /// # Errors
    ///
    /// As for [`Verifier::verify`], and [`BindingError`](crate::BindingError).
    pub async fn verify_bound<C: DeserializeOwned>(
        &self,
        token: &str,
        possession: &Possession<'_>,
    ) -> Result<Verified<C>, VerifyError> {
        self.judge(token, possession, VerificationTime::Now).await
    }

    /// Like [`Verifier::verify_bound`], at another time than now.
    ///
    /// # Errors
    ///
    /// As for [`Verifier::verify_bound`].
    pub async fn verify_bound_at<C: DeserializeOwned>(
        &self,
        token: &str,
        possession: &Possession<'_>,
        now: SystemTime,
    ) -> Result<Verified<C>, VerifyError> {
        self.judge(token, possession, VerificationTime::At(now))
            .await
    }

    /// Like [`Verifier::verify`], at another time than now. What is revoked is what is known now, and it
    /// is not taken to be younger than it is by the monotonic clock.
    ///
    /// # Errors
    ///
    /// As for [`Verifier::verify`].
    pub async fn verify_at<C: DeserializeOwned>(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Verified<C>, VerifyError> {
        self.judge(token, &Possession::none(), VerificationTime::At(now))
            .await
    }

    /// Like [`Verifier::verify_at`], without ever waiting: by the keys at hand.
    ///
    /// For code that is not async. A token whose key a remote source has not seen yet is refused as
    /// [`JwsError::UnknownKey`], and one that counts once as [`SingleUseError::NoConsumer`](crate::SingleUseError::NoConsumer).
    ///
    /// # Errors
    ///
    /// As for [`Verifier::verify`].
    pub fn verify_with_held_keys<C: DeserializeOwned>(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Verified<C>, VerifyError> {
        let mut jws = Jws::parse(token, self.longest_token)?;
        let typ = jws.take_typ();
        let token = self.read(&jws, token.len())?;
        let keys = token.issuer.keys.cached()?;
        let kid = token.key_of(&keys)?;
        let time = VerificationTime::At(now);
        // Nothing is used up without waiting.
        let token = Token {
            consumer: None,
            ..token
        };
        let accepted = token.accept(typ, &keys, &Possession::none(), time)?;
        #[cfg(feature = "status-lists")]
        if let Some(status) = &token.issuer.status {
            status.judge_by_held_lists(&token.claims, now)?;
        }
        token.finish(kid, accepted, time)
    }

    async fn judge<C: DeserializeOwned>(
        &self,
        token: &str,
        possession: &Possession<'_>,
        time: VerificationTime,
    ) -> Result<Verified<C>, VerifyError> {
        let mut jws = Jws::parse(token, self.longest_token)?;
        let typ = jws.take_typ();
        let token = self.read(&jws, token.len())?;
        let source = &token.issuer.keys;
        let mut found = token.find_key(source.cached());
        let is_curable = matches!(
            found,
            Err(VerifyError::Keys(_) | VerifyError::Token(JwsError::UnknownKey))
        );
        if is_curable && let Some(refetched) = source.refetched().await {
            found = token.find_key(refetched);
        }
        let (kid, keys) = found?;
        #[cfg(feature = "revocations")]
        if let Some(revocations) = &token.issuer.revocations {
            revocations.first_attempt().await;
        }
        let text = token.jws.token();
        // After the waits, in which the token may have expired.
        let accepted = token.accept(typ, &keys, possession, time)?;
        #[cfg(feature = "status-lists")]
        if let Some(status) = &token.issuer.status {
            status.judge(&token.claims, time.wall()).await?;
        }
        let consumer = accepted.consumer();
        let verified = token.finish(kid, accepted, time)?;
        if let Some(consumer) = consumer {
            consumer.consume(text).await?;
        }
        Ok(verified)
    }

    /// The most bytes of a token that any issuer's rules allow.
    #[cfg(feature = "axum")]
    pub(crate) const fn longest_token(&self) -> usize {
        self.longest_token
    }

    /// Reads the claims of a token of so many bytes and finds its issuer. Everything in it is still
    /// unproven: an attacker could have written it.
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
            signatures: self.signatures.as_deref(),
            dpop: &self.dpop,
            consumer: self.consumer.0.as_deref(),
        })
    }

    fn issuer(&self, name: &str) -> Option<&Issuer> {
        self.issuers
            .iter()
            .find(|issuer| issuer.rules.issuer() == name)
    }
}
