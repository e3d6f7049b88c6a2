//! Claims checked against a client's schema, without a pause of the async workers.

use serde_json::{Map, Value};

use super::signing::SignRefusal;
use crate::access::limits::{ClaimsSchema, LITTLE_WORK, MOST_WORK_OF_BATCH};

type Claims = Map<String, Value>;

/// Checks the claims of the requests of one call, and returns those that fit, in order.
///
/// A check that takes long runs on a thread for blocking work, one at a time for each client: what
/// one client's claims cost, other clients do not wait for.
pub(super) async fn check_all(
    schema: &ClaimsSchema,
    claims: Vec<Claims>,
) -> Vec<Result<Claims, SignRefusal>> {
    let work = claims.iter().map(|claims| schema.work(claims));
    if work.fold(0, u64::saturating_add) <= LITTLE_WORK {
        return check_in_turn(schema, claims);
    }
    let count = claims.len();
    let schema = schema.clone();
    let Ok(turn) = schema.long_checks().acquire_owned().await else {
        return vec![Err(SignRefusal::EngineFailed); count];
    };
    let checks = tokio::task::spawn_blocking(move || {
        // The turn lasts as long as the check, also when the caller has disconnected.
        let _turn = turn;
        check_in_turn(&schema, claims)
    });
    let failed = |_| vec![Err(SignRefusal::EngineFailed); count];
    checks.await.unwrap_or_else(failed)
}

fn check_in_turn(schema: &ClaimsSchema, claims: Vec<Claims>) -> Vec<Result<Claims, SignRefusal>> {
    let mut budget = MOST_WORK_OF_BATCH;
    let check = |claims| Ok(schema.check(claims, &mut budget)?);
    claims.into_iter().map(check).collect()
}
