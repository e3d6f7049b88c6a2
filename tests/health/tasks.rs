//! A panic in a task of the background does not end it.

use keywright::authority::{health, replication, scheduler};
use serde_json::json;

use crate::log::Log;
use crate::world::{MAX_STALENESS, SECOND, World, active, eventually, others, ten_minutes};

#[tokio::test]
async fn a_panic_in_the_change_of_one_issuer_ends_neither_its_rotation_nor_that_of_others() {
    let world = World::new().await;
    let issuers = [
        world.create("a", ten_minutes()).await,
        world.create("b", ten_minutes()).await,
    ];
    let before = issuers.each_ref().map(|issuer| active(issuer));
    let scheduler = world.spawn("scheduler", scheduler::run);
    others().await;
    world.engine.panic_in_the_next(1);
    world.pass(SECOND * 600).await;
    let rotated = |at: usize| active(&issuers[at]) != before[at];
    eventually("a failure", || world.states().len() == 1).await;
    assert_eq!(world.states()[0].1, "schedule-failing");
    eventually("both rotations", || rotated(0) && rotated(1)).await;

    world.pass(SECOND * 2).await;
    eventually("a success", || world.states().is_empty()).await;
    assert_eq!(world.task("scheduler").restarts, 0);
    scheduler.abort();
}

#[tokio::test]
async fn a_panic_while_a_failure_is_logged_ends_no_rotation() {
    let (log, _guard) = Log::panicking_at("scheduled change failed, trying again");
    let world = World::new().await;
    let issuer = world.create("a", ten_minutes()).await;
    let before = active(&issuer);
    let scheduler = world.spawn("scheduler", scheduler::run);
    others().await;
    world.engine.panic_in_the_next(1);
    world.pass(SECOND * 600).await;
    let failed = || log.count("scheduled change failed, trying again") == 1;
    eventually("the panic", failed).await;
    eventually("the rotation", || active(&issuer) != before).await;

    world.pass(SECOND * 2).await;
    eventually("a success", || world.states().is_empty()).await;
    assert_eq!(world.task("scheduler").restarts, 0);
    scheduler.abort();
}

#[tokio::test]
async fn a_panic_in_replication_does_not_end_the_lease() {
    let line = "the store does not confirm what is in memory";
    let (log, _guard) = Log::panicking_at(line);
    let world = World::shared().await;
    let replication = world.spawn("replication", replication::run);
    others().await;
    // A clock that is wrong is not confirmed, and the log is told.
    let right = world.clock.read().wall.after(SECOND * 6);
    world.store_clock.set(right);
    world.clock.set(right);
    world.clock.set_wall(right.after(SECOND * 3));
    eventually("the panic", || world.task("replication").restarts == 1).await;
    assert_eq!(log.count(line), 1);
    world.clock.set_wall(right);

    for _ in 0..60 {
        world.pass(MAX_STALENESS / 30).await;
        assert_eq!(world.authority.readiness(), Ok(()));
    }
    assert_eq!(world.task("replication").restarts, 1);
    replication.abort();
}

#[tokio::test]
async fn a_panic_in_the_check_of_issuers_does_not_end_it() {
    let line = "an issuer has a fault";
    let (log, _guard) = Log::panicking_at(line);
    let world = World::new().await;
    world.create("a", json!({})).await;
    let checks = world.spawn("issuer-check", health::watch_issuers);
    others().await;
    // Its rotation is overdue: nothing runs here that would do it.
    world.pass(SECOND * 86_400 * 31).await;
    eventually("the panic", || world.task("issuer-check").restarts == 1).await;
    assert_eq!(world.states(), [("a".to_owned(), "rotation-overdue")]);
    world.pass(SECOND).await;
    eventually("the line", || log.count(line) == 2).await;
    checks.abort();
}
