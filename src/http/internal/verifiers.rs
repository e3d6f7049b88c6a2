//! Who verifies with what.

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;
use keywright_verifier::Thumbprint;

use super::{Named, Service};
use crate::authority::publication::ServedKeySet;
use crate::authority::verifiers::ObservedVerifier;
use crate::http::authentication::{HasRole, role};
use crate::http::response::ok;
use crate::http::shown;

pub(super) async fn list(
    State(authority): Service,
    _caller: HasRole<role::Reader>,
    Named(issuer): Named,
) -> Response {
    let view = issuer.snapshot();
    let served = view.publication().served();
    let observed = authority.observed_verifiers(issuer.name());
    let published = served.kids.iter();
    let keys = published.filter_map(|kid| {
        let key = view.set().key(kid)?;
        let verifiers = observed.verifiers.iter();
        let holding = verifiers.filter(|verifier| verifier.holds.kids.contains(kid));
        Some(api::HeldKey {
            kid: kid.clone(),
            state: key.state().kind(),
            verifiers: u64::try_from(holding.count()).unwrap_or(u64::MAX),
        })
    });
    let verifiers = observed.verifiers.iter();
    ok(api::Verifiers {
        etag: served.etag.clone(),
        keys: keys.collect(),
        verifiers: verifiers.map(|verifier| show(verifier, served)).collect(),
        unrecorded_requests: observed.unrecorded_requests,
        waiting: shown::waiting_rotations(&authority.waiting_rotations(&issuer)),
    })
}

fn show(verifier: &ObservedVerifier, served: &ServedKeySet) -> api::Verifier {
    let certificate = verifier.certificate.map(Thumbprint::from_octets);
    let published = served.kids.iter();
    let lacks = published.filter(|kid| !verifier.holds.kids.contains(kid));
    api::Verifier {
        address: verifier.address.to_string(),
        user_agent: verifier.user_agent.clone(),
        certificate: certificate.map(|thumbprint| thumbprint.to_string()),
        etag: verifier.holds.etag.clone(),
        current: verifier.holds.etag == served.etag,
        confirmed: verifier.is_confirmed,
        lacks: lacks.cloned().collect(),
        first_seen_at: verifier.first_seen_at.in_the_past(),
        seen_at: verifier.seen_at.in_the_past(),
        requests: verifier.requests,
    }
}
