//! Documents that are signed with the keys of tokens, and are none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
