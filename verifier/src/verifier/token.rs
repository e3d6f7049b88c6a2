//! A token on its way: its signature, its claims, and what its request proves.

use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;

use super::{Issuer, VerificationTime};
use crate::confirmation::{BindingError, Confirmation, Possession};
use crate::dpop::{Dpop, DpopProof, DpopRequest};
use crate::json::Members;
use crate::keys::KeysUnavailable;
use crate::signature_cache::SignatureCache;
use crate::single_use::{SingleUseError, TokenConsumer, Uses};
use crate::verified::{Header, Verified};
use crate::{JwkSet, Jws, Kid, VerifyError};

/// What is known of a token that is good as far as it and its request say.
pub(super) struct Accepted<'v> {
    consumer: Option<&'v dyn TokenConsumer>,
    typ: Option<String>,
    confirmation: Option<Confirmation>,
    proof: Option<DpopProof>,
    vouched_at: Option<SystemTime>,
}

impl<'v> Accepted<'v> {
    /// Who uses it up, if it counts once.
    pub(super) const fn consumer(&self) -> Option<&'v dyn TokenConsumer> {
        self.consumer
    }
}

/// A token on its way, with the issuer that it names.
pub(super) struct Token<'v, 't> {
    pub(super) jws: &'t Jws<'t>,
    pub(super) claims: Members<'t>,
    pub(super) issuer: &'v Issuer,
    pub(super) signatures: Option<&'v SignatureCache>,
    pub(super) dpop: &'v Dpop,
    pub(super) consumer: Option<&'v dyn TokenConsumer>,
}

impl<'v> Token<'v, '_> {
    /// The name of the key that the signature verifies with.
    pub(super) fn key_of(&self, keys: &JwkSet) -> Result<Kid, VerifyError> {
        let key = self.jws.find_key(keys, self.issuer.rules.algorithms())?;
        match self.signatures {
            Some(signatures) => signatures.verify(self.jws, key)?,
            None => self.jws.verify_with(key)?,
        }
        Ok(key.kid().clone())
    }

    /// The same, and the set that has it.
    pub(super) fn find_key(
        &self,
        keys: Result<Arc<JwkSet>, KeysUnavailable>,
    ) -> Result<(Kid, Arc<JwkSet>), VerifyError> {
        let keys = keys?;
        Ok((self.key_of(&keys)?, keys))
    }

    /// Checks the claims of a token whose signature has been verified with one of `keys`.
    pub(super) fn accept(
        &self,
        typ: Option<String>,
        keys: &JwkSet,
        possession: &Possession<'_>,
        time: VerificationTime,
    ) -> Result<Accepted<'v>, VerifyError> {
        let rules = &self.issuer.rules;
        let now = time.wall();
        rules.check(typ.as_deref(), &self.claims, now)?;
        let consumer = self.consumer()?;
        let confirmation = Confirmation::of(&self.claims);
        let (confirmation, proof) = match rules.needs_proof() {
            true => {
                let confirmation = confirmation?;
                (
                    confirmation,
                    self.check_possession(confirmation, possession, now)?,
                )
            }
            false => (confirmation.unwrap_or_default(), None),
        };
        Ok(Accepted {
            consumer,
            typ,
            confirmation,
            proof,
            vouched_at: self.check_revocations(keys, time)?,
        })
    }

    /// Reads the claims of a token that is accepted, and uses up its proof.
    pub(super) fn finish<C: DeserializeOwned>(
        self,
        kid: Kid,
        accepted: Accepted<'_>,
        time: VerificationTime,
    ) -> Result<Verified<C>, VerifyError> {
        let claims = self
            .claims
            .read_into()
            .map_err(|_| VerifyError::ClaimsShape)?;
        if let Some(proof) = accepted.proof {
            let used = self.dpop.use_up(&proof, time.wall());
            used.map_err(BindingError::from)?;
        }
        let header = Header {
            algorithm: self.jws.algorithm(),
            kid,
            typ: accepted.typ,
        };
        Ok(Verified {
            header,
            claims,
            vouched_at: accepted.vouched_at,
            confirmation: accepted.confirmation,
        })
    }

    /// Who uses it up, if it counts once.
    fn consumer(&self) -> Result<Option<&'v dyn TokenConsumer>, VerifyError> {
        let needs_consumption = self.issuer.rules.needs_consumption();
        match (needs_consumption, Uses::of(&self.claims)?) {
            (false, _) | (true, Uses::Unlimited) => Ok(None),
            (true, Uses::Once) => {
                let consumer = self.consumer.ok_or(SingleUseError::NoConsumer)?;
                Ok(Some(consumer))
            }
        }
    }

    /// Checks that a request proves what the token is bound to (RFC 9449 §7.1, RFC 8705 §3), and returns its
    /// proof, which is to be used up.
    fn check_possession(
        &self,
        confirmation: Option<Confirmation>,
        possession: &Possession<'_>,
        now: SystemTime,
    ) -> Result<Option<DpopProof>, BindingError> {
        let Confirmation { key, certificate } = confirmation.unwrap_or_default();
        match (certificate, possession.certificate) {
            (Some(_), None) => return Err(BindingError::CertificateMissing),
            (Some(bound), Some(proven)) if bound != proven => {
                return Err(BindingError::OtherCertificate);
            }
            _ => {}
        }
        let Some(dpop) = possession.dpop else {
            return match key {
                Some(_) => Err(BindingError::ProofMissing),
                None => Ok(None),
            };
        };
        let Some(key) = key else {
            return Err(BindingError::NotBound);
        };
        let request = DpopRequest {
            access_token: Some(self.jws.token()),
            ..dpop
        };
        let proof = self.dpop.check(&request, now)?;
        match proof.key() == key {
            true => Ok(Some(proof)),
            false => Err(BindingError::OtherKey),
        }
    }

    #[cfg(feature = "revocations")]
    fn check_revocations(
        &self,
        keys: &JwkSet,
        time: VerificationTime,
    ) -> Result<Option<SystemTime>, VerifyError> {
        match &self.issuer.revocations {
            Some(revocations) => revocations.judge(&self.claims, keys, time),
            None => Ok(None),
        }
    }

    #[cfg(not(feature = "revocations"))]
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "no revocations are followed"
    )]
    const fn check_revocations(
        &self,
        _keys: &JwkSet,
        _time: VerificationTime,
    ) -> Result<Option<SystemTime>, VerifyError> {
        Ok(None)
    }
}
