//! What revocations promise, over random histories: three processes sign, are frozen, cut off and
//! started anew while tokens are taken back, banned and freed, the policy changes how long a head
//! counts, the store is lost and restored from a backup, and one verifier follows the processes. `tests/model/revocation` visits every state of
//! the protocol; this runs the code.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::revocations::{RevocationDraft, run};
use keywright::authority::signing::sign;
use keywright::authority::snapshot::LeasedSnapshot;
use keywright::backup::restore::{Plan, prepare};
use keywright::clock::Clock;
use keywright::engine::Entropy;
use keywright::engine::software::SoftwareEngine;
use keywright::lifecycle::{ChangeTime, IssuerName, Timestamp, Timing};
use keywright::revocation::{Ban, State};
use keywright::store::memory::MemoryStore;
use keywright_verifier::revocation::{Head, RevocationTable, Selector, SelectorKind, selectors_of};
use proptest::prelude::*;
use proptest::sample::select;
use tokio::task::{JoinHandle, yield_now};

use crate::revocations::{claims, head, request};
use crate::world::{MAX_STALENESS, Process, World, anyone, master_keys, policy};

const PROCESSES: usize = 3;
const PEOPLE: [&str; 2] = ["user-1", "user-2"];

/// The longest `revocation_max_age` of the histories, and what clocks may be apart.
const LONGEST_MAX_AGE: Duration = Duration::from_secs(3 * 60 + 4);

/// What one verifier, one process or time itself does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    Sign(usize, usize),
    /// A signature begins, and its process is frozen in the middle of it.
    Freeze(usize, usize),
    Thaw(usize),
    TakeBack {
        by: usize,
        what: usize,
        is_ban: bool,
    },
    Lift(usize, prop::sample::Index),
    /// The policy has another `revocation_max_age`.
    SetMaxAge(usize, &'static str),
    CutOff(usize),
    Reconnect(usize),
    StartAnew(usize),
    /// Time passes, half a second at a time; those that are not cut off ask the store.
    Pass(u32),
    /// Time passes and no process asks the store.
    Silence(u64),
    AskForHead(usize),
    /// A backup is taken, in the place of the one before.
    BackUp(usize),
    /// The store is lost, and restored from the backup by a machine with the clock of this process.
    Restore(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let process = 0..PROCESSES;
    let person = 0..PEOPLE.len();
    prop_oneof![
        4 => (process.clone(), person.clone()).prop_map(|(process, who)| Act::Sign(process, who)),
        1 => (process.clone(), person).prop_map(|(process, who)| Act::Freeze(process, who)),
        1 => process.clone().prop_map(Act::Thaw),
        2 => (process.clone(), 0..4_usize, any::<bool>())
            .prop_map(|(by, what, is_ban)| Act::TakeBack { by, what, is_ban }),
        1 => (process.clone(), any::<prop::sample::Index>()).prop_map(|(by, one)| Act::Lift(by, one)),
        1 => (process.clone(), select(&["8s", "40s", "60s", "3m"][..]))
            .prop_map(|(process, max_age)| Act::SetMaxAge(process, max_age)),
        1 => process.clone().prop_map(Act::CutOff),
        1 => process.clone().prop_map(Act::Reconnect),
        1 => process.clone().prop_map(Act::StartAnew),
        4 => (1..10_u32).prop_map(Act::Pass),
        1 => (1..3_000_u64).prop_map(Act::Silence),
        4 => process.clone().prop_map(Act::AskForHead),
        1 => process.clone().prop_map(Act::BackUp),
        1 => process.prop_map(Act::Restore),
    ]
}

struct Member {
    process: Process,
    closer: JoinHandle<()>,
    is_cut_off: bool,
    /// A signature that has begun, when, and for whom.
    frozen: Option<(Timestamp, LeasedSnapshot, usize)>,
}

/// A token that was handed out.
struct Token {
    text: String,
    begun_at: Timestamp,
    handed_out_at: Timestamp,
}

/// A backup, and when it was taken.
struct Backup {
    taken_at: Timestamp,
    file: Vec<u8>,
}

/// A revocation that was asked for, and answered.
struct Asked {
    id: String,
    selector: Selector,
    is_ban: bool,
    asked_at: Timestamp,
    answered_at: Timestamp,
    at_signers: Timestamp,
    guaranteed: Timestamp,
    lifted_at: Option<Timestamp>,
}

struct History {
    clocks_off: ClocksOff,
    world: World,
    members: Vec<Member>,
    tokens: Vec<Token>,
    asked: Vec<Asked>,
    /// The head with the greatest time that the verifier has.
    known: Option<Head>,
    backup: Option<Backup>,
    /// When the store was restored last.
    restored_at: Option<Timestamp>,
}

impl Asked {
    fn matches(&self, token: &Token) -> bool {
        let claims = claims(&token.text);
        let selectors = selectors_of(|name| claims.get(name)).unwrap();
        selectors.iter().any(|one| one == self.selector.as_ref())
    }
}

impl Member {
    fn of(process: Process) -> Self {
        let closer = tokio::spawn(run(Arc::clone(&process)));
        Self {
            process,
            closer,
            is_cut_off: false,
            frozen: None,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.closer.abort();
    }
}

/// How far the clocks of the processes are off, in milliseconds; less than what is tolerated.
type ClocksOff = [i64; PROCESSES];

const CLOCKS_OFF: [ClocksOff; 3] = [[0, 0, 0], [0, 1_500, -1_500], [-900, 0, 1_900]];

impl History {
    async fn begin(clocks_off: ClocksOff) -> Self {
        let world = World::new();
        let mut members = Vec::new();
        for off in clocks_off {
            members.push(Member::of(start(&world, off).await));
        }
        members[0].process.create("a", serde_json::json!({})).await;
        let mut history = Self {
            clocks_off,
            world,
            members,
            tokens: Vec::new(),
            asked: Vec::new(),
            known: None,
            backup: None,
            restored_at: None,
        };
        // A store that has just begun may have been another one's before.
        history.pass(80).await;
        history
    }

    fn now(&self) -> Timestamp {
        self.world.clock.read().wall
    }

    async fn pass(&mut self, halves: u32) {
        for _ in 0..halves {
            self.silence(Duration::from_millis(500)).await;
            for member in self.members.iter().filter(|one| !one.is_cut_off) {
                member.process.catch_up().await.unwrap();
            }
            settle().await;
        }
    }

    async fn silence(&mut self, duration: Duration) {
        let processes: Vec<&Process> = self.members.iter().map(|one| &one.process).collect();
        self.world.pass(duration, &processes);
        settle().await;
    }

    async fn happen(&mut self, act: Act) {
        match act {
            Act::Sign(process, who) => {
                let issuer = self.members[process].process.issuer("a").unwrap();
                let view = issuer.leased_snapshot();
                self.finish(self.now(), &view, who).await;
            }
            Act::Freeze(process, who) => {
                let issuer = self.members[process].process.issuer("a").unwrap();
                let frozen = (self.now(), issuer.leased_snapshot(), who);
                self.members[process].frozen = Some(frozen);
            }
            Act::Thaw(process) => {
                if let Some((begun_at, view, who)) = self.members[process].frozen.take() {
                    self.finish(begun_at, &view, who).await;
                }
            }
            Act::TakeBack { by, what, is_ban } => self.take_back(by, what, is_ban).await,
            Act::Lift(by, one) => self.lift(by, one).await,
            Act::SetMaxAge(process, max_age) => self.set_max_age(process, max_age).await,
            Act::CutOff(process) => self.members[process].is_cut_off = true,
            Act::Reconnect(process) => {
                self.members[process].is_cut_off = false;
                self.members[process].process.catch_up().await.unwrap();
            }
            Act::StartAnew(process) => {
                let fresh = start(&self.world, self.clocks_off[process]).await;
                self.members[process] = Member::of(fresh);
            }
            Act::Pass(halves) => self.pass(halves).await,
            Act::Silence(milliseconds) => self.silence(Duration::from_millis(milliseconds)).await,
            Act::AskForHead(process) => self.ask_for_head(process).await,
            Act::BackUp(process) => self.back_up(process).await,
            Act::Restore(process) => self.restore(process).await,
        }
    }

    async fn back_up(&mut self, process: usize) {
        let member = &self.members[process];
        if member.is_cut_off {
            return;
        }
        let taken_at = self.now();
        let chunks = member.process.backup(Actor::Bootstrap).await.unwrap();
        let chunks: Vec<_> = chunks.try_collect().await.unwrap();
        let file = chunks.concat();
        self.backup = Some(Backup { taken_at, file });
    }

    async fn restore(&mut self, process: usize) {
        let Some(backup) = &self.backup else {
            return;
        };
        // Heads of a store that is lost within seconds of its restore may know of a later end of it.
        let is_fresh = |at: Timestamp| self.now().since(at) < Duration::from_secs(10);
        if self.restored_at.is_some_and(is_fresh) {
            return;
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&backup.file).unwrap();
        let engine = SoftwareEngine::start().unwrap();
        let machine = Clock::manual(clock_of(&self.world, self.clocks_off[process]));
        let plan = Plan {
            backup: file,
            register: None,
            revoked: BTreeSet::new(),
            deleted: BTreeSet::new(),
            nothing_revoked: false,
            keep_grants: false,
            master_keys: &master_keys(),
            actor: Actor::Bootstrap,
            engine: &engine,
            entropy: Entropy::system(),
            time: ChangeTime {
                timing: Timing::shared(MAX_STALENESS),
                ..machine.now().into()
            },
        };
        let prepared = prepare(plan).await.unwrap();
        self.members.clear();
        self.world.store = Arc::new(MemoryStore::shared_by_all(self.world.clock.clone()));
        prepared.write(&*self.world.store).await.unwrap();
        for off in self.clocks_off {
            self.members.push(Member::of(start(&self.world, off).await));
        }
        // What the backup does not know of is lost; all tokens of before are taken back for it.
        let taken_at = backup.taken_at;
        self.asked.retain(|asked| asked.answered_at < taken_at);
        for asked in &mut self.asked {
            asked.lifted_at = asked.lifted_at.filter(|lifted_at| *lifted_at < taken_at);
        }
        self.restored_at = Some(self.now());
    }

    async fn set_max_age(&self, process: usize, max_age: &str) {
        let member = &self.members[process];
        if member.is_cut_off {
            return;
        }
        let policy = policy("a", serde_json::json!({ "revocation_max_age": max_age }));
        let name = IssuerName::parse("a").unwrap();
        let set = member
            .process
            .set_issuer(&name, policy, None, Actor::Bootstrap);
        // One whose lease has ended may say nothing of the time.
        drop(set.await);
    }

    async fn finish(&mut self, begun_at: Timestamp, view: &LeasedSnapshot, who: usize) {
        let signed = sign(view, &anyone(), request(PEOPLE[who])).await;
        let Ok(signed) = signed else {
            return;
        };
        let token = Token {
            text: signed.token,
            begun_at,
            handed_out_at: self.now(),
        };
        // A ban that is in force where tokens are signed lets none out.
        let banned = self.asked.iter().find(|asked| {
            let in_force = asked.at_signers <= begun_at && asked.lifted_at.is_none();
            asked.is_ban && in_force && asked.matches(&token)
        });
        assert!(banned.is_none(), "a token for a banned subject");
        self.tokens.push(token);
    }

    async fn take_back(&mut self, by: usize, what: usize, is_ban: bool) {
        let member = &self.members[by];
        if member.is_cut_off {
            return;
        }
        let selector = match what {
            0 | 1 => Selector::new(SelectorKind::Subject, &[PEOPLE[what]]),
            2 => Selector::new(SelectorKind::Session, &["s-1"]),
            _ => Selector::new(SelectorKind::Issuer, &[]),
        };
        let draft = RevocationDraft {
            selector: selector.unwrap(),
            ban: is_ban.then_some(Ban::UntilLifted),
            reason: None,
        };
        let (selector, asked_at) = (draft.selector.clone(), self.now());
        let issuer = member.process.issuer("a").unwrap();
        let request = Request::by(Actor::Bootstrap);
        let answer = member
            .process
            .take_tokens_back(&issuer, vec![draft], request);
        // The others go on asking the store, so that it can be closed at once where none is cut off.
        let others = async {
            for _ in 0..20 {
                for other in self.members.iter().filter(|one| !one.is_cut_off) {
                    other.process.catch_up().await.unwrap();
                }
                yield_now().await;
            }
        };
        let (answer, ()) = tokio::join!(answer, others);
        // One whose lease has ended may say nothing of the time.
        let Ok(mut answer) = answer else {
            return;
        };
        let answer = answer.pop().unwrap();
        let (_, guaranteed) = answer.at_verifiers.unwrap();
        self.asked.push(Asked {
            id: answer.revocation.id.clone(),
            selector,
            is_ban,
            asked_at,
            answered_at: self.now(),
            at_signers: answer.at_signers,
            guaranteed,
            lifted_at: None,
        });
    }

    async fn lift(&mut self, by: usize, one: prop::sample::Index) {
        let (member, now) = (&self.members[by], self.now());
        if member.is_cut_off || self.asked.is_empty() {
            return;
        }
        let asked = one.index(self.asked.len());
        let asked = &mut self.asked[asked];
        let issuer = member.process.issuer("a").unwrap();
        let lifted = member
            .process
            .lift_ban(&issuer, &asked.id, Actor::Bootstrap);
        if lifted.await.is_ok() {
            asked.lifted_at = Some(now);
        }
    }

    async fn ask_for_head(&mut self, process: usize) {
        let Ok(head) = head(&self.members[process].process).await else {
            return;
        };
        let vouched = Timestamp::from_millis(head.issued_at_milliseconds);
        assert!(vouched <= self.now(), "a head of a time that has not come");
        // (d) What was taken back before its time is in it.
        let table = RevocationTable::new(&head.content, &[]).unwrap();
        for asked in self.asked.iter().filter(|one| one.answered_at < vouched) {
            let found = table.find([asked.selector.as_ref()], None, 0);
            assert!(found.is_some(), "{} is not in the head", asked.id);
        }
        let known = self.known.as_ref();
        if known.is_none_or(|known| known.issued_at_milliseconds < head.issued_at_milliseconds) {
            self.known = Some(head);
        }
    }

    /// Nothing stays open for ever, whichever replica has died.
    fn check_that_all_are_closed(&self, process: usize) {
        let issuer = self.members[process].process.issuer("a").unwrap();
        for asked in &self.asked {
            let known = issuer.revocations().find(&asked.id).unwrap();
            assert!(
                matches!(known.state, State::Closed { .. }),
                "{} is open",
                asked.id
            );
        }
    }

    fn check(&self) {
        let Some(head) = &self.known else {
            return;
        };
        let table = RevocationTable::new(&head.content, &[]).unwrap();
        let vouched = head.issued_at_milliseconds / 1000;
        for token in &self.tokens {
            let claims = claims(&token.text);
            let issued_at = claims["iat"].as_u64().unwrap();
            let selectors = selectors_of(|name| claims.get(name)).unwrap();
            let is_refused = table
                .find(selectors.iter(), Some(issued_at), vouched)
                .is_some();
            let oldest = Timestamp::from_seconds(vouched.max(issued_at));
            let max_age = Duration::from_secs(head.max_age_seconds);
            let is_accepted = !is_refused && self.now().since(oldest) <= max_age;
            // (a) What was handed out before, or what a ban that still holds was not known of.
            for asked in self.asked.iter().filter(|one| one.guaranteed <= self.now()) {
                let is_meant = token.handed_out_at < asked.asked_at
                    || (asked.is_ban
                        && token.begun_at < asked.at_signers
                        && asked.lifted_at.is_none());
                assert!(
                    !(is_meant && is_accepted && asked.matches(token)),
                    "accepted after {} is guaranteed",
                    asked.id
                );
            }
            // What a backup cannot know of: no token of before it came back lives on.
            if let Some(restored_at) = self.restored_at {
                let is_meant = token.handed_out_at < restored_at
                    && restored_at.after(LONGEST_MAX_AGE) < self.now();
                assert!(!(is_meant && is_accepted), "accepted after a restore");
            }
            // (b) What was signed when it was in force is not refused because of it.
            let explains = |one: &&Asked| one.matches(token) && token.begun_at < one.at_signers;
            let is_explained = self.asked.iter().any(|one| explains(&one))
                || self.restored_at.is_some_and(|at| token.begun_at < at);
            assert!(!is_refused || is_explained, "a good token is refused");
        }
    }
}

fn clock_of(world: &World, off: i64) -> Timestamp {
    let now = world.clock.read().wall.millis();
    Timestamp::from_millis(now.saturating_add_signed(off))
}

async fn start(world: &World, off: i64) -> Process {
    let now = clock_of(world, off);
    world.try_process(now, MAX_STALENESS).await.unwrap()
}

/// Lets the tasks of the processes do what has become due.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nobody_gets_in_after_the_bound_and_no_good_token_is_refused(
        acts in prop::collection::vec(act(), 1..60),
        clocks_off in select(&CLOCKS_OFF[..]),
        order in select(vec![[0_usize, 1, 2], [2, 1, 0], [1, 2, 0]]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut history = History::begin(clocks_off).await;
            for act in acts {
                // No two acts at one time.
                history.silence(Duration::from_millis(1)).await;
                history.happen(act).await;
                history.check();
            }
            // At the end everyone is there again, and what was promised has come.
            for process in 0..PROCESSES {
                history.happen(Act::Thaw(process)).await;
                history.happen(Act::Reconnect(process)).await;
            }
            history.pass(400).await;
            for process in order {
                history.happen(Act::AskForHead(process)).await;
                history.check();
                history.check_that_all_are_closed(process);
            }
        });
    }
}

/// The clock of the machine that restores is slow, and a token is a moment old.
#[tokio::test]
async fn a_restore_takes_back_the_token_of_the_moment_before() {
    let mut history = History::begin(CLOCKS_OFF[1]).await;
    for act in [Act::BackUp(0), Act::Sign(0, 0), Act::Restore(2)] {
        history.silence(Duration::from_millis(1)).await;
        history.happen(act).await;
    }
    assert_eq!(history.tokens.len(), 1);
    history.pass(600).await;
    history.happen(Act::AskForHead(0)).await;
    assert!(history.known.is_some());
    history.check();
}
