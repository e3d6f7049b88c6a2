//! Claims checked against a client's schema, without a pause of the async workers.

use serde_json::{Map, Value};

use super::signing::SignRefusal;
use crate::access::limits::{ClaimsSchema, LITTLE_WORK, MOST_WORK_OF_BATCH};

/// Checks the claims of one request of a call, and takes their work from the call's `budget`.
///
/// As soon as the checks of a call take long they run on a thread for blocking work, one at a time
/// for each client: what one client's claims cost, other clients do not wait for.
pub(super) async fn check(
    schema: &ClaimsSchema,
    claims: Map<String, Value>,
    budget: &mut u64,
) -> Result<(), SignRefusal> {
    let spent = MOST_WORK_OF_BATCH.saturating_sub(*budget);
    if spent.saturating_add(schema.work(&claims)) <= LITTLE_WORK {
        schema.check(claims, budget)?;
        return Ok(());
    }
    let turn = schema.long_checks().acquire_owned().await;
    let turn = turn.map_err(|_| SignRefusal::EngineFailed)?;
    let (schema, mut left) = (schema.clone(), *budget);
    let checked = tokio::task::spawn_blocking(move || {
        // The turn lasts as long as the check, also when the caller has disconnected.
        let _turn = turn;
        (schema.check(claims, &mut left), left)
    });
    let (checked, left) = checked.await.map_err(|_| SignRefusal::EngineFailed)?;
    *budget = left;
    checked?;
    Ok(())
}
