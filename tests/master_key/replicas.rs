//! What several processes on one store must agree on.

use std::sync::Arc;
use std::time::Duration;

use keywright::access::{Client, Limits, Role, Terms};
use keywright::authority::audit::Actor;
use keywright::authority::authentication::TrustedIssuers;
use keywright::authority::grants::GrantDraft;
use keywright::authority::lease::Lease;
use keywright::authority::push::PushTargets;
use keywright::authority::revocations::RevocationSecret;
use keywright::authority::status_lists::StatusSecrets;
use keywright::authority::{Authority, ChangeError, Services};
use keywright::clock::Clock;
use keywright::engine::software::SoftwareEngine;
use keywright::lifecycle::{IssuerName, Policy, Timestamp};
use keywright::oauth::GrantHolder;
use keywright::store::chain::LogHead;
use keywright::store::memory::MemoryStore;
use keywright::store::replicas::{Heartbeat, ReplicaStore as _};
use keywright::store::seal::check::{self, MasterKeyRotation};
use keywright::store::seal::{MasterKeys, SealedRow};
use keywright::store::{Batch, BatchId, Content, Kind, Query, Store, Write, commit};
use keywright::telemetry::{Metrics, Tracer};
use serde_json::json;

use crate::unreliable::Unreliable;
use crate::world::Key;

const BEGIN: Timestamp = Timestamp::from_seconds(1_800_000_000);

async fn store(clock: &Clock, sealing: &Key) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::shared_by_all(clock.clone()));
    let setting = check::write(&sealing.master(), MasterKeyRotation::Idle, [7; 12]).unwrap();
    let mut batch = Batch::new(BatchId([7; 16]));
    let create = Write::Create(check::record_key(), Content::sealed(setting));
    batch.writes.push(create);
    commit(&*store, batch).await.unwrap();
    let staleness = Duration::from_secs(30);
    store.set_max_staleness(None, staleness).await.unwrap();
    store
}

async fn replica(store: &Arc<MemoryStore>, clock: &Clock, keys: [&Key; 2]) -> Arc<Authority> {
    process(Arc::clone(store) as _, clock, keys).await
}

async fn process(store: Arc<dyn Store>, clock: &Clock, keys: [&Key; 2]) -> Arc<Authority> {
    let [first, further] = keys.map(Key::master);
    let services = Services {
        entropy: keywright::engine::Entropy::system(),
        engine: Arc::new(SoftwareEngine::start().unwrap()),
        master_keys: MasterKeys::new(first, vec![further]).unwrap(),
        lease: Arc::new(Lease::on(&*store, clock.clone(), Duration::from_secs(30))),
        store,
        identity: serde_json::Map::new(),
        clock: clock.clone(),
        metrics: Arc::new(Metrics::default()),
        tracer: Tracer::default(),
        trusted: TrustedIssuers::default(),
        audience: None,
        oauth: keywright::oauth::Endpoints::Off,
        grants: keywright::oauth::grant::GrantSettings::default(),
        push: PushTargets::default(),
        issuance_log: None,
        revocation_secret: RevocationSecret::default(),
        status_secrets: StatusSecrets::default(),
    };
    Arc::new(Authority::start(services).await.unwrap())
}

async fn create(authority: &Arc<Authority>, name: &str) {
    let document =
        json!({"url": format!("https://id.example.com/{name}"), "algorithms": ["ES256"]});
    let policy = Policy::from_document(document, &keywright::lifecycle::Timing::single()).unwrap();
    let name = IssuerName::parse(name).unwrap();
    let created = authority
        .set_issuer(&name, policy, None, Actor::Bootstrap)
        .await;
    assert!(created.is_ok());
}

async fn beat(store: &MemoryStore, replica: &str, keys: &[&Key]) {
    let fingerprints: Vec<String> = keys.iter().map(|key| key.fingerprint()).collect();
    let heartbeat = Heartbeat {
        replica: replica.to_owned(),
        through: LogHead::BEGINNING,
        document: json!({ "master_keys": fingerprints }).to_string(),
    };
    store.write_heartbeat(&heartbeat).await.unwrap();
}

#[tokio::test]
async fn a_key_that_a_live_replica_lacks_seals_nothing() {
    let clock = Clock::manual(BEGIN);
    let (before, after) = (Key::new(1), Key::new(2));
    let store = store(&clock, &before).await;
    let authority = replica(&store, &clock, [&before, &after]).await;
    create(&authority, "a").await;
    beat(&store, "one", &[&before, &after]).await;
    beat(&store, "two", &[&before]).await;
    let keys = MasterKeys::new(before.master(), vec![after.master()]).unwrap();
    let seals = async || {
        let setting = store.get(&check::record_key()).await.unwrap();
        let sealing = check::read(&keys, &setting.unwrap().sealed.unwrap()).unwrap();
        (sealing.key.fingerprint(), sealing.rotation)
    };
    let idle = (before.master().fingerprint(), MasterKeyRotation::Idle);
    let rotate = || authority.rotate_master_key(None, Actor::Scheduler, None);
    match rotate().await {
        Err(ChangeError::MasterKeyNotEverywhere { replicas, .. }) => assert_eq!(replicas, ["two"]),
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(seals().await, idle);
    // A replica that has said nothing for the longest staleness serves no more.
    clock.set(BEGIN.after(Duration::from_secs(31)));
    beat(&store, "one", &[&before, &after]).await;
    assert_eq!(rotate().await.unwrap().left, 0);
    assert_eq!(authority.master_keys().len(), 2);
}

#[tokio::test]
async fn whatever_a_replica_makes_during_a_rotation_is_sealed_with_the_new_key() {
    let clock = Clock::manual(BEGIN);
    let (before, after) = (Key::new(1), Key::new(2));
    let store = store(&clock, &before).await;
    let one = replica(&store, &clock, [&before, &after]).await;
    let two = replica(&store, &clock, [&before, &after]).await;
    let creating = tokio::spawn(async move {
        for number in 0..60 {
            create(&two, &format!("b-{number}")).await;
        }
        two
    });
    for number in 0..5 {
        create(&one, &format!("a-{number}")).await;
    }
    // In the middle of what the other one makes.
    let rotated = one.rotate_master_key(None, Actor::Scheduler, None).await;
    assert_eq!(rotated.unwrap().left, 0);
    creating.await.unwrap();
    let state = one.master_key_state().await.unwrap();
    assert_eq!(state.records[&before.master().fingerprint()], 0);
    assert_eq!(state.records[&after.master().fingerprint()], 130);
    assert!(!state.rotating);
}

fn login_service() -> Client {
    let terms = Terms {
        name: "login".to_owned(),
        roles: [Role::Issuer].into(),
        limits: Limits::default(),
        certificates: Vec::new(),
        workloads: Vec::new(),
        keys: None,
    };
    Client::new("login".to_owned(), terms, BEGIN)
}

/// The whole rotation happens between the moment at which a replica looks which key seals and its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_is_opened_while_a_rotation_begins_is_sealed_with_the_new_key() {
    let clock = Clock::manual(BEGIN);
    let (before, after) = (Key::new(1), Key::new(2));
    let store = store(&clock, &before).await;
    let one = replica(&store, &clock, [&before, &after]).await;
    create(&one, "a").await;
    let slow = Arc::new(Unreliable::on(Arc::clone(&store) as _));
    let two = process(Arc::clone(&slow) as _, &clock, [&before, &after]).await;
    slow.gate.close();
    let opening = tokio::spawn(async move {
        let issuer = two.issuer("a").unwrap();
        let draft = GrantDraft {
            claims: json!({"sub": "user-1", "aud": "orders"})
                .as_object()
                .unwrap()
                .clone(),
            holder: GrantHolder::Public,
            expires_in: None,
            idle: Duration::from_secs(3600),
            absolute: Duration::from_secs(86_400),
            binding: None,
        };
        two.open_grant(&issuer, &login_service(), draft).await
    });
    slow.gate.until_waiting(1).await;
    let rotated = one.rotate_master_key(None, Actor::Scheduler, None).await;
    assert_eq!(rotated.unwrap().left, 0);
    slow.gate.open();
    let opened = opening.await.unwrap();
    assert!(opened.is_ok(), "{:?}", opened.err());
    let grants = store.list(Query::all(Kind::Grant)).await.unwrap();
    let name = IssuerName::parse("a").unwrap();
    let sealed = grants[0].sealed.as_deref().unwrap();
    let new_key = MasterKeys::of(after.master());
    assert!(
        new_key
            .open_row(SealedRow::Grant(&name, &grants[0].key.id), sealed)
            .is_ok()
    );
    let state = one.master_key_state().await.unwrap();
    assert_eq!(state.records[&before.master().fingerprint()], 0);
}
