//! The adoption gate counts what all replicas have seen, and waits for one that cannot tell yet.

use std::sync::Arc;

use keywright::authority::ChangeError;
use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::verifiers::Asking;
use keywright::lifecycle::{Holders, Readiness, RuleViolation};
use serde_json::json;

use crate::world::{Process, SECOND, World};

/// A verifier of this number fetches the key set from a process.
fn fetch(process: &Process, number: u8) {
    let issuer = process.issuer("a").unwrap();
    let served = Arc::clone(issuer.snapshot().publication().served());
    let asking = Asking {
        address: [192, 0, 2, number].into(),
        user_agent: b"",
        certificate: None,
    };
    process.record_verifier(&issuer, asking, &served, false);
}

async fn rotate(process: &Process, readiness: Readiness) -> Result<(), ChangeError> {
    let issuer = process.issuer("a").unwrap();
    let request = Request::by(Actor::Bootstrap);
    let rotated = process.rotate(&issuer, None, readiness, request);
    rotated.await.map(drop)
}

/// Who holds the successor that a rotation waits for.
async fn awaited(process: &Process) -> Holders {
    match rotate(process, Readiness::Required).await {
        Err(ChangeError::Refused(RuleViolation::SuccessorNotAdopted(wait))) => wait.holders,
        other => panic!("{other:?}"),
    }
}

/// Time passes, and each tells the others what it has seen; the first hears what all have.
async fn pass(world: &World, seconds: u32, all: &[&Process]) {
    world.pass(SECOND * seconds, all);
    for process in all.iter().rev() {
        process.catch_up().await.unwrap();
    }
}

#[tokio::test]
async fn a_rotation_counts_the_verifiers_of_every_replica_and_waits_for_one_that_cannot_tell() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    let both = [&one, &two];
    let policy = json!({
        "lead": "20s", "jwks_max_age": "10s", "stale_if_error": "0s", "clock_skew": "5s",
        "rotation": {"every": "10m"}, "default_token_ttl": "10s", "max_token_ttl": "10s",
        "algorithms": ["ES256"], "adoption": {"share": 1, "within": "60s"},
    });
    one.create("a", policy).await;
    pass(&world, 1, &both).await;
    fetch(&one, 1);
    fetch(&two, 2);
    fetch(&two, 3);
    rotate(&one, Readiness::Waived).await.unwrap();
    pass(&world, 1, &both).await;
    fetch(&one, 1);
    for _ in 0..4 {
        pass(&world, 15, &both).await;
    }
    let counted = |holders, verifiers, uncounted_replicas| Holders {
        holders,
        verifiers,
        uncounted_replicas,
    };
    for process in both {
        assert_eq!(awaited(process).await, counted(1, 3, 0));
    }
    fetch(&two, 2);
    pass(&world, 6, &both).await;
    assert_eq!(awaited(&one).await, counted(2, 3, 0));

    // A third one has just begun: whoever asks it is served the current set.
    let three = world.process().await;
    let all = [&one, &two, &three];
    fetch(&two, 3);
    fetch(&three, 4);
    pass(&world, 6, &all).await;
    assert_eq!(awaited(&one).await, counted(3, 3, 1));
    pass(&world, 6, &all).await;
    let before = one.active("a");
    rotate(&one, Readiness::Required).await.unwrap();
    assert_ne!(one.active("a"), before);
}
