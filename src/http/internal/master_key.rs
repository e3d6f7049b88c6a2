//! The master key: what it seals, and its rotation. No call takes or answers a key.

use axum::extract::State;
use axum::response::Response;
use keywright_verifier::json::Object;
use serde_json::{Value, json};

use super::{Service, optional_reason};
use crate::authority::master_key::MasterKeyState;
use crate::http::authentication::{HasRole, role};
use crate::http::body::OptionalBody;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::store::seal::Fingerprint;

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
    let keys = records.into_iter().map(|(key, records)| {
        let here = here.contains(&key);
        json!({ "fingerprint": key.to_string(), "here": here, "records": records })
    });
    Ok(ok(json!({
        "sealing": sealing.to_string(),
        "rotating": rotating,
        "keys": keys.collect::<Vec<Value>>(),
        "unopenable": unopenable,
    })))
}

pub(super) async fn rotate(
    State(authority): Service,
    caller: HasRole<role::Security>,
    OptionalBody(mut body): OptionalBody,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let to = optional_fingerprint(&mut body)?;
    let reason = optional_reason(&mut body)?;
    body.finish()?;
    let rotated = authority.rotate_master_key(to, caller.actor(), reason);
    let rotation = rotated.await?;
    Ok(ok(json!({
        "sealing": rotation.sealing.to_string(),
        "resealed": rotation.resealed,
        "left": rotation.left,
        "unopenable": rotation.unopenable,
    })))
}

fn optional_fingerprint(body: &mut Object) -> Result<Option<Fingerprint>, Problem> {
    let to = body.optional_string("to")?;
    let parsed = to.map(|text| text.parse()).transpose();
    parsed.map_err(|error| Problem::new(Code::InvalidFingerprint, error))
}
