//! A commit whose answer is lost: it happened, or not, and what is in memory becomes what is stored.

use std::sync::Arc;

use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::{ChangeError, IssuerSet};
use keywright::clock::Clock;
use keywright::lifecycle::{IssuerName, Readiness, Successor};
use keywright::store::SetTokens;
use keywright::store::memory::MemoryStore;
use keywright::store::seal::MasterKeys;
use keywright::store::seal::check::{self, MasterKeyRotation};
use keywright::store::{Batch, BatchId, Content, Write, commit};
use serde_json::json;

use crate::access::{master_key, policy, terms};
use crate::unreliable::Unreliable;
use crate::world::{BEGIN, HOUR, World, active, promptly};

/// What becomes of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It happened, and the store says so when it is asked.
    Known,
    /// It happened, and the store does not answer the first time.
    KnownLater,
    /// It never happened.
    Never,
}

const FATES: [Fate; 3] = [Fate::Known, Fate::KnownLater, Fate::Never];

impl Fate {
    fn befall(self, faults: &Unreliable) {
        match self {
            Self::Known => faults.lose_the_next_answer(),
            Self::KnownLater => faults.lose_the_next_two_answers(),
            Self::Never => faults.lose_the_next_batch(),
        }
    }

    /// The caller is told of a success only when it is known.
    fn judges<T>(self, outcome: &Result<T, ChangeError>) {
        match outcome {
            Ok(_) => assert_eq!(self, Self::Known),
            Err(ChangeError::Store(_)) => assert_ne!(self, Self::Known),
            Err(error) => panic!("{self:?}: {error}"),
        }
    }
}

/// What is in memory is what is stored, as soon as no change is under way: one of a key that is
/// generated may follow.
async fn is_in_step(world: &World, name: &str) {
    let issuer = world.authority.issuer(name).unwrap();
    assert!(!issuer.outcome_is_unknown());
    let in_step = async {
        loop {
            let stored = world.store.key_set(issuer.name()).await.unwrap().unwrap();
            if *issuer.snapshot().tokens() == SetTokens::of(&stored) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    promptly(in_step).await;
}

#[tokio::test]
async fn of_a_rotation() {
    for fate in FATES {
        for world in World::each().await {
            let issuer = world.issuer("a", json!({})).await;
            world.pass(HOUR * 25);
            let before = active(&issuer);
            fate.befall(&world.faults);
            let request = || Request::by(Actor::Bootstrap);
            let rotate = world
                .authority
                .rotate(&issuer, None, Readiness::Required, request());
            fate.judges(&rotate.await);
            // Another rotation needs another successor, unless this one has not happened.
            let again = world
                .authority
                .rotate(&issuer, None, Readiness::Required, request());
            assert_eq!(again.await.is_ok(), fate == Fate::Never, "{fate:?}");
            is_in_step(&world, "a").await;
            assert_ne!(active(&issuer), before);
            assert_eq!(world.events("key-retired").await.len(), 1);
        }
    }
}

#[tokio::test]
async fn of_a_revocation() {
    for fate in FATES {
        for world in World::each().await {
            let issuer = world.issuer("a", json!({})).await;
            world.pass(HOUR * 25);
            let leaked = active(&issuer).unwrap();
            fate.befall(&world.faults);
            let revoked = world.revoke(&issuer, &leaked, Successor::Promote).await;
            fate.judges(&revoked);
            let again = world.revoke(&issuer, &leaked, Successor::Promote).await;
            assert_eq!(again.is_ok(), fate == Fate::Never, "{fate:?}");
            is_in_step(&world, "a").await;
            assert_ne!(world.signs(&issuer).await.unwrap(), leaked);
            assert_eq!(world.events("key-revoked").await.len(), 1);
        }
    }
}

#[tokio::test]
async fn of_a_creation() {
    for fate in FATES {
        for world in World::each().await {
            let name = IssuerName::parse("a").unwrap();
            let put = || {
                let actor = Actor::Bootstrap;
                (world.authority).set_issuer(&name, policy("a", json!({})), None, actor)
            };
            fate.befall(&world.faults);
            fate.judges(&put().await);
            match (fate, put().await) {
                (Fate::Known, Ok(IssuerSet::Replaced(_)))
                | (Fate::Never, Ok(IssuerSet::Created(_)))
                | (Fate::KnownLater, Err(ChangeError::Contended)) => {}
                (_, other) => panic!("{fate:?}: {:?}", other.err()),
            }
            assert!(matches!(put().await, Ok(IssuerSet::Replaced(_))));
            is_in_step(&world, "a").await;
            let issuer = world.authority.issuer("a").unwrap();
            world.signs(&issuer).await.unwrap();
            assert_eq!(world.events("issuer-created").await.len(), 1);
        }
    }
}

#[tokio::test]
async fn of_a_change_of_a_client() {
    for fate in FATES {
        for world in World::each().await {
            let caller = world.caller("bob").await;
            let set = |name: &str| {
                let terms = terms(json!({"name": name, "roles": ["security", "admin"]}));
                (world.authority).set_terms(caller.id(), terms, Actor::Bootstrap)
            };
            fate.befall(&world.faults);
            fate.judges(&set("robert").await);
            world.authority.reload_unknown_clients().await.unwrap();
            let now = world.authority.client(caller.id()).unwrap();
            let expected = if fate == Fate::Never { "bob" } else { "robert" };
            assert_eq!(now.client.terms.name, expected, "{fate:?}");
            set("rob").await.unwrap();
        }
    }
}

#[tokio::test]
async fn of_a_rotation_of_the_master_key() {
    for fate in FATES {
        let store = MemoryStore::default();
        let setting = check::write(&master_key(7), MasterKeyRotation::Idle, [7; 12]).unwrap();
        let mut batch = Batch::new(BatchId([1; 16]));
        let content = Content::sealed(setting);
        batch
            .writes
            .push(Write::Create(check::record_key(), content));
        commit(&store, batch).await.unwrap();
        let faults = Arc::new(Unreliable::on(Arc::new(store)));
        let two_keys = |setup: &mut crate::access::Setup| {
            let keys = MasterKeys::new(master_key(7), vec![master_key(8)]);
            setup.master_keys = keys.unwrap();
        };
        let world = World::on(faults, Clock::manual(BEGIN), None, two_keys).await;
        let issuer = world.issuer("a", json!({})).await;
        let rotate = || {
            let to = Some(master_key(8).fingerprint());
            (world.authority).rotate_master_key(to, Actor::Bootstrap, None)
        };
        fate.befall(&world.faults);
        // What comes first leaves no event: the record itself tells what became of it.
        assert_eq!(rotate().await.is_ok(), fate != Fate::Never, "{fate:?}");
        assert_eq!(rotate().await.unwrap().left, 0);
        let state = world.authority.master_key_state().await.unwrap();
        assert_eq!(state.sealing, master_key(8).fingerprint());
        assert!(!state.rotating);
        assert_eq!(state.records[&master_key(7).fingerprint()], 0);
        for name in [
            "master-key-rotation-started",
            "master-key-rotation-finished",
        ] {
            assert_eq!(world.events(name).await.len(), 1, "{fate:?}: {name}");
        }
        // What was sealed anew has other tokens.
        let leaked = active(&issuer).unwrap();
        world
            .revoke(&issuer, &leaked, Successor::Promote)
            .await
            .unwrap();
        is_in_step(&world, "a").await;
    }
}
