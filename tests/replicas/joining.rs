//! Who may join.

use keywright::authority::replication::ReplicationError;

use crate::world::{BEGIN, MAX_STALENESS, SECOND, World};

#[tokio::test]
async fn who_would_stay_stale_for_longer_than_the_others_agreed_on_does_not_join() {
    let world = World::new();
    let one = world.process().await;
    for other in [SECOND * 29, SECOND * 31] {
        let refused = world.try_process(BEGIN, other).await.err().unwrap();
        assert!(
            matches!(refused, ReplicationError::Disagreement { ours, theirs }
                if ours == other && theirs == MAX_STALENESS),
            "{refused}"
        );
    }
    one.leave().await.unwrap();
}

/// The one that changes the agreement waits until a replica that joined unseen under the old one has
/// ended or has seen the new one.
#[tokio::test]
async fn when_nobody_is_left_the_next_one_may_agree_on_something_else_after_the_old_staleness() {
    let world = World::new();
    world.process().await.leave().await.unwrap();
    let join = world.try_process(BEGIN, SECOND * 10);
    let waits = tokio::time::timeout(SECOND / 10, join).await;
    assert!(waits.is_err());
}

#[tokio::test]
async fn who_goes_by_another_time_of_day_does_not_join() {
    let world = World::new();
    for now in [BEGIN.after(SECOND * 3), BEGIN.before(SECOND * 3)] {
        let refused = world.try_process(now, MAX_STALENESS).await.err().unwrap();
        assert!(matches!(refused, ReplicationError::Clock(_)), "{refused}");
    }
    let off = BEGIN.after(SECOND * 2);
    assert!(world.try_process(off, MAX_STALENESS).await.is_ok());
}
