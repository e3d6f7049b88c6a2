//! A revocation never waits for a key.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use keywright::access::approval::Operation;
use keywright::authority::ChangeError;
use keywright::authority::approvals::{ApprovalOutcome, Outcome};
use keywright::authority::audit::Actor;
use keywright::authority::issuer::Issuer;
use keywright::authority::request::Request;
use keywright::engine::SigningEngine as _;
use keywright::engine::{Urgency, software::SoftwareEngine};
use keywright::lifecycle::{ImportAs, KeySpecification, Readiness, Successor};
use keywright_verifier::{Algorithm, Kid};
use serde_json::json;

use crate::world::{HOUR, World, active, full_set, pending, promptly, publishes};

/// An issuer whose successor is ready, on a world whose engine makes no more keys.
async fn blocked(world: &World) -> (Arc<Issuer>, Kid, Kid) {
    let issuer = world.issuer("a", json!({})).await;
    world.pass(HOUR * 25);
    world.engine.es256.close();
    let (signing, successor) = (active(&issuer).unwrap(), pending(&issuer).unwrap());
    (issuer, signing, successor)
}

/// Nothing signs with it or publishes it.
async fn is_gone(world: &World, issuer: &Issuer, kid: &Kid) {
    assert_ne!(world.signs(issuer).await.ok().as_ref(), Some(kid));
    assert!(!publishes(issuer, kid));
}

async fn filled_when_released(world: &World, issuer: &Issuer) {
    world.engine.es256.open();
    full_set(issuer).await;
    assert_eq!(world.signs(issuer).await.unwrap(), active(issuer).unwrap());
}

#[tokio::test]
async fn a_ready_successor_signs_at_once_and_the_next_one_comes_later() {
    for world in World::each().await {
        let (issuer, signing, successor) = blocked(&world).await;
        let exposure = world.revoke(&issuer, &signing, Successor::Promote).await;
        assert_eq!(exposure.unwrap().signs_now.as_ref(), Some(&successor));
        assert_eq!(world.signs(&issuer).await.unwrap(), successor);
        is_gone(&world, &issuer, &signing).await;
        assert_eq!(pending(&issuer), None);
        filled_when_released(&world, &issuer).await;
        assert_eq!(active(&issuer), Some(successor));
    }
}

#[tokio::test]
async fn without_a_successor_nothing_signs_until_a_key_is_there() {
    for world in World::each().await {
        let (issuer, signing, successor) = blocked(&world).await;
        let first = world.revoke(&issuer, &successor, Successor::Promote).await;
        assert_eq!(first.unwrap().signs_now.as_ref(), Some(&signing));
        is_gone(&world, &issuer, &successor).await;
        let exposure = world.revoke(&issuer, &signing, Successor::Promote).await;
        assert_eq!(exposure.unwrap().signs_now, None);
        assert!(world.signs(&issuer).await.is_err());
        is_gone(&world, &issuer, &signing).await;
        filled_when_released(&world, &issuer).await;
        let forced = world.events("key-activated").await;
        assert_eq!(forced.last().unwrap()["forced"], true, "{forced:?}");
    }
}

#[tokio::test]
async fn with_its_successor_discarded_nothing_signs_until_a_key_is_there() {
    for world in World::each().await {
        let (issuer, signing, successor) = blocked(&world).await;
        let exposure = world.revoke(&issuer, &signing, Successor::Discard).await;
        let exposure = exposure.unwrap();
        assert_eq!(
            world.engine.forgotten.load(Ordering::SeqCst),
            1,
            "the reserve"
        );
        assert_eq!(exposure.signs_now, None);
        assert_eq!(exposure.revoked.len(), 2);
        for kid in [&signing, &successor] {
            is_gone(&world, &issuer, kid).await;
        }
        filled_when_released(&world, &issuer).await;
    }
}

#[tokio::test]
async fn an_issuer_is_deleted_while_no_key_can_be_made() {
    for world in World::each().await {
        let (issuer, signing, successor) = blocked(&world).await;
        world
            .revoke(&issuer, &successor, Successor::Promote)
            .await
            .unwrap();
        let deleted = promptly(world.ask(&issuer, Operation::Delete)).await;
        assert!(matches!(
            deleted.unwrap(),
            ApprovalOutcome::Done(Outcome::Deleted(_))
        ));
        assert!(world.signs(&issuer).await.is_err());
        is_gone(&world, &issuer, &signing).await;
        world.engine.es256.open();
        tokio::task::yield_now().await;
        assert_eq!(active(&issuer), None);
    }
}

/// Rotations and imports wait for the successor that they want; no other change waits for it.
#[tokio::test]
async fn what_waits_for_a_key_keeps_no_revocation_and_no_other_issuer_waiting() {
    for world in World::each().await {
        let other = world.issuer("b", json!({})).await;
        let (issuer, signing, successor) = blocked(&world).await;
        let authority = Arc::clone(&world.authority);
        let of = Arc::clone(&issuer);
        let rotation = tokio::spawn(async move {
            let request = Request::by(Actor::Bootstrap);
            authority
                .rotate(&of, None, Readiness::Waived, request)
                .await
        });
        world.engine.es256.until_waiting(1).await;
        assert!(!rotation.is_finished());
        let pair = SoftwareEngine::start().unwrap();
        let specification = KeySpecification {
            algorithm: Algorithm::Es256,
            rsa_bits: 2048,
        };
        let pair = pair
            .generate(specification, Urgency::Immediate)
            .await
            .unwrap();
        let imported = pair.jwk.kid().clone();
        let actor = Actor::Bootstrap;
        let import = (world.authority).import_private(&issuer, pair, ImportAs::Retired, actor);
        promptly(import).await.unwrap();
        for kid in [&successor, &imported, &signing] {
            world
                .revoke(&issuer, kid, Successor::Promote)
                .await
                .unwrap();
            is_gone(&world, &issuer, kid).await;
        }
        assert!(world.signs(&issuer).await.is_err());
        let leaked = active(&other).unwrap();
        let revoked = world.revoke(&other, &leaked, Successor::Promote).await;
        assert_eq!(revoked.unwrap().signs_now, active(&other));
        world.engine.es256.open();
        let rotated: Result<_, ChangeError> = rotation.await.unwrap();
        assert_eq!(rotated.unwrap().1[0].activated, successor);
        filled_when_released(&world, &issuer).await;
    }
}
