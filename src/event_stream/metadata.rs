//! What an issuer says of its streams (SSF 1.0 §7.1).

use keywright_api::{AuthorizationScheme, DefaultSubjects, SsfConfiguration};

use super::{DeliveryMethod, EventStreamEndpoint};

/// How receivers authenticate: by a bearer credential, or by Basic.
const AUTHORIZATION_SCHEMES: [&str; 2] = ["urn:ietf:rfc:6750", "urn:ietf:rfc:7617"];

/// The configuration of the issuer with this URL, whose keys are there.
pub fn configuration(issuer: &str, jwks_uri: String) -> SsfConfiguration {
    let schemes = AUTHORIZATION_SCHEMES.iter().map(|urn| AuthorizationScheme {
        spec_urn: (*urn).to_owned(),
    });
    SsfConfiguration {
        spec_version: "1_0".to_owned(),
        issuer: issuer.to_owned(),
        jwks_uri,
        delivery_methods_supported: [DeliveryMethod::PUSH, DeliveryMethod::POLL]
            .map(str::to_owned)
            .to_vec(),
        configuration_endpoint: EventStreamEndpoint::Configuration.url(issuer),
        status_endpoint: EventStreamEndpoint::Status.url(issuer),
        verification_endpoint: EventStreamEndpoint::Verification.url(issuer),
        authorization_schemes: schemes.collect(),
        default_subjects: DefaultSubjects::All,
    }
}
