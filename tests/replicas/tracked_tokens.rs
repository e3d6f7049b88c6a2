//! Tokens that are tracked: what is taken back of a subject or a session is invalid in the lists of every
//! process, whichever has signed it, and nothing else is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::revocations::{RevocationDraft, RevocationInForce};
use keywright::authority::signing::{
    Batch as SignBatch, Origin, SignRefusal, SignRequest, SignedToken, sign,
};
use keywright::authority::upkeep;
use keywright::clock::Clock;
use keywright::lifecycle::TokenStatus;
use keywright::revocation::Ban;
use keywright::store::memory::MemoryStore;
use keywright::store::{Batch, CommitError, Kind, Query, Store as _, StoreError};
use keywright_verifier::revocation::{Selector, SelectorKind};
use keywright_verifier::status_list::INVALID;
use serde_json::{Value, json};

use crate::revocations::{closed_everywhere, request, signs, take_back, two_with};
use crate::status_lists::{entry_of, list};
use crate::world::{BEGIN, MAX_STALENESS, Process, SECOND, World, anyone, eventually};
use crate::wrapped_store::wrapped_store;

fn subject(name: &str) -> Selector {
    Selector::new(SelectorKind::Subject, &[name]).unwrap()
}

fn tracked() -> Value {
    json!({"status": "tracked"})
}

fn with(claims: Value) -> SignRequest<'static> {
    SignRequest {
        claims: claims.as_object().unwrap().clone().into(),
        ..request("")
    }
}

async fn signed(process: &Process, claims: Value) -> SignedToken {
    let view = process.issuer("a").unwrap().leased_snapshot();
    let token = sign(&view, &anyone(), with(claims)).await;
    token.unwrap_or_else(|error| panic!("{error}"))
}

/// Which of these tokens are invalid in the lists of a process, by their places.
async fn invalid(process: &Process, tokens: &[&SignedToken]) -> BTreeSet<usize> {
    let mut invalid = BTreeSet::new();
    for (place, token) in tokens.iter().enumerate() {
        let (address, index) = entry_of(token);
        let (list, _) = list(process, &address).await.unwrap();
        if list.list.status(index) == Some(INVALID) {
            invalid.insert(place);
        }
    }
    invalid
}

async fn take_back_everywhere(
    (world, one, other): (&World, &Process, &Process),
    selector: Selector,
) -> RevocationInForce {
    let taken = take_back(one, selector).await;
    closed_everywhere(world, one, other, &taken.revocation).await;
    // Within a second, the list that was signed is shared.
    world.pass(SECOND * 2, &[one, other]);
    one.catch_up().await.unwrap();
    other.catch_up().await.unwrap();
    let known = one
        .issuer("a")
        .unwrap()
        .revocations()
        .find(&taken.revocation.id);
    one.in_force(&one.issuer("a").unwrap(), known.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_makes_the_tokens_of_its_subject_invalid_on_every_process_and_no_others() {
    let (world, one, other) = two_with(tracked()).await;
    let (of_one, of_other) = (
        signed(&one, json!({"sub": "user-1"})).await,
        signed(
            &other,
            json!({"sub": "user-1", "aud": "orders", "sid": "s"}),
        )
        .await,
    );
    let exchanged = SignRequest {
        origin: Some(Origin {
            claims: json!({"act": {"sub": "user-1"}})
                .as_object()
                .unwrap()
                .clone()
                .into(),
            ends_at: u64::MAX,
            parents: Vec::new(),
        }),
        ..request("user-2")
    };
    let view = one.issuer("a").unwrap().leased_snapshot();
    let acts = sign(&view, &anyone(), exchanged).await.unwrap();
    let others = signed(&other, json!({"sub": "user-2"})).await;
    let of_none = signed(&other, json!({})).await;
    let tokens = [&of_one, &of_other, &acts, &others, &of_none];
    assert_eq!(invalid(&other, &tokens).await, BTreeSet::new());

    let ban = RevocationDraft {
        selector: subject("user-1"),
        ban: Some(Ban::UntilLifted),
        reason: None,
    };
    let issuer = one.issuer("a").unwrap();
    let banned = one.take_tokens_back(&issuer, vec![ban], Request::by(Actor::Bootstrap));
    let banned = banned.await.unwrap().pop().unwrap();
    let closed = closed_everywhere(&world, &one, &other, &banned.revocation).await;
    world.pass(SECOND * 2, &[&one, &other]);
    other.catch_up().await.unwrap();
    one.catch_up().await.unwrap();
    let in_force = one.in_force(&issuer, closed);
    let lists = in_force.at_status_lists.expect("every token is tracked");
    assert_eq!(lists, in_force.at_signers.after(SECOND * 11));
    let newcomer = world
        .try_process(world.clock.read().wall, MAX_STALENESS)
        .await
        .unwrap();
    for process in [&one, &other, &newcomer] {
        assert_eq!(invalid(process, &tokens).await, BTreeSet::from([0, 1, 2]));
    }

    // What is signed once the ban is lifted is valid.
    let lifted = one.lift_ban(&issuer, &banned.revocation.id, Actor::Bootstrap);
    lifted.await.unwrap();
    world.pass(SECOND * 2, &[&one, &other]);
    one.catch_up().await.unwrap();
    other.catch_up().await.unwrap();
    let after = signed(&other, json!({"sub": "user-1"})).await;
    let tokens = [&of_one, &of_other, &acts, &others, &of_none, &after];
    for process in [&one, &other] {
        assert_eq!(invalid(process, &tokens).await, BTreeSet::from([0, 1, 2]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_takes_back_its_own_tokens_and_a_session_those_that_have_it_also_when_erased() {
    let (world, one, other) = two_with(tracked()).await;
    let all = (&world, &one, &other);
    let for_orders = signed(&one, json!({"sub": "user-1", "aud": ["orders", "stock"]})).await;
    let for_stock = signed(&one, json!({"sub": "user-1", "aud": "stock"})).await;
    let of_other = signed(&one, json!({"sub": "user-2", "aud": "orders"})).await;
    let in_session = signed(&other, json!({"sub": "user-1", "sid": "s-1"})).await;
    let tokens = [&for_orders, &for_stock, &of_other, &in_session];

    let pair = Selector::new(SelectorKind::SubjectAndAudience, &["user-1", "orders"]);
    let taken = take_back_everywhere(all, pair.unwrap()).await;
    assert!(taken.at_status_lists.is_some());
    assert_eq!(invalid(&other, &tokens).await, BTreeSet::from([0]));
    let session = Selector::new(SelectorKind::Session, &["s-1"]).unwrap();
    let of_session = take_back_everywhere(all, session).await;
    assert!(of_session.at_status_lists.is_some());
    assert_eq!(invalid(&other, &tokens).await, BTreeSet::from([0, 3]));
    // Which tokens these are is not known.
    let client = Selector::new(SelectorKind::Client, &["web"]).unwrap();
    assert_eq!(take_back(&one, client).await.at_status_lists, None);

    for revoked in [&taken, &of_session] {
        let id = &revoked.revocation.id;
        let issuer = one.issuer("a").unwrap();
        let erased = one.erase_revocation(&issuer, id, Actor::Bootstrap).await;
        assert!(erased.unwrap().at_status_lists.is_some());
    }
    world.pass(SECOND * 2, &[&one, &other]);
    one.catch_up().await.unwrap();
    other.catch_up().await.unwrap();
    let newcomer = world
        .try_process(world.clock.read().wall, MAX_STALENESS)
        .await
        .unwrap();
    for process in [&one, &other, &newcomer] {
        assert_eq!(invalid(process, &tokens).await, BTreeSet::from([0, 3]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_a_process_that_does_not_know_yet_is_invalid_in_the_end() {
    let (world, one, lags) = two_with(tracked()).await;
    let before = signed(&lags, json!({"sub": "user-1"})).await;
    let taken = take_back(&one, subject("user-1")).await;
    // The list says so of what is known, while the revocation is open.
    world.pass(SECOND, &[&one, &lags]);
    one.catch_up().await.unwrap();
    assert_eq!(invalid(&one, &[&before]).await, BTreeSet::from([0]));
    let unknowing = signs(&lags, "user-1").await.unwrap();
    assert!(matches!(
        signs(&one, "user-1").await,
        Err(SignRefusal::RevocationSettling)
    ));
    closed_everywhere(&world, &one, &lags, &taken.revocation).await;
    world.pass(SECOND * 2, &[&one, &lags]);
    one.catch_up().await.unwrap();
    lags.catch_up().await.unwrap();
    let after = signs(&lags, "user-1").await.unwrap();
    for process in [&one, &lags] {
        let tokens = [&before, &unknowing, &after];
        assert_eq!(invalid(process, &tokens).await, BTreeSet::from([0, 1]));
    }
}

#[tokio::test]
async fn a_policy_that_comes_to_track_covers_lists_when_earlier_tokens_have_expired() {
    let world = World::new();
    let process = world.process().await;
    process.create("a", json!({"status": true})).await;
    let asked = |status| SignRequest {
        status: Some(status),
        ..request("user-1")
    };
    let status = async |status| {
        let view = process.issuer("a").unwrap().leased_snapshot();
        sign(&view, &anyone(), asked(status)).await.map(drop)
    };
    let refused = Err(SignRefusal::StatusNotOffered(TokenStatus::Listed));
    assert_eq!(status(TokenStatus::Tracked).await, refused);
    assert_eq!(status(TokenStatus::Off).await, Ok(()));
    let earlier = signed(&process, json!({"sub": "user-1"})).await;
    let taken = take_back(&process, subject("user-1")).await;
    assert_eq!(taken.at_status_lists, None);

    let changed = process.now();
    process.create("a", tracked()).await;
    for less in [TokenStatus::Off, TokenStatus::Listed] {
        let refused = Err(SignRefusal::StatusNotOffered(TokenStatus::Tracked));
        assert_eq!(status(less).await, refused);
    }
    let taken = take_back(&process, subject("user-2")).await;
    let lists = taken.at_status_lists.unwrap();
    // An hour and five minutes, and until no process goes by the policy of before.
    let expired = changed.after(SECOND * 3900 + MAX_STALENESS);
    assert!(
        lists > expired && lists < expired.after(SECOND * 60),
        "{lists}"
    );
    assert_eq!(invalid(&process, &[&earlier]).await, BTreeSet::new());
    world.pass(lists.since(process.now()) + SECOND, &[&process]);
    process.catch_up().await.unwrap();
    let taken = take_back(&process, subject("user-3")).await;
    assert_eq!(
        taken.at_status_lists,
        Some(taken.at_signers.after(SECOND * 11))
    );
}

/// A store that takes a while to commit what is tracked, one batch at a time, and fails as it is told.
#[derive(Default)]
struct Failing {
    store: MemoryStore,
    commits: AtomicUsize,
    failure: AtomicUsize,
}

const NONE: usize = 0;
const BEFORE_COMMIT: usize = 1;
const AFTER_COMMIT: usize = 2;

impl Failing {
    async fn tracked(&self) -> usize {
        let all = Query::all(Kind::TrackedToken);
        self.store.list(all).await.unwrap().len()
    }
}

struct FailingWriter<'a> {
    writer: Box<dyn keywright::store::Writer + 'a>,
    store: &'a Failing,
}

#[async_trait::async_trait]
impl keywright::store::Writer for FailingWriter<'_> {
    async fn commit(
        self: Box<Self>,
        batch: Batch,
    ) -> Result<keywright::store::chain::LogHead, CommitError> {
        let is_tracked = |write: &keywright::store::Write| write.key().kind == Kind::TrackedToken;
        if !batch.writes.iter().any(is_tracked) {
            return self.writer.commit(batch).await;
        }
        let failed = || StoreError("it is down".into());
        match self.store.failure.load(Ordering::SeqCst) {
            BEFORE_COMMIT => return Err(failed().into()),
            AFTER_COMMIT => {
                self.writer.commit(batch).await?;
                return Err(CommitError::Unknown(failed()));
            }
            _ => {}
        }
        self.store.commits.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.writer.commit(batch).await
    }
}

impl std::ops::Deref for Failing {
    type Target = MemoryStore;

    fn deref(&self) -> &MemoryStore {
        &self.store
    }
}

wrapped_store!(Failing {
    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        Ok(Box::new(FailingWriter {
            writer: self.store.writer().await?,
            store: self,
        }))
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        self.store.outcome(batch).await
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        self.store.record_uses(uses).await
    }

    fn replicas(&self) -> Option<&dyn ReplicaStore> {
        None
    }
});

async fn on_failing() -> (Arc<Failing>, Arc<Process>) {
    let store = Arc::new(Failing::default());
    let process = Process::on(Arc::clone(&store) as _, Clock::manual(BEGIN), MAX_STALENESS);
    let process = process.await.unwrap();
    process.create("a", tracked()).await;
    (store, Arc::new(process))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_signed_at_the_same_time_are_written_down_together() {
    let (store, process) = on_failing().await;
    let signing = (0..100).map(|number| {
        let process = Arc::clone(&process);
        tokio::spawn(async move { signs(&process, &format!("user-{}", number % 10)).await })
    });
    let mut tokens = Vec::new();
    for token in signing.collect::<Vec<_>>() {
        tokens.push(token.await.unwrap().unwrap());
    }
    let commits = store.commits.load(Ordering::SeqCst);
    assert!(commits <= 20, "{commits} commits for 100 tokens");
    let view = process.issuer("a").unwrap().leased_snapshot();
    let client = anyone();
    let mut batch = SignBatch::new(&view, &client, 50);
    for _ in 0..50 {
        batch.add(request("user-1")).await;
    }
    assert!(batch.sign().await.iter().all(Result::is_ok));
    assert_eq!(store.commits.load(Ordering::SeqCst), commits + 1);
    assert_eq!(store.tracked().await, 150);

    let taken = take_back(&process, subject("user-1")).await;
    assert!(taken.at_status_lists.is_some());
    let tokens: Vec<&SignedToken> = tokens.iter().collect();
    let expected = (0..10).map(|round| round * 10 + 1).collect();
    assert_eq!(invalid(&process, &tokens).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_handed_out_that_may_not_be_written_down() {
    let (store, process) = on_failing().await;
    let kept = signs(&process, "user-1").await.unwrap();
    for (failure, left) in [(BEFORE_COMMIT, 1), (AFTER_COMMIT, 2)] {
        store.failure.store(failure, Ordering::SeqCst);
        let refused = signs(&process, "user-1").await.map(drop);
        assert_eq!(refused, Err(SignRefusal::StatusUnavailable));
        let view = process.issuer("a").unwrap().leased_snapshot();
        let client = anyone();
        let mut batch = SignBatch::new(&view, &client, 1);
        batch.add(with(json!({}))).await;
        assert!(
            batch.sign().await.iter().all(Result::is_ok),
            "it names no subject"
        );
        assert_eq!(store.tracked().await, left);
    }
    store.failure.store(NONE, Ordering::SeqCst);
    // A record without a token does no harm.
    let again = signs(&process, "user-1").await.unwrap();
    take_back(&process, subject("user-1")).await;
    assert_eq!(
        invalid(&process, &[&kept, &again]).await,
        BTreeSet::from([0, 1])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_down_goes_when_no_verifier_accepts_the_token_any_more() {
    let (store, process) = on_failing().await;
    signs(&process, "user-1").await.unwrap();
    assert_eq!(store.tracked().await, 1);
    let pass = |duration: Duration| {
        let clock = &process.clock;
        clock.set(clock.read().wall.after(duration));
    };
    let task = tokio::spawn(upkeep::run(Arc::clone(&process)));
    // 15 minutes until it expires, and 5 by which clocks may differ.
    pass(SECOND * 1200);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.tracked().await, 1);
    eventually(|| {
        pass(SECOND * 10);
        let all = store.store.list(Query::all(Kind::TrackedToken));
        futures_util::FutureExt::now_or_never(all)
            .unwrap()
            .unwrap()
            .is_empty()
    })
    .await;
    task.abort();
}
