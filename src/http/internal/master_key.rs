//! The master key: what it seals, and its rotation. No call takes or answers a key.

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;

use super::Service;
use crate::authority::master_key::MasterKeyState;
use crate::http::authentication::{HasRole, role};
use crate::http::body::OptionalBody;
use crate::http::problem::Problem;
use crate::http::response::ok;

pub(super) async fn show(
    State(authority): Service,
    caller: HasRole<role::Reader>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let MasterKeyState {
        sealing,
        rotating,
        records,
        here,
        unopenable,
    } = authority.master_key_state().await?;
    let keys = records.into_iter().map(|(key, records)| api::MasterKey {
        here: here.contains(&key),
        fingerprint: key,
        records: records as u64,
    });
    Ok(ok(api::MasterKeyState {
        sealing,
        rotating,
        keys: keys.collect(),
        unopenable: unopenable as u64,
    }))
}

pub(super) async fn rotate(
    State(authority): Service,
    caller: HasRole<role::Security>,
    OptionalBody(body): OptionalBody<api::RotateMasterKeyRequest>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let reason = body.reason.map(String::from);
    let rotated = authority.rotate_master_key(body.to, caller.actor(), reason);
    let rotation = rotated.await?;
    Ok(ok(api::MasterKeyRotation {
        sealing: rotation.sealing,
        resealed: rotation.resealed as u64,
        left: rotation.left as u64,
        unopenable: rotation.unopenable as u64,
    }))
}
