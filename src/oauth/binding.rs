//! What the refresh tokens of a grant are bound to (RFC 9449 §5).
//!
//! A grant is opened by a service that has no proof of the client's key. So either the service names the
//! key, or the first renewal does, and its key is the one from then on.

use keywright_verifier::{Confirmation, Thumbprint};

use super::RequestProof;
use super::grant::{Grant, GrantHolder};

/// What the refresh tokens of a grant are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantBinding {
    /// The key that the first renewal proves.
    FirstProof,
    /// A key.
    Key {
        /// Its thumbprint.
        thumbprint: Thumbprint,
        /// The place of the first refresh token that was issued for the key. Those before it were good
        /// for anyone who had them.
        since: u32,
    },
}

/// Why a refresh token is of no use to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingRefusal {
    /// It is bound to a key that the request does not prove. Nothing follows from it: a stolen token is
    /// of no use, and its owner keeps the grant.
    Unproven,
    /// It was issued before the grant had a key, was used by that key's holder, and now comes without it:
    /// two hold it. The grant ends.
    Reused,
}

impl Grant {
    /// What access tokens are bound to before any request has proven something.
    pub fn confirmation(&self) -> Option<Confirmation> {
        match self.binding {
            Some(GrantBinding::Key { thumbprint, .. }) => Some(Confirmation::key(thumbprint)),
            Some(GrantBinding::FirstProof) | None => None,
        }
    }

    /// What the grant is bound to after a refresh token at this place was presented with a proof.
    ///
    /// A public grant is bound to the key of the first proof that comes, also if its opener did not ask for
    /// that (RFC 9449 §5). The grant of a client is not: the client authenticates each time.
    ///
    /// # Errors
    /// [`BindingRefusal`].
    pub fn bound_by(
        &self,
        number: u32,
        proof: &RequestProof,
    ) -> Result<Option<GrantBinding>, BindingRefusal> {
        let to_key = |thumbprint| GrantBinding::Key {
            thumbprint,
            since: number.saturating_add(1),
        };
        match (self.binding, proof.key) {
            (None, Some(key)) if self.holder == GrantHolder::Public => Ok(Some(to_key(key))),
            (None, _) => Ok(None),
            (Some(GrantBinding::FirstProof), Some(key)) => Ok(Some(to_key(key))),
            (Some(GrantBinding::FirstProof), None) => Err(BindingRefusal::Unproven),
            (Some(GrantBinding::Key { thumbprint, .. }), Some(key)) if key == thumbprint => {
                Ok(self.binding)
            }
            (Some(GrantBinding::Key { since, .. }), _) => match number < since {
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

    fn key(byte: u8) -> Thumbprint {
        Thumbprint::from_octets([byte; 32])
    }

    fn proof(byte: u8) -> RequestProof {
        RequestProof {
            key: Some(key(byte)),
        }
    }

    fn bound(binding: Option<GrantBinding>, holder: GrantHolder) -> Grant {
        Grant {
            binding,
            ..grant(holder, serde_json::json!({"sub": "a"}))
        }
    }

    #[test]
    fn the_first_proof_binds_a_public_grant_and_a_grant_that_waits_for_one() {
        let none = RequestProof::default();
        let to_first = Some(GrantBinding::Key {
            thumbprint: key(1),
            since: 4,
        });
        let public = bound(None, GrantHolder::Public);
        assert_eq!(public.bound_by(3, &proof(1)), Ok(to_first));
        assert_eq!(public.bound_by(3, &none), Ok(None));
        let of_client = bound(None, GrantHolder::Client("c1".to_owned()));
        assert_eq!(of_client.bound_by(3, &proof(1)), Ok(None));
        for holder in [GrantHolder::Public, GrantHolder::Client("c1".to_owned())] {
            let waiting = bound(Some(GrantBinding::FirstProof), holder);
            assert_eq!(waiting.bound_by(3, &proof(1)), Ok(to_first));
            assert_eq!(waiting.bound_by(3, &none), Err(BindingRefusal::Unproven));
        }
    }

    #[test]
    fn a_bound_token_needs_its_key_and_one_from_before_is_reused_without_it() {
        let binding = Some(GrantBinding::Key {
            thumbprint: key(1),
            since: 1,
        });
        let grant = bound(binding, GrantHolder::Public);
        for number in [0, 1, 2] {
            assert_eq!(grant.bound_by(number, &proof(1)), Ok(binding));
        }
        for other in [RequestProof::default(), proof(2)] {
            assert_eq!(grant.bound_by(0, &other), Err(BindingRefusal::Reused));
            for number in [1, 2, u32::MAX] {
                let refused = grant.bound_by(number, &other);
                assert_eq!(refused, Err(BindingRefusal::Unproven), "{number}");
            }
        }
    }
}
