//! Without randomness nothing changes, and nothing weaker takes its place.
//!
//! A revocation is refused too: the batch that writes it is named by random bytes, from which the
//! tokens of its records are made, so that nothing could tell it from another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keywright::access::approval::Operation;
use keywright::authority::ChangeError;
use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::clock::Clock;
use keywright::engine::{EngineError, Entropy, RandomnessUnavailable};
use keywright::lifecycle::{IssuerName, Readiness, Successor};
use serde_json::json;

use crate::access::{Setup, policy, terms};
use crate::unreliable::Unreliable;
use crate::world::{BEGIN, HOUR, World, active, pending, publishes, set_policy};

/// A world whose randomness ends when it is told to.
async fn world() -> (World, Arc<AtomicBool>) {
    let is_gone = Arc::new(AtomicBool::new(false));
    let of_source = Arc::clone(&is_gone);
    let vary = |setup: &mut Setup| {
        let system = Entropy::system();
        setup.entropy = Entropy::from_source(move |bytes| {
            if of_source.load(Ordering::SeqCst) {
                return Err(RandomnessUnavailable);
            }
            bytes.copy_from_slice(&system.bytes::<64>()?[..bytes.len()]);
            Ok(())
        });
    };
    let faults = Arc::new(Unreliable::default());
    let world = World::on(faults, Clock::manual(BEGIN), None, vary).await;
    (world, is_gone)
}

fn is_refused<T>(outcome: Result<T, ChangeError>) {
    match outcome {
        Err(ChangeError::Randomness(_) | ChangeError::Engine(EngineError::Randomness(_))) => {}
        Ok(_) => panic!("it was done"),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_change_is_refused_and_changes_nothing() {
    let (world, is_gone) = world().await;
    let issuer = world.issuer("a", json!({})).await;
    let guarded = json!({"confirmation": "second-person"});
    let guarded = world.issuer("guarded", guarded).await;
    let bob = world.caller("bob").await;
    let carol = world.caller("carol").await;
    let force = Operation::ForceRotation { algorithm: None };
    world.ask(&guarded, force.clone()).await.unwrap();
    world.pass(HOUR * 25);
    world.clock.now();
    world.clock.set_wall(BEGIN.after(HOUR * 24));
    let waiting = world.authority.approvals().await.unwrap();
    let rows = world.store.rows().await.unwrap();
    let (signing, successor) = (active(&issuer).unwrap(), pending(&issuer).unwrap());
    let latest = world.clock.latest();
    let authority = &world.authority;
    let (actor, request) = (|| Actor::Bootstrap, || Request::by(Actor::Bootstrap));

    is_gone.store(true, Ordering::SeqCst);
    is_refused(
        authority
            .rotate(&issuer, None, Readiness::Required, request())
            .await,
    );
    is_refused(
        authority
            .rotate(&issuer, None, Readiness::Waived, request())
            .await,
    );
    for kid in [&signing, &successor] {
        for of_successor in [Successor::Promote, Successor::Discard] {
            is_refused(world.revoke(&issuer, kid, of_successor).await);
        }
    }
    is_refused(world.ask(&issuer, Operation::Delete).await);
    let longer = policy("a", json!({"max_token_ttl": "2h"}));
    is_refused(world.ask(&issuer, set_policy(longer)).await);
    is_refused(world.ask(&guarded, force).await);
    for approval in &waiting {
        let stored = authority.approval(&approval.id).await.unwrap();
        is_refused(authority.reject(&stored, &bob).await);
        is_refused(authority.confirm(stored, &bob).await);
    }
    let name = IssuerName::parse("new").unwrap();
    is_refused(
        authority
            .set_issuer(&name, policy("new", json!({})), None, actor())
            .await,
    );
    is_refused(authority.draft_client(terms(json!({}))).map(drop));
    is_refused(
        authority
            .set_terms(carol.id(), terms(json!({})), actor())
            .await,
    );
    is_refused(authority.delete_client(carol.id(), actor()).await);
    is_refused(authority.store_witness().await);
    is_refused(authority.correct_clock(actor(), "a test".to_owned()).await);

    let after = world.store.rows().await.unwrap();
    assert_eq!(after.records, rows.records);
    assert_eq!(after.last_event, rows.last_event);
    assert_eq!(
        world.clock.latest(),
        latest,
        "the clock has forgotten what it showed"
    );
    assert!(!issuer.outcome_is_unknown());
    assert_eq!(world.signs(&issuer).await.unwrap(), signing);
    assert!(publishes(&issuer, &successor));
    assert!(authority.issuer("new").is_err());

    is_gone.store(false, Ordering::SeqCst);
    let revoked = world.revoke(&issuer, &signing, Successor::Promote).await;
    assert_eq!(revoked.unwrap().signs_now.as_ref(), Some(&successor));
    assert!(!publishes(&issuer, &signing));
}
