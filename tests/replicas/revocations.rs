//! Tokens that are taken back, with several processes on one store.

use std::sync::Arc;
use std::time::Duration;

use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::revocations::{
    FeedRefusal, FeedRequest, RevocationDraft, RevocationInForce,
};
use keywright::authority::signing::{SignRefusal, SignRequest, SignedToken, Uses, sign};
use keywright::revocation::{Revocation, State};
use keywright::store::{Batch, BatchId, Content, Kind, RecordKey, Store as _, Write};
use keywright_verifier::Jws;
use keywright_verifier::revocation::{
    Head, HeadKind, RevocationTable, Selector, SelectorKind, selectors_of,
};
use serde_json::{Map, Value, json};

use crate::world::{MAX_STALENESS, Process, SECOND, World, anyone};

fn user() -> Selector {
    Selector::new(SelectorKind::Subject, &["user-1"]).unwrap()
}

pub(crate) async fn take_back(process: &Process, selector: Selector) -> RevocationInForce {
    let draft = RevocationDraft {
        selector,
        ban: None,
        reason: None,
    };
    let request = Request::by(Actor::Bootstrap);
    let issuer = process.issuer("a").unwrap();
    let mut revoked = process
        .take_tokens_back(&issuer, vec![draft], request)
        .await
        .unwrap();
    revoked.pop().unwrap()
}

pub(crate) fn request(subject: &str) -> SignRequest<'static> {
    SignRequest {
        claims: json!({"sub": subject}).as_object().unwrap().clone().into(),
        expires_in: None,
        typ: None,
        algorithm: None,
        origin: None,
        confirmation: None,
        uses: Uses::Unlimited,
        status: None,
    }
}

pub(crate) async fn signs(process: &Process, subject: &str) -> Result<SignedToken, SignRefusal> {
    let view = process.issuer("a").unwrap().leased_snapshot();
    sign(&view, &anyone(), request(subject)).await
}

pub(crate) fn claims(token: &str) -> Map<String, Value> {
    Jws::inspect(token, 65_536).unwrap().claims
}

/// Whether a verifier that holds what this process says now refuses a token.
async fn refused_by_feed(process: &Process, token: &SignedToken) -> bool {
    let head = head(process).await.unwrap();
    let table = RevocationTable::new(&head.content, &[]).unwrap();
    let claims = claims(&token.token);
    let selectors = selectors_of(|name| claims.get(name)).unwrap();
    let issued_at = claims["iat"].as_u64();
    table
        .find(
            selectors.iter(),
            issued_at,
            head.issued_at_milliseconds / 1000,
        )
        .is_some()
}

pub(crate) async fn head(process: &Process) -> Result<Head, FeedRefusal> {
    let issuer = process.issuer("a").unwrap();
    let request = FeedRequest {
        nonce: Some("n".to_owned()),
        ..FeedRequest::default()
    };
    let signed = process.revocation_head(&issuer, &request).await?;
    Ok(Head::read(claims(&signed.jws), HeadKind::Feed).unwrap())
}

async fn two() -> (World, Process, Process) {
    two_with(json!({})).await
}

/// Two processes that know an issuer with such a policy.
pub(crate) async fn two_with(policy: Value) -> (World, Process, Process) {
    let world = World::new();
    let (one, other) = (world.process().await, world.process().await);
    one.create("a", policy).await;
    other.catch_up().await.unwrap();
    // A store that has just begun may have been another one's before.
    for _ in 0..40 {
        world.pass(SECOND, &[&one, &other]);
        one.catch_up().await.unwrap();
        other.catch_up().await.unwrap();
    }
    (world, one, other)
}

async fn take_back_everywhere(world: &World, one: &Process, other: &Process) -> Arc<Revocation> {
    let opened = take_back(one, user()).await.revocation;
    closed_everywhere(world, one, other, &opened).await
}

/// Lets the other process make its rounds until a revocation is closed, and know it.
pub(crate) async fn closed_everywhere(
    world: &World,
    one: &Process,
    other: &Process,
    opened: &Revocation,
) -> Arc<Revocation> {
    let task = tokio::spawn(keywright::authority::revocations::run(Arc::clone(one)));
    let until = world.clock.read().wall.after(SECOND * 10);
    loop {
        let issuer = one.issuer("a").unwrap();
        let known = issuer.revocations().find(&opened.id).unwrap();
        if matches!(known.state, State::Closed { .. }) {
            task.abort();
            other.catch_up().await.unwrap();
            return known;
        }
        assert!(world.clock.read().wall < until, "it is closed soon");
        other.catch_up().await.unwrap();
        one.catch_up().await.unwrap();
        world.pass(Duration::from_millis(200), &[one, other]);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_know_it_is_closed_and_refuses_what_was_issued_before_and_nothing_after() {
    let (world, one, other) = two().await;
    let before = signs(&other, "user-1").await.unwrap();
    let all = [&one, &other];
    let revoked = take_back_everywhere(&world, &one, &other).await;
    let State::Closed { issued_before, .. } = revoked.state else {
        panic!("{revoked:?}");
    };
    for process in all {
        assert!(matches!(
            signs(process, "user-1").await,
            Err(SignRefusal::RevocationSettling)
        ));
        signs(process, "user-2").await.unwrap();
    }
    let now = world.clock.read().wall;
    let wait = keywright::lifecycle::Timestamp::from_seconds(issued_before).since(now);
    world.pass(wait + SECOND, &all);
    for process in all {
        process.catch_up().await.unwrap();
        let after = signs(process, "user-1").await.unwrap();
        for verifier in all {
            verifier.catch_up().await.unwrap();
            assert!(refused_by_feed(verifier, &before).await);
            assert!(!refused_by_feed(verifier, &after).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_cut_off_keeps_it_open_until_its_lease_has_ended() {
    let (world, one, cut_off) = two().await;
    let all = [&one, &cut_off];
    let revoked = take_back(&one, user()).await;
    assert_eq!(revoked.revocation.state, State::Open);
    // It does not know, and what it signs is refused by a verifier that follows those that do.
    let unknowing = signs(&cut_off, "user-1").await.unwrap();
    assert!(matches!(
        signs(&one, "user-1").await,
        Err(SignRefusal::RevocationSettling)
    ));
    let task = tokio::spawn(keywright::authority::revocations::run(Arc::clone(&one)));
    let until = world.clock.read().wall.after(MAX_STALENESS * 2);
    let is_closed = || {
        let issuer = one.issuer("a").unwrap();
        let known = issuer.revocations().find(&revoked.revocation.id).unwrap();
        matches!(known.state, State::Closed { .. })
    };
    let mut latest = unknowing;
    while !is_closed() {
        assert!(world.clock.read().wall < until, "no replica closes it");
        world.pass(SECOND, &all);
        one.catch_up().await.unwrap();
        if let Ok(token) = signs(&cut_off, "user-1").await {
            latest = token;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    task.abort();
    assert!(matches!(
        signs(&cut_off, "user-1").await,
        Err(SignRefusal::SnapshotStale)
    ));
    assert!(refused_by_feed(&one, &latest).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_signed_meanwhile_is_not_handed_out() {
    let (world, one, other) = two().await;
    let frozen = other.issuer("a").unwrap().leased_snapshot();
    take_back_everywhere(&world, &one, &other).await;
    let outcome = sign(&frozen, &anyone(), request("user-1")).await;
    assert!(matches!(outcome, Err(SignRefusal::RevocationSettling)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_cut_off_vouches_for_nothing_that_it_has_not_seen() {
    let (world, one, cut_off) = two().await;
    let confirmed = head(&cut_off).await.unwrap().issued_at_milliseconds;
    world.pass(SECOND * 10, &[&one, &cut_off]);
    one.catch_up().await.unwrap();
    let head_of_cut_off = head(&cut_off).await.unwrap();
    assert!(head_of_cut_off.issued_at_milliseconds <= confirmed + 1000);
    // Half of max_age later it says nothing, although it may still sign by its lease.
    world.pass(SECOND * 25, &[&one, &cut_off]);
    assert!(matches!(head(&cut_off).await, Err(FeedRefusal::Stale)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_joins_late_knows_what_was_taken_back() {
    let (world, one, other) = two().await;
    let revoked = take_back_everywhere(&world, &one, &other).await;
    let late = world
        .try_process(world.clock.read().wall, MAX_STALENESS)
        .await
        .unwrap();
    let issuer = late.issuer("a").unwrap();
    let known = issuer.revocations().find(&revoked.id);
    assert_eq!(known, Some(revoked));
    assert_eq!(
        head(&late).await.unwrap().content,
        head(&one).await.unwrap().content
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_max_age_is_kept_although_nothing_happens() {
    let (world, one, other) = two().await;
    for (name, max_age) in [("b", "8s"), ("c", "5s")] {
        one.create(name, json!({ "revocation_max_age": max_age }))
            .await;
    }
    for process in [&one, &other] {
        process.catch_up().await.unwrap();
    }
    // As long as several leases last, by the shortest pause between two rounds.
    for _ in 0..120 {
        world.pass(SECOND, &[&one, &other]);
        for process in [&one, &other] {
            for name in ["b", "c"] {
                let issuer = process.issuer(name).unwrap();
                let request = FeedRequest::default();
                process.revocation_head(&issuer, &request).await.unwrap();
            }
            process.catch_up().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_does_not_read_nothing_is_signed_and_no_head_says_what_is_revoked() {
    let (world, one, _) = two().await;
    signs(&one, "user-1").await.unwrap();
    let issuer = keywright::lifecycle::IssuerName::parse("a").unwrap();
    let key = RecordKey::owned(Kind::Revocation, &issuer, "damaged");
    let write = |write| Batch {
        writes: vec![write],
        ..Batch::new(BatchId([7; 16]))
    };
    let content = Content::of("{\"format\": 9}".to_owned());
    let created = write(Write::Create(key.clone(), content));
    let writer = world.store.writer().await.unwrap();
    writer.commit(created).await.unwrap();
    let starting = world.try_process(world.clock.read().wall, MAX_STALENESS);
    let started = starting.await.unwrap();
    assert!(matches!(
        signs(&started, "user-1").await,
        Err(SignRefusal::RevocationSettling)
    ));
    assert!(matches!(head(&started).await, Err(FeedRefusal::Stale)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fail_over_what_is_revoked_is_read_anew_before_a_head_says_it() {
    let (world, one, other) = two().await;
    let kept = world.store.copy();
    take_back(&one, user()).await;
    other.catch_up().await.unwrap();
    world.store.lose_commits(&kept);
    // Another client takes another one back, under the numbers of the events that were lost.
    let starting = world.try_process(world.clock.read().wall, MAX_STALENESS);
    let late = starting.await.unwrap();
    let second = Selector::new(SelectorKind::Subject, &["user-2"]).unwrap();
    take_back(&late, second).await;
    other.catch_up().await.unwrap();
    for subject in ["user-1", "user-2"] {
        let signed = signs(&other, subject).await;
        match subject {
            "user-2" => assert!(matches!(signed, Err(SignRefusal::RevocationSettling))),
            _ => drop(signed.unwrap()),
        }
    }
    assert_eq!(
        head(&other).await.unwrap().content,
        head(&late).await.unwrap().content
    );
}
