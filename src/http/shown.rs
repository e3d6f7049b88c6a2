//! Issuers, keys and outcomes as the API shows them. Never private material: there is none here.

use keywright_verifier::Kid;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::access::approval::{Approval, Operation};
use crate::authority::clients::ClientState;
use crate::authority::signing::SignedToken;
use crate::authority::snapshot::Snapshot;
use crate::authority::{Exposure, Rotation};
use crate::lifecycle::{Key, PlannedEvent, Policy, State, Timestamp};

/// `{"name", "version", "policy"}`, and `deleted_at` when it is deleted.
pub(super) fn issuer(snapshot: &Snapshot) -> Value {
    let set = snapshot.set();
    let mut shown = json!({
        "name": set.issuer().as_str(),
        "version": set.version(),
        "policy": set.policy().to_document(),
    });
    if let (Some(at), Value::Object(members)) = (set.deleted_at(), &mut shown) {
        members.insert("deleted_at".to_owned(), at.floor_seconds().into());
    }
    shown
}

/// A key with the times that apply to its state, in Unix seconds: what has happened rounded down,
/// what is still to come rounded up.
pub(super) fn key(key: &Key, policy: &Policy) -> Value {
    let mut shown = Map::new();
    let mut show = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    let past = |instant: Timestamp| Value::from(instant.floor_seconds());
    let ahead = |instant: Timestamp| Value::from(instant.ceil_seconds());
    show("kid", key.kid().as_str().into());
    show("algorithm", key.algorithm().as_str().into());
    show("state", key.state().name().into());
    show("created_at", past(key.created_at()));
    show("published_at", past(key.published_at()));
    if let Some(ready_at) = key.ready_at(policy) {
        show("ready_at", ahead(ready_at));
    }
    if let Some(activated_at) = key.activated_at() {
        show("activated_at", past(activated_at));
    }
    match key.state() {
        State::Pending(_) | State::Active(_) => {}
        State::Retired(retired) => {
            show("retired_at", past(retired.retired_at));
            show("published_until", ahead(retired.published_until));
        }
        State::Removed(removed) => {
            show("retired_at", past(removed.retired_at));
            let until = removed.published_until.unwrap_or(removed.removed_at);
            show("published_until", past(until));
        }
        State::Revoked(revoked) => {
            if let Some(retired_at) = revoked.retired_at {
                show("retired_at", past(retired_at));
            }
            show("revoked_at", past(revoked.revoked_at));
            show("reason", revoked.reason.as_str().into());
        }
    }
    Value::Object(shown)
}

fn rotation(rotation: &Rotation) -> Value {
    json!({
        "algorithm": rotation.algorithm,
        "retired": rotation.retired,
        "activated": rotation.activated,
        "successor": rotation.successor,
        "forced": rotation.forced,
    })
}

/// `{"version", "forced", "rotations"}`.
pub(super) fn rotations(version: u64, rotations: &[Rotation]) -> Value {
    json!({
        "version": version,
        "forced": rotations.iter().any(|rotation| rotation.forced),
        "rotations": rotations.iter().map(rotation).collect::<Vec<_>>(),
    })
}

/// An operation that waits for a second person.
pub(super) fn approval(approval: &Approval) -> Value {
    let mut shown = Map::new();
    let mut show = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    show("id", approval.id.as_str().into());
    show("issuer", approval.issuer.as_str().into());
    show("operation", approval.operation.as_str().into());
    match &approval.operation {
        Operation::ForceRotation { algorithm } => show("algorithm", json!(algorithm)),
        Operation::Revoke {
            kid,
            discard_successor,
        } => {
            show("kid", kid.as_str().into());
            show("discard_successor", (*discard_successor).into());
        }
        Operation::Delete => {}
        Operation::SetPolicy { policy } => show("policy", policy.to_document()),
    }
    if let Some(reason) = &approval.reason {
        show("reason", reason.as_str().into());
    }
    show("requested_by", approval.requested_by.clone());
    let (from, until) = (approval.requested_at, approval.expires_at);
    show("requested_at", from.floor_seconds().into());
    show("expires_at", until.ceil_seconds().into());
    Value::Object(shown)
}

pub(super) fn exposure(exposure: &Exposure) -> Value {
    json!({
        "kid": exposure.kid,
        "algorithm": exposure.algorithm,
        "revoked": exposure.revoked,
        "revoked_at": exposure.revoked_at.floor_seconds(),
        "forced": exposure.forced,
        "signs_now": exposure.signs_now,
        "cached_until": exposure.cached_until.ceil_seconds(),
        "tokens_until": exposure.tokens_until.ceil_seconds(),
        "in_force_everywhere_at": exposure.in_force_everywhere_at.ceil_seconds(),
    })
}

/// `{"token", "kid", "jti", "expires_at"}`.
#[derive(Serialize)]
pub(super) struct Token<'a> {
    token: &'a str,
    kid: &'a Kid,
    jti: &'a str,
    expires_at: u64,
}

pub(super) fn token(token: &SignedToken) -> Token<'_> {
    Token {
        token: &token.token,
        kid: &token.kid,
        jti: &token.jti,
        expires_at: token.expires_at,
    }
}

pub(super) fn occurrence(occurrence: &PlannedEvent) -> Value {
    let mut shown = Map::new();
    shown.insert("at".to_owned(), occurrence.at.ceil_seconds().into());
    if let Ok(Value::Object(event)) = serde_json::to_value(&occurrence.event) {
        shown.extend(event);
    }
    Value::Object(shown)
}

/// A client with its credentials, which have no secret in them.
pub(super) fn client(live: &ClientState) -> Map<String, Value> {
    let client = &live.client;
    let mut shown = Map::new();
    shown.insert("id".to_owned(), client.id.as_str().into());
    shown.extend(client.terms.to_members());
    shown.insert("version".to_owned(), client.version.into());
    let created_at = client.created_at.floor_seconds();
    shown.insert("created_at".to_owned(), created_at.into());
    let credentials = client.credentials.iter().map(|record| {
        json!({
            "id": record.id,
            "created_at": record.created_at.floor_seconds(),
            "expires_at": record.expires_at.map(Timestamp::ceil_seconds),
            "last_used_at": live.last_used(&record.id).map(Timestamp::floor_seconds),
        })
    });
    shown.insert("credentials".to_owned(), credentials.collect());
    shown
}
