//! What the request for a token proves besides its client.

use keywright_api::AccessTokenType;
use keywright_verifier::{Confirmation, Thumbprint};

/// What a request for a token proves that its tokens can be bound to. There is one for each request, made
/// once and before its grant is known (`http/public/oauth/proof.rs`); its DPoP proof is used up then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestProof {
    /// The key of its DPoP proof (RFC 9449 §5).
    pub key: Option<Thumbprint>,
    /// The certificate of its connection (RFC 8705 §3).
    pub certificate: Option<Thumbprint>,
}

impl RequestProof {
    /// What the access token is bound to: the key, because its client has chosen to send a proof, else the
    /// certificate.
    pub fn confirmation(&self) -> Option<Confirmation> {
        let certificate = || self.certificate.map(Confirmation::certificate);
        self.key.map(Confirmation::key).or_else(certificate)
    }

    /// Whether the request proves all of what a token is bound to, so that it may use the token.
    pub fn proves(&self, confirmation: &Confirmation) -> bool {
        let Confirmation { key, certificate } = confirmation;
        key.is_none_or(|key| self.key == Some(key))
            && certificate.is_none_or(|certificate| self.certificate == Some(certificate))
    }
}

/// How an access token with this binding is presented.
pub fn token_type(confirmation: Option<&Confirmation>) -> AccessTokenType {
    match confirmation {
        Some(Confirmation { key: Some(_), .. }) => AccessTokenType::Dpop,
        // A token that is bound to a certificate is a bearer token on that connection (RFC 8705 §3).
        _ => AccessTokenType::Bearer,
    }
}
