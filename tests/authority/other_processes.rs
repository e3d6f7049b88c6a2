//! Another process reads the SQLite file, or holds its write lock.

use std::path::PathBuf;
use std::sync::Arc;

use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::lifecycle::{Readiness, Successor};
use keywright_verifier::Algorithm;
use serde_json::json;

use crate::other_process::OtherProcess;
use crate::world::{HOUR, SECOND, World, active, full_set, promptly, publishes};

fn file(world: &World) -> PathBuf {
    world.folder.as_ref().unwrap().path().join("keywright.db")
}

#[tokio::test]
async fn a_revocation_is_in_force_at_once_while_another_process_reads() {
    let world = World::in_a_file().await;
    let both = json!({"algorithms": ["ES256", "RS256"]});
    let issuer = world.issuer("a", both).await;
    world.pass(HOUR * 25);
    let other = OtherProcess::reads(&file(&world));

    let leaked = active(&issuer).unwrap();
    let before = issuer.leased_snapshot();
    let of_rsa = world.signs_with(&issuer, Algorithm::Rs256).await.unwrap();
    let exposure = world.revoke(&issuer, &leaked, Successor::Promote).await;
    let exposure = exposure.unwrap();
    assert_eq!(exposure.in_force_everywhere_at, world.clock.now());
    assert!(!before.may_sign(), "what was being signed is handed out");
    assert!(!publishes(&issuer, &leaked));
    assert_eq!(world.signs(&issuer).await.ok(), exposure.signs_now);
    let still = world.signs_with(&issuer, Algorithm::Rs256).await;
    assert_eq!(still.unwrap(), of_rsa);
    // The next ones are as prompt: nothing that is left to tidy up is in their way.
    for _ in 0..3 {
        full_set(&issuer).await;
        let leaked = active(&issuer).unwrap();
        let revoked = world.revoke(&issuer, &leaked, Successor::Promote).await;
        revoked.unwrap();
        assert_ne!(world.signs(&issuer).await.ok(), Some(leaked));
    }
    other.ends();
}

/// The stamp of a change is taken with the lock in hand: what it promises runs from there.
#[tokio::test]
async fn a_change_that_waits_for_the_write_lock_stops_no_signature_and_is_stamped_after_it() {
    let world = World::in_a_file().await;
    let issuer = world.issuer("a", json!({})).await;
    world.pass(HOUR * 25);
    let signing = active(&issuer).unwrap();
    let other = OtherProcess::writes(&file(&world));
    let (authority, of) = (Arc::clone(&world.authority), Arc::clone(&issuer));
    let rotation = tokio::spawn(async move {
        let request = Request::by(Actor::Bootstrap);
        authority
            .rotate(&of, None, Readiness::Required, request)
            .await
    });
    // Less than the time for which SQLite waits, and by our clock more than a switch-over and less
    // than the deadline of a commit, which would have it decided anew.
    for _ in 0..10 {
        tokio::time::sleep(SECOND / 20).await;
        world.pass(SECOND * 3 / 10);
        assert_eq!(world.signs(&issuer).await.unwrap(), signing);
        let cache_control = issuer.leased_snapshot();
        assert_ne!(cache_control.cache_control(world.clock.now()), "no-cache");
    }
    assert!(!rotation.is_finished());
    let released = world.clock.now();
    other.ends();
    promptly(rotation).await.unwrap().unwrap();
    assert_ne!(world.signs(&issuer).await.unwrap(), signing);
    let activated = world.events("key-activated").await;
    let events = world.store.events(None, 0, 1000).await.unwrap();
    let last = events.iter().rev();
    let kid = active(&issuer).unwrap();
    let is_last = |text: &str| text.contains(kid.as_str()) && text.contains("key-activated");
    let mut stamped = last.filter(|event| is_last(&event.event.document));
    assert!(
        stamped.next().unwrap().event.at >= released.millis(),
        "{activated:?}"
    );
}
