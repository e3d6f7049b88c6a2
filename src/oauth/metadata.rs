//! What the metadata of an issuer says of the endpoints (RFC 8414 §2).

use keywright_api::{MtlsEndpointAliases, OauthEndpoints};
use keywright_verifier::Algorithm;

use super::client_credentials::CLIENT_CREDENTIALS;
use super::refresh::REFRESH_TOKEN;
use super::{Endpoint, ExchangeGrant};

/// How a client authenticates at every endpoint.
const AUTHENTICATION_METHODS: [&str; 3] = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
];

/// How a client does that has a certificate, on the listener that asks for one (RFC 8705 §2.1).
const TLS_CLIENT_AUTH: &str = "tls_client_auth";

/// How the holder of a public grant does, which renews and ends it by its refresh token.
const NONE: &str = "none";

/// The endpoints of the issuer with this URL, whose keys have these algorithms. `mtls` is the address of the same
/// issuer on the listener that asks clients for a certificate, if there is one.
pub fn metadata(issuer: &str, algorithms: &[Algorithm], mtls: Option<&str>) -> OauthEndpoints {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let mut methods: Vec<String> = owned(&AUTHENTICATION_METHODS);
    methods.extend(mtls.map(|_| TLS_CLIENT_AUTH.to_owned()));
    let public = [methods.clone(), owned(&[NONE])].concat();
    let assertions = Algorithm::ALL.to_vec();
    OauthEndpoints {
        token_endpoint: Endpoint::Token.url(issuer),
        grant_types_supported: {
            let exchange = ExchangeGrant::ALL.map(ExchangeGrant::as_str);
            [
                owned(&[CLIENT_CREDENTIALS, REFRESH_TOKEN]),
                owned(&exchange),
            ]
            .concat()
        },
        token_endpoint_auth_methods_supported: public.clone(),
        token_endpoint_auth_signing_alg_values_supported: assertions.clone(),
        revocation_endpoint: Endpoint::Revocation.url(issuer),
        revocation_endpoint_auth_methods_supported: public,
        revocation_endpoint_auth_signing_alg_values_supported: assertions.clone(),
        introspection_endpoint: Endpoint::Introspection.url(issuer),
        introspection_endpoint_auth_methods_supported: methods.clone(),
        introspection_endpoint_auth_signing_alg_values_supported: assertions.clone(),
        introspection_signing_alg_values_supported: algorithms.to_vec(),
        consumption_endpoint: Endpoint::Consumption.url(issuer),
        consumption_endpoint_auth_methods_supported: methods,
        consumption_endpoint_auth_signing_alg_values_supported: assertions,
        global_token_revocation_endpoint: Endpoint::GlobalRevocation.url(issuer),
        dpop_signing_alg_values_supported: Algorithm::ALL.to_vec(),
        tls_client_certificate_bound_access_tokens: mtls.map(|_| true),
        mtls_endpoint_aliases: mtls.map(|mtls| MtlsEndpointAliases {
            token_endpoint: Endpoint::Token.url(mtls),
            revocation_endpoint: Endpoint::Revocation.url(mtls),
            introspection_endpoint: Endpoint::Introspection.url(mtls),
            consumption_endpoint: Endpoint::Consumption.url(mtls),
            global_token_revocation_endpoint: Endpoint::GlobalRevocation.url(mtls),
        }),
    }
}
