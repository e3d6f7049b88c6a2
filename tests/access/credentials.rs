//! Credentials: how they end, who may end them, and that no client is locked out or let in by accident.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright::authority::ChangeError;
use keywright::authority::audit::{Actor, AuthenticationMethod};
use keywright::authority::authentication::Unauthenticated;
use keywright::authority::scheduler::run_access_upkeep;
use keywright::clock::Clock;
use keywright::lifecycle::Timestamp;
use keywright::store::memory::MemoryStore;
use keywright::store::{
    Batch, BatchId, Content, EventRow, Kind, RecordKey, Store as _, Write, commit,
};
use keywright::supervision::supervise;
use keywright::telemetry::Metrics;
use serde_json::{Value, json};

use crate::unreliable::Unreliable;
use crate::world::{BEGIN, World, terms};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn let_in(world: &World, credential: &str) -> bool {
    match world.admit(credential).await {
        Ok(_) => true,
        Err(Unauthenticated::Invalid) => false,
        Err(other) => panic!("{other:?}"),
    }
}

async fn rotate(
    world: &World,
    client: &str,
    lifetime: Option<Duration>,
    overlap: Duration,
) -> (String, String) {
    let rotated = world
        .authority
        .rotate_credential(client, lifetime, overlap, Actor::Bootstrap);
    let (issued, _) = rotated.await.unwrap();
    (issued.credential.reveal().to_owned(), issued.record.id)
}

#[tokio::test]
async fn two_credentials_are_valid_for_the_overlap_and_a_third_ends_the_first_at_once() {
    let world = World::new().await;
    let (client, first) = world.client(json!({})).await;
    let (second, _) = rotate(&world, &client, None, DAY).await;
    assert!(let_in(&world, &first).await && let_in(&world, &second).await);
    let (third, _) = rotate(&world, &client, None, DAY).await;
    assert!(!let_in(&world, &first).await, "a third one is not valid");
    assert!(let_in(&world, &second).await && let_in(&world, &third).await);
    world.clock.set(BEGIN.after(DAY - Duration::from_millis(1)));
    assert!(let_in(&world, &second).await);
    world.clock.set(BEGIN.after(DAY));
    assert!(!let_in(&world, &second).await, "until the overlap is over");
    assert!(let_in(&world, &third).await);
    let world = world.restarted().await;
    assert!(!let_in(&world, &second).await && let_in(&world, &third).await);
}

#[tokio::test]
async fn without_an_overlap_the_credential_before_ends_with_the_rotation() {
    let world = World::new().await;
    let (client, first) = world.client(json!({})).await;
    let (second, _) = rotate(&world, &client, None, Duration::ZERO).await;
    assert!(!let_in(&world, &first).await && let_in(&world, &second).await);
    assert_eq!(
        world
            .authority
            .client(&client)
            .unwrap()
            .client
            .credentials
            .len(),
        1
    );
}

#[tokio::test]
async fn an_overlap_gives_no_credential_more_time_than_it_had() {
    let world = World::new().await;
    let (client, _) = world.client(json!({})).await;
    let hour = Duration::from_secs(3600);
    let (short, _) = rotate(&world, &client, Some(hour), Duration::ZERO).await;
    let (_, _) = rotate(&world, &client, None, DAY).await;
    world
        .clock
        .set(BEGIN.after(hour - Duration::from_millis(1)));
    assert!(let_in(&world, &short).await);
    world.clock.set(BEGIN.after(hour));
    assert!(!let_in(&world, &short).await);
}

#[tokio::test]
async fn a_rotation_after_the_newest_has_expired_keeps_the_one_that_is_in_use() {
    let world = World::new().await;
    let (client, first) = world.client(json!({})).await;
    let trial = Duration::from_secs(60);
    let (second, _) = rotate(&world, &client, Some(trial), 30 * DAY).await;
    world.clock.set(BEGIN.after(trial));
    assert!(let_in(&world, &first).await && !let_in(&world, &second).await);
    let (third, _) = rotate(&world, &client, None, DAY).await;
    assert!(let_in(&world, &third).await);
    assert!(
        let_in(&world, &first).await,
        "it was valid, and has its overlap"
    );
    world.clock.set(BEGIN.after(trial + DAY));
    assert!(!let_in(&world, &first).await);
}

#[tokio::test]
async fn one_credential_is_revoked_and_the_other_stays() {
    let world = World::new().await;
    let (client, first) = world.client(json!({})).await;
    let (second, name) = rotate(&world, &client, None, DAY).await;
    let revoke = |name: String| {
        let (authority, client) = (Arc::clone(&world.authority), client.clone());
        async move {
            authority
                .revoke_credential(&client, &name, Actor::Bootstrap)
                .await
        }
    };
    revoke(name.clone()).await.unwrap();
    assert!(let_in(&world, &first).await && !let_in(&world, &second).await);
    let again = revoke(name).await;
    assert!(matches!(again, Err(ChangeError::UnknownCredential { .. })));
    let secret = first[20..].to_owned();
    assert!(
        revoke(secret).await.is_err(),
        "a secret names no credential"
    );
    let world = world.restarted().await;
    assert!(let_in(&world, &first).await && !let_in(&world, &second).await);
}

#[tokio::test]
async fn a_deleted_client_is_nobody_at_once_and_after_a_restart() {
    let world = World::new().await;
    let (client, credential) = world.client(json!({})).await;
    let deleted = world.authority.delete_client(&client, Actor::Bootstrap);
    deleted.await.unwrap();
    assert!(!let_in(&world, &credential).await);
    let again = world
        .authority
        .delete_client(&client, Actor::Bootstrap)
        .await;
    assert!(matches!(again, Err(ChangeError::UnknownClient(_))));
    let world = world.restarted().await;
    assert!(!let_in(&world, &credential).await);
}

#[tokio::test]
async fn a_text_that_is_almost_a_credential_is_nobodys() {
    let world = World::new().await;
    let (client, credential) = world.client(json!({})).await;
    let (_, other) = world.client(json!({})).await;
    let (head, secret) = (&credential[..19], &credential[20..]);
    let padded = format!("{credential}=");
    let upper = format!("KW_{client}_{secret}");
    for text in [
        "",
        "kw_",
        "kw__",
        "kw",
        head,
        &padded,
        &upper,
        &format!("{head}_"),
        &format!("{credential} "),
        &format!("{credential}\0"),
        &credential[..credential.len() - 1],
        &credential[3..],
        &format!("kw_{}_{secret}", client.to_uppercase()),
        &format!("kw_{client}_{}", &other[20..]),
        &format!("kw_{client}_{}", "A".repeat(100_000)),
    ] {
        assert!(!let_in(&world, text).await, "{} characters", text.len());
    }
    assert!(let_in(&world, &credential).await);
}

async fn delete(world: &World, client: &str) -> Result<(), ChangeError> {
    world
        .authority
        .delete_client(client, Actor::Bootstrap)
        .await
}

#[tokio::test]
async fn the_last_admin_that_can_manage_access_stays() {
    let world = World::new().await;
    let admin = json!({"roles": ["admin"]});
    let (one, _) = world.client(admin.clone()).await;
    assert!(matches!(
        delete(&world, &one).await,
        Err(ChangeError::LastAdmin)
    ));
    let set = |document: Value| {
        let (authority, one) = (Arc::clone(&world.authority), one.clone());
        async move {
            authority
                .set_terms(&one, terms(document), Actor::Bootstrap)
                .await
        }
    };
    let demoted = set(json!({"roles": ["issuer"]})).await;
    assert!(matches!(demoted, Err(ChangeError::LastAdmin)));
    // With a list of issuers it could not manage clients any more.
    let confined = set(json!({"roles": ["admin"], "limits": {"issuers": ["a"]}})).await;
    assert!(matches!(confined, Err(ChangeError::LastAdmin)));
    // Nor is an admin one that is confined, or that has no way in.
    let confined = json!({"roles": ["admin"], "limits": {"issuers": ["a"]}});
    let (confined, _) = world.client(confined).await;
    assert!(matches!(
        delete(&world, &one).await,
        Err(ChangeError::LastAdmin)
    ));
    let shut_out = world.authority.draft_client(terms(admin.clone())).unwrap();
    let admitted = world.authority.admit_client(shut_out, Actor::Bootstrap);
    admitted.await.unwrap();
    assert!(matches!(
        delete(&world, &one).await,
        Err(ChangeError::LastAdmin)
    ));
    // Its only credential is its only way in.
    let name = world.authority.client(&one).unwrap().client.credentials[0]
        .id
        .clone();
    let revoked = world
        .authority
        .revoke_credential(&one, &name, Actor::Bootstrap);
    assert!(matches!(revoked.await, Err(ChangeError::LastAdmin)));
    delete(&world, &confined).await.unwrap();
    let (other, _) = world.client(admin).await;
    delete(&world, &one).await.unwrap();
    assert!(matches!(
        delete(&world, &other).await,
        Err(ChangeError::LastAdmin)
    ));
}

#[tokio::test]
async fn of_two_admins_that_delete_each_other_one_stays() {
    for _ in 0..20 {
        let world = World::new().await;
        let (one, _) = world.client(json!({"roles": ["admin"]})).await;
        let (other, _) = world.client(json!({"roles": ["admin"]})).await;
        let (first, second) = tokio::join!(delete(&world, &one), delete(&world, &other));
        assert!(first.is_ok() != second.is_ok());
        assert_eq!(world.authority.clients().all().len(), 1);
    }
}

/// Puts a client into an empty store, or beside those that are there.
async fn create(store: &MemoryStore, id: &str, document: &str) {
    let mut batch = Batch::new(BatchId([7; 16]));
    batch.events.push(EventRow {
        at: BEGIN.millis(),
        issuer: None,
        document: json!({"event": "test"}).to_string(),
    });
    let client = RecordKey::unowned(Kind::Client, id);
    let content = Content::of(document.to_owned());
    batch.writes.push(Write::Create(client, content));
    commit(store, batch).await.unwrap();
}

#[tokio::test]
async fn a_client_of_the_first_format_is_let_in_and_a_corrupt_one_only_left_out() {
    let store = Arc::new(MemoryStore::default());
    let secret = "a".repeat(43);
    let hash = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    let document = json!({
        "format": 1, "name": "old", "roles": ["issuer"], "created_at": 1000,
        "credential_hash": URL_SAFE_NO_PAD.encode(hash),
    });
    for (id, document) in [
        ("0123456789abcdef", document.to_string()),
        ("fedcba9876543210", "{".to_owned()),
    ] {
        create(&store, id, &document).await;
    }
    let clock = keywright::clock::Clock::manual(BEGIN);
    let world = World::on(store, clock).await;
    let old = format!("kw_0123456789abcdef_{secret}");
    assert!(let_in(&world, &old).await);
    assert_eq!(world.authority.clients().all().len(), 1);
    // What is rotated is written in the format of today, and still read after a restart.
    let (new, _) = rotate(&world, "0123456789abcdef", None, DAY).await;
    let world = world.restarted().await;
    assert!(let_in(&world, &old).await && let_in(&world, &new).await);
}

#[tokio::test]
async fn a_store_whose_every_client_is_corrupt_had_clients() {
    let store = Arc::new(MemoryStore::default());
    create(&store, "0123456789abcdef", "{}").await;
    let world = World::on(store, keywright::clock::Clock::manual(BEGIN)).await;
    assert!(world.authority.clients().all().is_empty());
    assert!(world.authority.had_clients(), "a new client is let in");
}

#[tokio::test]
async fn the_last_use_is_of_the_credential_that_was_used_and_outlives_a_restart() {
    let world = World::new().await;
    let (client, first) = world.client(json!({})).await;
    let (second, name) = rotate(&world, &client, None, DAY).await;
    let last = |world: &World, credential: &str| {
        let live = world.authority.client(&client).unwrap();
        live.last_used(credential)
    };
    assert_eq!(last(&world, &name), None);
    let later = BEGIN.after(Duration::from_secs(5));
    world.clock.set(later);
    let caller = world.admit(&second).await.unwrap();
    assert_eq!(
        caller.via,
        AuthenticationMethod::Credential {
            credential: name.clone()
        }
    );
    assert_eq!(last(&world, &name), Some(later));
    // What is refused is no use, and a clock that is set back takes none back.
    world.clock.set(BEGIN);
    assert!(let_in(&world, &second).await);
    assert!(!let_in(&world, &format!("{second}x")).await);
    assert_eq!(last(&world, &name), Some(later));
    world
        .authority
        .store_last_uses(Timestamp::default())
        .await
        .unwrap();
    let world = world.restarted().await;
    assert_eq!(last(&world, &name), Some(later));
    // Terms change, uses stay; the next rotation forgets the credential that is gone.
    let set = world
        .authority
        .set_terms(&client, terms(json!({"name": "b"})), Actor::Bootstrap);
    set.await.unwrap();
    assert_eq!(last(&world, &name), Some(later));
    assert!(let_in(&world, &first).await);
}

#[tokio::test]
async fn a_deletion_whose_outcome_was_not_known_holds_as_soon_as_it_is() {
    let store = Arc::new(Unreliable::default());
    let clock = keywright::clock::Clock::manual(BEGIN);
    let world = World::on(Arc::clone(&store) as _, clock).await;
    let (client, credential) = world.client(json!({})).await;
    store.lose_the_next_two_answers();
    let outcome = delete(&world, &client).await;
    // The store has done it: the client must not live on in memory, whatever was answered.
    assert!(!let_in(&world, &credential).await, "{outcome:?}");
    assert!(matches!(outcome, Err(ChangeError::Store(_))), "{outcome:?}");

    // One that the store can tell of is no failure.
    let (client, credential) = world.client(json!({})).await;
    store.lose_the_next_answer();
    delete(&world, &client).await.unwrap();
    assert!(!let_in(&world, &credential).await);
}

#[tokio::test]
async fn a_change_that_did_not_happen_leaves_the_client_as_it_was_and_can_be_tried_again() {
    let store = Arc::new(Unreliable::default());
    let clock = keywright::clock::Clock::manual(BEGIN);
    let world = World::on(Arc::clone(&store) as _, clock).await;
    let (client, credential) = world.client(json!({})).await;
    store.refuse_the_next_commit();
    assert!(delete(&world, &client).await.is_err());
    assert!(let_in(&world, &credential).await);
    delete(&world, &client).await.unwrap();
    assert!(!let_in(&world, &credential).await);
}

/// The time of a refusal must not tell how much of a secret was right.
///
/// What is compared is the SHA-256 hash of the secret, in constant time (`ct_eq`), so that a shared
/// prefix of the secret is no shared prefix of what is compared. This looks for the gross mistake
/// alone, a comparison of the secret itself: medians of thousands of calls, in turns, may differ by
/// half and by a microsecond at least. Whether an id exists is no secret: it stands in the log.
#[test]
fn a_refusal_takes_the_same_time_whatever_is_wrong_with_the_secret() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (world, credential) = runtime.block_on(async {
        let world = World::new().await;
        let (_, credential) = world.client(json!({})).await;
        (world, credential)
    });
    let (head, secret) = (&credential[..19], &credential[20..]);
    let change = |at: usize| {
        let mut wrong = secret.as_bytes().to_vec();
        wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
        format!("{head}_{}", String::from_utf8(wrong).unwrap())
    };
    let attempts = [
        change(0),
        change(secret.len() / 2),
        change(secret.len() - 1),
    ];
    let mut times = attempts.each_ref().map(|_| Vec::new());
    for _ in 0..4000 {
        for (attempt, times) in attempts.iter().zip(&mut times) {
            let begin = Instant::now();
            assert!(runtime.block_on(world.admit(attempt)).is_err());
            times.push(begin.elapsed());
        }
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    let (fastest, slowest) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    let margin = (*fastest / 2).max(Duration::from_micros(1));
    assert!(*slowest - *fastest <= margin, "{medians:?}");
}

#[tokio::test]
async fn a_panic_while_uses_are_noted_does_not_keep_later_ones_from_being_noted() {
    let store = Arc::new(Unreliable::default());
    let world = World::on(Arc::clone(&store) as _, Clock::manual(BEGIN)).await;
    let (_, credential) = world.client(json!({})).await;
    let (authority, metrics) = (Arc::clone(&world.authority), Arc::<Metrics>::default());
    let task = tokio::spawn(supervise(
        "access-upkeep",
        world.clock.clone(),
        Arc::clone(&metrics),
        move || run_access_upkeep(Arc::clone(&authority)),
    ));
    let noted = async || store.last_uses().await.unwrap().len();
    tokio::task::yield_now().await;
    store.panic_at_the_next_uses();
    for (minute, expected) in [(1, 0), (3, 1)] {
        assert!(let_in(&world, &credential).await);
        for second in 0..60 {
            world
                .clock
                .set(BEGIN.after(Duration::from_secs(minute * 60 + second)));
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(noted().await, expected);
        assert_eq!(metrics.tasks().all()["access-upkeep"].restarts, 1);
    }
    task.abort();
}
