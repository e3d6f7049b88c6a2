//! What the metadata of an issuer says of the endpoints (RFC 8414 §2).

use keywright_api::OauthEndpoints;
use keywright_verifier::Algorithm;

use super::Endpoint;
use super::client_credentials::CLIENT_CREDENTIALS;

/// The endpoints of the issuer with this URL.
pub fn metadata(issuer: &str) -> OauthEndpoints {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    OauthEndpoints {
        token_endpoint: Endpoint::Token.url(issuer),
        grant_types_supported: owned(&[CLIENT_CREDENTIALS]),
        token_endpoint_auth_methods_supported: owned(&AUTHENTICATION_METHODS),
        token_endpoint_auth_signing_alg_values_supported: Algorithm::ALL.to_vec(),
    }
}

/// How a client authenticates at every endpoint.
const AUTHENTICATION_METHODS: [&str; 3] = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
];
