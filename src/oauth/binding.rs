//! What the refresh tokens of a grant are bound to (RFC 9449 §5, RFC 8705 §4).
//!
//! A grant is opened by a service that has no proof of the client's key or certificate. So either the service
//! names its thumbprint, or the first renewal proves one, which is the one from then on.

use keywright_api::Binding;
use keywright_verifier::{Confirmation, Thumbprint};

use super::RequestProof;
use super::grant::{Grant, GrantHolder};

/// What the refresh tokens of a grant are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantBinding {
    /// The key or the certificate that the first renewal proves.
    FirstProof(Binding),
    /// A key or a certificate.
    Bound {
        /// Which of the two.
        by: Binding,
        /// Its thumbprint.
        thumbprint: Thumbprint,
        /// The place of the first refresh token that was issued for it. Those before it were good for
        /// anyone who had them.
        since: u32,
    },
}

/// Why a refresh token is of no use to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingRefusal {
    /// It is bound to something that the request does not prove. Nothing follows from it: a stolen token is
    /// of no use, and its owner keeps the grant.
    Unproven,
    /// It was issued before the grant was bound, was used by the owner of the key, and now comes without it:
    /// two hold it. The grant ends.
    Reused,
}

impl GrantBinding {
    /// Which of the two it is bound to.
    pub const fn by(self) -> Binding {
        match self {
            Self::FirstProof(by) | Self::Bound { by, .. } => by,
        }
    }

    /// The thumbprint, as soon as it is known.
    pub const fn thumbprint(self) -> Option<Thumbprint> {
        match self {
            Self::FirstProof(_) => None,
            Self::Bound { thumbprint, .. } => Some(thumbprint),
        }
    }
}

impl Grant {
    /// What access tokens are bound to before any request has proven something.
    pub fn confirmation(&self) -> Option<Confirmation> {
        let binding = self.binding?;
        let thumbprint = binding.thumbprint()?;
        Some(match binding.by() {
            Binding::Dpop => Confirmation::key(thumbprint),
            Binding::Mtls => Confirmation::certificate(thumbprint),
        })
    }

    /// What the grant is bound to after a refresh token at this place was presented with a proof.
    ///
    /// A public grant is bound to the key of the first DPoP proof that comes, also if its opener did not ask
    /// for that (RFC 9449 §5). The grant of a client is not: the client authenticates each time.
    ///
    /// # Errors
    /// [`BindingRefusal`].
    pub fn bound_by(
        &self,
        number: u32,
        proof: &RequestProof,
    ) -> Result<Option<GrantBinding>, BindingRefusal> {
        let proven = |by: Binding| match by {
            Binding::Dpop => proof.key,
            Binding::Mtls => proof.certificate,
        };
        let first = |by: Binding| {
            proven(by).map(|thumbprint| GrantBinding::Bound {
                by,
                thumbprint,
                since: number.saturating_add(1),
            })
        };
        match self.binding {
            None if self.holder == GrantHolder::Public => Ok(first(Binding::Dpop)),
            None => Ok(None),
            Some(GrantBinding::FirstProof(by)) => match first(by) {
                Some(bound) => Ok(Some(bound)),
                None => Err(BindingRefusal::Unproven),
            },
            Some(GrantBinding::Bound { by, thumbprint, .. }) if proven(by) == Some(thumbprint) => {
                Ok(self.binding)
            }
            Some(GrantBinding::Bound { since, .. }) => match number < since {
                true => Err(BindingRefusal::Reused),
                false => Err(BindingRefusal::Unproven),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::grant::tests::grant;

    fn thumbprint(byte: u8) -> Thumbprint {
        Thumbprint::from_octets([byte; 32])
    }

    fn proof(by: Binding, byte: u8) -> RequestProof {
        let thumbprint = Some(thumbprint(byte));
        match by {
            Binding::Dpop => RequestProof {
                key: thumbprint,
                certificate: None,
            },
            Binding::Mtls => RequestProof {
                key: None,
                certificate: thumbprint,
            },
        }
    }

    fn to(by: Binding, since: u32) -> Option<GrantBinding> {
        Some(GrantBinding::Bound {
            by,
            thumbprint: thumbprint(1),
            since,
        })
    }

    fn bound(binding: Option<GrantBinding>, holder: GrantHolder) -> Grant {
        Grant {
            binding,
            ..grant(holder, serde_json::json!({"sub": "a"}))
        }
    }

    const BOTH: [(Binding, Binding); 2] = [
        (Binding::Dpop, Binding::Mtls),
        (Binding::Mtls, Binding::Dpop),
    ];

    #[test]
    fn the_first_proof_binds_a_public_grant_and_a_grant_that_waits_for_one() {
        let none = RequestProof::default();
        let public = bound(None, GrantHolder::Public);
        assert_eq!(
            public.bound_by(3, &proof(Binding::Dpop, 1)),
            Ok(to(Binding::Dpop, 4))
        );
        assert_eq!(public.bound_by(3, &proof(Binding::Mtls, 1)), Ok(None));
        assert_eq!(public.bound_by(3, &none), Ok(None));
        let of_client = bound(None, GrantHolder::Client("c1".to_owned()));
        assert_eq!(of_client.bound_by(3, &proof(Binding::Dpop, 1)), Ok(None));
        for holder in [GrantHolder::Public, GrantHolder::Client("c1".to_owned())] {
            for (by, other) in BOTH {
                let waiting = bound(Some(GrantBinding::FirstProof(by)), holder.clone());
                assert_eq!(waiting.confirmation(), None);
                assert_eq!(waiting.bound_by(3, &proof(by, 1)), Ok(to(by, 4)));
                for refused in [none, proof(other, 1)] {
                    let refused = waiting.bound_by(3, &refused);
                    assert_eq!(refused, Err(BindingRefusal::Unproven));
                }
            }
        }
    }

    #[test]
    fn a_bound_token_needs_its_key_and_one_from_before_is_reused_without_it() {
        for (by, other) in BOTH {
            let grant = bound(to(by, 1), GrantHolder::Public);
            for number in [0, 1, 2] {
                assert_eq!(grant.bound_by(number, &proof(by, 1)), Ok(to(by, 1)));
            }
            for refused in [RequestProof::default(), proof(by, 2), proof(other, 1)] {
                assert_eq!(grant.bound_by(0, &refused), Err(BindingRefusal::Reused));
                for number in [1, 2, u32::MAX] {
                    let refused = grant.bound_by(number, &refused);
                    assert_eq!(refused, Err(BindingRefusal::Unproven), "{number}");
                }
            }
        }
    }
}
