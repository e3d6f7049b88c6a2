//! Documents that are signed with the keys of tokens, and are none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::Algorithm;
use serde::Serialize;

use super::{SignRefusal, encode_header};
use crate::authority::snapshot::{LeasedSnapshot, SigningEntry};

/// Signs a document of the service's own, which is no token.
///
/// # Errors
/// [`SignRefusal::SnapshotStale`], or that of the engine.
pub(in crate::authority) async fn sign_document(
    view: &LeasedSnapshot,
    entry: &SigningEntry,
    typ: &str,
    claims: &impl Serialize,
) -> Result<String, SignRefusal> {
    let claims = serde_json::to_vec(claims).map_err(|_| SignRefusal::EngineFailed)?;
    let mut input = encode_header(entry.algorithm, &entry.kid, typ);
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut input);
    let signed = entry.signer.complete(vec![input]).await?.pop();
    let signed = signed.ok_or(SignRefusal::EngineFailed)?;
    match view.may_sign() {
        true => Ok(signed),
        false => Err(SignRefusal::SnapshotStale),
    }
}

/// What signs a document for other systems than verifiers of tokens: RS256 if there is a key for it, which
/// they expect that have said nothing else.
///
/// # Errors
/// [`SignRefusal::AlgorithmNotActive`], or [`SignRefusal::SnapshotStale`].
pub(in crate::authority) fn signer_for_others(
    view: &LeasedSnapshot,
) -> Result<&SigningEntry, SignRefusal> {
    let algorithm = view.set().policy().default_algorithm;
    let entry = view
        .signer(Algorithm::Rs256)
        .or_else(|| view.signer(algorithm));
    let entry = entry.ok_or(SignRefusal::AlgorithmNotActive(algorithm))?;
    match view.may_sign() {
        true => Ok(entry),
        false => Err(SignRefusal::SnapshotStale),
    }
}
