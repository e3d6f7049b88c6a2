//! The rules of the OAuth endpoints: forms, client authentication, scopes and targets, what the token
//! of a client says, what one is exchanged for, grants and their refresh tokens, tokens that count once.
//! Pure: time, randomness and clients are parameters.
//!
//! `http/public/oauth` has the routes; signing, limits, rates and slots are those of the internal API.

mod basic;
mod binding;
mod client_credentials;
pub mod exchange;
mod form;
pub mod grant;
mod metadata;
mod proof;
pub mod refresh;
pub mod refresh_token;
mod scope;
pub mod single_use;
mod target;

use std::sync::Arc;

pub use basic::{BasicCredentials, InvalidBasic};
pub use binding::{BindingRefusal, GrantBinding};
pub use client_credentials::{
    ACCESS_TOKEN, CLIENT_CREDENTIALS, ClientCredentialsRequest, GrantRefusal,
};
pub use exchange::{
    Exchange, ExchangeForm, ExchangeGrant, ExchangeRefusal, ShownToken, TRANSACTION_TOKEN,
};
pub use form::{Form, FormError};
pub use grant::{Grant, GrantEnd, GrantHolder, GrantState, OutsideGrant};
pub use keywright_api::GrantEndCause;
pub use metadata::metadata;
pub use proof::{RequestProof, token_type};
pub use refresh::{REFRESH_TOKEN, RefreshRefusal, TokenLine};
pub use refresh_token::{GrantKey, RefreshToken};
pub use scope::{InvalidScope, Scope};
pub use target::{InvalidTarget, Target};

/// The endpoints, each under the path of the issuer's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// Where tokens are requested (RFC 6749 §3.2).
    Token,
    /// Where a client takes its tokens back (RFC 7009).
    Revocation,
    /// Where a service asks whether a token is valid (RFC 7662).
    Introspection,
    /// Where a service uses a token up that counts once.
    Consumption,
    /// Where an identity provider takes everything of a user back.
    GlobalRevocation,
    /// Where another system pushes security event tokens (RFC 8935).
    SecurityEvents,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 6] = [
        Self::Token,
        Self::Revocation,
        Self::Introspection,
        Self::Consumption,
        Self::GlobalRevocation,
        Self::SecurityEvents,
    ];

    /// The end of its path.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Token => "/token",
            Self::Revocation => "/revoke",
            Self::Introspection => "/introspect",
            Self::Consumption => "/consume",
            Self::GlobalRevocation => "/global-token-revocation",
            Self::SecurityEvents => "/security-events",
        }
    }

    /// Its address, under the URL of an issuer.
    pub fn url(self, issuer: &str) -> String {
        let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
        format!("{issuer}{}", self.suffix())
    }

    /// The endpoint that a path names, and the path of its issuer.
    pub fn in_path(path: &str) -> Option<(Self, &str)> {
        let mut all = Self::ALL.into_iter();
        all.find_map(|endpoint| Some((endpoint, path.strip_suffix(endpoint.suffix())?)))
    }
}

/// Whether this process serves the OAuth endpoints. Metadata names them only then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Endpoints {
    /// It does not.
    #[default]
    Off,
    /// It does.
    On {
        /// Where clients reach the listener that asks them for a certificate, if there is one: scheme, host
        /// and port.
        mtls: Option<Arc<str>>,
    },
}

/// Whether DPoP proofs at the token endpoint need a nonce (RFC 9449 §8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DpopNonces {
    /// They do not.
    #[default]
    Accepted,
    /// They do.
    Required,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_under_the_path_of_its_issuer() {
        for (issuer, url) in [
            ("https://id.example", "https://id.example/token"),
            ("https://id.example/", "https://id.example/token"),
            ("https://id.example/a/b", "https://id.example/a/b/token"),
        ] {
            assert_eq!(Endpoint::Token.url(issuer), url);
        }
        assert_eq!(Endpoint::in_path("/token"), Some((Endpoint::Token, "")));
        assert_eq!(
            Endpoint::in_path("/a/b/token"),
            Some((Endpoint::Token, "/a/b"))
        );
        assert_eq!(Endpoint::in_path("/a/tokens"), None);
        assert_eq!(Endpoint::in_path("/a/token/"), None);
    }
}
