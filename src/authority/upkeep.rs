//! What is tidied up in the store each minute: revocations of which nothing follows any more, and grants
//! that have ended; what waits for a second person is counted, and who verifies no more is forgotten. It has a task of its own, because it may take long.

use std::sync::Arc;
use std::time::Duration;

use super::Authority;

/// How often.
const INTERVAL: Duration = Duration::from_secs(60);

/// Tidies up until it is dropped.
pub async fn run(authority: Arc<Authority>) {
    let clock = &authority.services.clock;
    loop {
        match authority.approvals().await {
            Ok(waiting) => authority.metrics().observe_approvals(waiting.len()),
            Err(error) => tracing::warn!(%error, "what waits for a second person was not counted"),
        }
        authority.forget_verifiers();
        let next = clock.now().after(INTERVAL);
        clock.sleep_until(next).await;
        if let Err(error) = authority.delete_past_revocations().await {
            tracing::warn!(%error, "past revocations stay in the store for now");
        }
        authority.look_after_grants().await;
    }
}
