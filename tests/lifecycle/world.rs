//! One issuer's world: the service as it lives a key set, the tokens it signs, and its verifiers.
//!
//! All machines share one clock. When it jumps back it does so for all of them; a jump forward
//! is time that passes, as in a suspension.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use keywright::lifecycle::{
    Adoption, Attestation, AvailableKeys, Change, ChangeTime, Command, Decision, DecisionError,
    Event, IssuerName, IssuerOrigin, IssuerUrl, Key, KeySet, KeySpecification, Plan, Policy,
    RuleViolation, State, Timestamp, Timing, create, decide, plan,
};
use keywright::store::SetTokens;
use keywright::store::documents;
use keywright::store::memory::MemoryStore;
use keywright::store::{Batch, BatchId, CommitError, EventRow, Store as _, StoredSet, commit};
use keywright_verifier::{Algorithm, Jwk, Kid};

use super::copies::Target;
use super::expected_state::Ledger;
use super::keys;
use super::restore_register::Recollection;
use super::verifiers::{Network, Response, Verifier};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// When every world begins: 1 January 2026.
pub(crate) const BEGINNING: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// The default policy.
pub(crate) fn default_policy() -> Policy {
    Policy::for_url(IssuerUrl::parse("https://id.example.com").unwrap())
}

/// The default policy for ES256 alone.
pub(crate) fn single_policy() -> Policy {
    Policy {
        algorithms: vec![Algorithm::Es256],
        ..default_policy()
    }
}

/// One issuer's world.
pub(crate) struct World {
    store: MemoryStore,
    /// How many batches were made.
    batches: u128,
    /// What every machine's clock shows.
    pub(crate) clock: Timestamp,
    /// The latest time that the running process remembers.
    latest: Timestamp,
    /// The latest time that anyone ever saw.
    pub(crate) latest_ever: Timestamp,
    /// What the store must hold.
    pub(crate) stored: KeySet,
    /// What is served and what signs.
    pub(crate) view: KeySet,
    pub(crate) tokens: Vec<Token>,
    pub(crate) verifiers: Vec<Verifier>,
    pub(crate) network: Network,
    /// Where copies of the set are.
    pub(crate) targets: Vec<Target>,
    pub(crate) ledger: Ledger,
    pub(crate) recollection: Recollection,
    /// Whether anything that could have reached the store has happened since the laws were asked.
    pub(crate) touched: bool,
    pub(crate) keys_made: u64,
    /// The keys that the stored set still wanted when it was decided.
    pub(crate) wanted: Vec<KeySpecification>,
    /// How long processes need to take a change over.
    pub(crate) timing: Timing,
    /// When the old set went out of use before a commit had ended.
    switch_over_ended: Option<Timestamp>,
    /// Who stands behind what is asked.
    pub(crate) attestation: Attestation,
    /// What has been generated for the change that is decided next.
    available: AvailableKeys,
    /// What the replicas have seen of verifiers.
    pub(crate) seen: Seen,
}

/// What the replicas have seen of verifiers: of each pending key so many hold it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) verifiers: u64,
    pub(crate) holders: u64,
    pub(crate) uncounted_replicas: u64,
}

impl Seen {
    fn of(&self, set: &KeySet) -> Adoption {
        let pending = |key: &&Key| matches!(key.state(), State::Pending(_));
        let pending = set.keys().iter().filter(pending);
        let holders = pending.map(|key| (key.kid().clone(), self.holders));
        Adoption::observed(self.verifiers, holders.collect(), self.uncounted_replicas)
    }
}

/// A signed token.
pub(crate) struct Token {
    pub(crate) kid: Kid,
    /// What signed it, from the same entry as the kid.
    pub(crate) jwk: Jwk,
    pub(crate) expires_at: Timestamp,
    /// The widest clock skew that a policy promised while the key was published.
    pub(crate) clock_skew: Duration,
    /// The latest time that had been seen when it was signed.
    pub(crate) signed_at: Timestamp,
    /// It was signed in a future that was taken back, and the process that remembered has died
    /// or another has decided: nothing can be promised for it.
    pub(crate) forgotten: bool,
}

/// When a change was decided.
#[derive(Clone, Copy)]
struct DecidedAt {
    clock: Timestamp,
    /// How many tokens had been signed.
    tokens: usize,
}

/// How a commit goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fate {
    /// How long it takes. Meanwhile the old set is served and the old key signs, for no longer than
    /// [`Timing::old_set_until`].
    pub(crate) delay: Duration,
    /// For how much longer another process of a shared store goes on with the old set.
    pub(crate) lag: Duration,
    pub(crate) crash: Option<Crash>,
    /// Which verifiers, by the bits of this number, start just before the set is swapped.
    pub(crate) starting: u16,
}

/// When the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    BeforeCommit,
    BetweenCommitAndSwap,
}

impl World {
    /// A new issuer, as of [`BEGINNING`].
    pub(crate) fn create(policy: Policy, founding: IssuerOrigin) -> Self {
        let mut keys_made = 0;
        let name = IssuerName::parse("example").unwrap();
        let change = supplied(&mut keys_made, |supply| {
            create(name.clone(), policy.clone(), founding, BEGINNING, supply)
        })
        .unwrap();
        let mut world = Self {
            store: MemoryStore::default(),
            clock: BEGINNING,
            latest: BEGINNING,
            latest_ever: BEGINNING,
            stored: change.set.clone(),
            view: change.set.clone(),
            tokens: Vec::new(),
            verifiers: Verifier::all(),
            network: Network {
                outage: false,
                cached: None,
            },
            targets: Target::all(),
            ledger: Ledger::default(),
            recollection: Recollection::default(),
            touched: true,
            batches: 0,
            keys_made,
            wanted: Vec::new(),
            timing: Timing::single(),
            switch_over_ended: None,
            attestation: Attestation::OnePerson,
            available: AvailableKeys::default(),
            seen: Seen::default(),
        };
        world
            .write(
                None,
                &Command::ApplyPlan,
                &change,
                Vec::new(),
                world.decided_at(),
            )
            .unwrap();
        world.ledger.begins_to_serve(&change.set, BEGINNING);
        world
    }

    /// A fresh issuer with this policy.
    pub(crate) fn fresh(policy: Policy) -> Self {
        Self::create(policy, IssuerOrigin::Fresh)
    }

    /// A key that no set has had yet.
    pub(crate) fn new_key(&mut self, algorithm: Algorithm) -> Jwk {
        self.keys_made += 1;
        let wanted = KeySpecification {
            algorithm,
            rsa_bits: self.view.policy().rsa_bits,
        };
        keys::key(wanted, self.keys_made)
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.clock = self.clock.after(duration);
        self.witness();
    }

    /// Sets every clock back.
    pub(crate) fn jump_back(&mut self, duration: Duration) {
        let state = |world: &Self| -> Vec<Kid> {
            let published = world.view.published(world.clock);
            published.map(|key| key.kid().clone()).collect()
        };
        self.ledger.served(&self.view, self.clock);
        let before = state(self);
        self.network.evict_stale(self.clock);
        for verifier in &mut self.verifiers {
            verifier.evict_stale(self.clock);
        }
        for target in &mut self.targets {
            target.evict_stale(self.clock);
        }
        self.clock = self.clock.before(duration);
        let after = state(self);
        if let Some(kid) = before.iter().find(|kid| !after.contains(kid)) {
            self.ledger.offend(8, format!("{kid} was un-published"));
        }
    }

    /// What is due, and what waits.
    pub(crate) fn plan(&self) -> Plan {
        plan(&self.view, self.clock, &self.seen.of(&self.view))
    }

    /// When something will be due.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.plan().next_wake
    }

    /// Lives until `until`, ticking whenever something is due, and tells what happened when.
    pub(crate) fn live_until(&mut self, until: Timestamp) -> Vec<(Timestamp, Event)> {
        let mut story = Vec::new();
        loop {
            let wake = self.next_wake().filter(|wake| *wake <= until);
            self.clock = wake.unwrap_or(until).max(self.clock);
            self.witness();
            let events = self.run(&Command::ApplyPlan).unwrap();
            story.extend(events.into_iter().map(|event| (self.clock, event)));
            if wake.is_none() {
                return story;
            }
        }
    }

    /// Carries a command out without mishap, and generates the keys that are wanted after it.
    pub(crate) fn run(&mut self, command: &Command) -> Result<Vec<Event>, RuleViolation> {
        let mut events = self.run_with(command, &Fate::default(), None)?;
        events.extend(self.follow_up()?);
        Ok(events)
    }

    /// Generates the keys that are wanted, and lets the plan take them in.
    pub(crate) fn follow_up(&mut self) -> Result<Vec<Event>, RuleViolation> {
        let mut events = Vec::new();
        for _ in 0..4 {
            if self.wanted.is_empty() {
                return Ok(events);
            }
            for wanted in std::mem::take(&mut self.wanted) {
                self.keys_made += 1;
                self.available.add(keys::key(wanted, self.keys_made));
            }
            let plan = self.run_with(&Command::ApplyPlan, &Fate::default(), None);
            self.available = AvailableKeys::default();
            events.extend(plan?);
        }
        let text = format!("{:?} is still wanted", self.wanted);
        self.ledger.offend(5, text);
        Ok(events)
    }

    /// Carries a command out as fate will have it, after the commit of a rival if there is one.
    pub(crate) fn run_with(
        &mut self,
        command: &Command,
        fate: &Fate,
        rival: Option<&Command>,
    ) -> Result<Vec<Event>, RuleViolation> {
        self.witness();
        self.touched = true;
        let decided_at = self.decided_at();
        let base = self.view.clone();
        let tokens = SetTokens::of(&self.rows());
        let time = self.change_time(self.latest);
        let (attestation, available) = (self.attestation, &self.available);
        let Decision { change, wanted } = decide(
            &base,
            command,
            attestation,
            time,
            available,
            &self.seen.of(&base),
        )?;
        let Some(change) = change else {
            self.wanted = wanted;
            return Ok(Vec::new());
        };
        if fate.crash == Some(Crash::BeforeCommit) {
            self.restart();
            return Ok(Vec::new());
        }
        let rival = rival.and_then(|rival| self.rival_commits(rival));
        let beaten = rival.is_some();
        // Only a shared store has a rival that a process may know nothing of for longer.
        let stamp = rival.map_or(change.at, |rival| rival.min(change.at));
        self.old_view_lasts_for(fate.delay, self.timing.old_set_until(stamp), fate.starting);
        if let Some(staleness) = self.timing.max_staleness.filter(|_| !beaten) {
            if self.clock > self.timing.commit_deadline(change.at) {
                return Ok(Vec::new());
            }
            let outcome = self.write(Some((&base, &tokens)), command, &change, wanted, decided_at);
            outcome.unwrap();
            let lag = fate.lag.min(staleness);
            self.old_view_lasts_for(lag, self.clock.after(lag), fate.starting);
            if fate.crash.is_some() {
                self.restart();
            } else {
                self.swap(change.set);
            }
            return Ok(change.events);
        }
        match self.write(Some((&base, &tokens)), command, &change, wanted, decided_at) {
            Err(CommitError::Conflict) if beaten => {
                self.swap(self.load());
                self.run_with(command, &Fate::default(), None)
            }
            Ok(()) if beaten => {
                let text = "a commit overwrote another".to_owned();
                self.ledger.offend(9, text);
                Ok(change.events)
            }
            Ok(()) if fate.crash.is_some() => {
                self.restart();
                Ok(change.events)
            }
            Ok(()) => {
                self.swap(change.set);
                Ok(change.events)
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Dies and comes back with what the store holds.
    pub(crate) fn restart(&mut self) {
        self.touched = true;
        self.stops_serving();
        self.view = self.load();
        self.forget_after(self.view.latest().max(self.clock));
        self.latest = self.view.latest().max(self.clock);
        self.ledger.begins_to_serve(&self.view, self.clock);
    }

    /// Signs a token that lives as long as the policy allows, and shows it to every verifier.
    pub(crate) fn sign(&mut self, algorithm: Algorithm) {
        self.sign_for(algorithm, self.view.policy().max_token_ttl);
    }

    /// Signs a token and shows it to every verifier.
    pub(crate) fn sign_for(&mut self, algorithm: Algorithm, ttl: Duration) {
        self.witness();
        // The canary signs one, too, whatever its share.
        let signing = [self.view.active(algorithm), self.view.canary(algorithm)];
        let tokens = signing.into_iter().flatten().map(|key| Token {
            kid: key.kid().clone(),
            jwk: key.jwk().clone(),
            expires_at: Timestamp::from_seconds(self.clock.floor_seconds()).after(ttl),
            clock_skew: self.view.policy().clock_skew,
            signed_at: self.latest_ever,
            forgotten: false,
        });
        let tokens: Vec<Token> = tokens.collect();
        let kids: Vec<Kid> = tokens.iter().map(|token| token.kid.clone()).collect();
        self.tokens.extend(tokens);
        self.show(&kids);
    }

    /// A verifier starts with an empty cache.
    pub(crate) fn start_verifier(&mut self, index: usize) {
        let origin = Response::of(&self.view, self.clock);
        self.verifiers[index].starts(&mut self.network, &origin);
    }

    /// Shows every token that lives to every verifier.
    pub(crate) fn show_all(&mut self) {
        let mut kids: Vec<Kid> = self.live_tokens().map(|token| token.kid.clone()).collect();
        kids.sort();
        kids.dedup();
        self.show(&kids);
    }

    /// The tokens that a user may rely on.
    pub(crate) fn live_tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|token| {
            !token.forgotten
                && !self.ledger.is_revoked(&token.kid)
                && self.latest_ever < token.expires_at.after(token.clock_skew)
        })
    }

    /// Writes down what is served now, unless the clock was set back: then it is no time that
    /// the records know.
    pub(crate) fn recollect(&mut self) {
        let is_known = self.clock >= self.latest_ever && self.clock >= self.view.latest();
        if is_known && !self.is_revoked_ahead() {
            self.recollection.note(&self.view, self.clock);
        }
    }

    /// The rows of the store.
    pub(crate) fn rows(&self) -> StoredSet {
        ready(self.store.key_set(self.stored.issuer()))
            .unwrap()
            .unwrap()
    }

    /// How many events the store holds.
    pub(crate) fn stored_events(&self) -> usize {
        let all = self.store.events(None, 0, u32::MAX);
        ready(all).unwrap().len()
    }

    fn show(&mut self, kids: &[Kid]) {
        let origin = Response::of(&self.view, self.clock);
        for kid in kids {
            for verifier in &mut self.verifiers {
                let found = verifier.finds(kid, &mut self.network, &origin);
                let facts = &self.ledger.keys[kid];
                if found == Some(false) && verifier.must_know(facts, self.timing.overlap()) {
                    let text = format!("{} met {kid} at {:?}", verifier.name, self.clock);
                    self.ledger.offend(2, text);
                }
            }
        }
        self.show_to_readers(kids);
    }

    fn witness(&mut self) {
        self.latest = self.latest.max(self.clock);
        self.latest_ever = self.latest_ever.max(self.clock);
    }

    /// The old key signs and the old set is served until the very end of the commit, or until it
    /// may not any more.
    fn old_view_lasts_for(&mut self, delay: Duration, until: Timestamp, starting: u16) {
        let in_use = until.since(self.clock).min(delay);
        self.pass(in_use);
        let origin = Response::of(&self.view, self.clock);
        for (index, verifier) in self.verifiers.iter_mut().enumerate() {
            if starting >> index & 1 == 1 {
                verifier.starts(&mut self.network, &origin);
            }
        }
        for algorithm in Algorithm::ALL {
            self.sign(algorithm);
        }
        if in_use < delay {
            self.switch_over_ended = Some(self.clock);
            self.pass(delay.saturating_sub(in_use));
        }
    }

    /// What is served now was fresh until now, or until the switch-over ended.
    fn stops_serving(&mut self) {
        let last = self.switch_over_ended.take().unwrap_or(self.clock);
        self.ledger.served(&self.view, last);
    }

    fn swap(&mut self, set: KeySet) {
        self.stops_serving();
        // A wider skew is a promise for the keys that are published when it is in force everywhere.
        let in_force_at = set.latest().after(self.timing.overlap());
        let skew = set.policy().clock_skew;
        let removed = |key: &Key| matches!(key.state(), State::Removed(_));
        self.tokens
            .retain(|token| !self.view.key(&token.kid).is_some_and(removed));
        for token in &mut self.tokens {
            let key = self.view.key(&token.kid);
            if key.is_some_and(|key| key.is_published(in_force_at)) {
                token.clock_skew = token.clock_skew.max(skew);
            }
        }
        if self.clock <= in_force_at {
            let published = set.published(self.clock);
            let began_anew = published
                .filter_map(|key| self.view.key(key.kid()))
                .find(|key| !key.is_published(self.clock));
            if let Some(key) = began_anew {
                let text = format!("{} was published again", key.kid());
                self.ledger.offend(8, text);
            }
        }
        self.view = set;
        self.ledger.begins_to_serve(&self.view, self.clock);
        for algorithm in Algorithm::ALL {
            self.sign(algorithm);
        }
    }

    /// Another process decides and commits first. The stamp, if it had anything to do.
    fn rival_commits(&mut self, command: &Command) -> Option<Timestamp> {
        let seen = self.load().latest().max(self.clock);
        let base = self.load();
        let decided_at = self.decided_at();
        let time = self.change_time(seen);
        let none = AvailableKeys::default();
        let decision = decide(
            &base,
            command,
            self.attestation,
            time,
            &none,
            &self.seen.of(&base),
        );
        let Ok(Decision {
            change: Some(change),
            wanted,
        }) = decision
        else {
            return None;
        };
        self.forget_after(seen);
        let tokens = SetTokens::of(&self.rows());
        self.write(Some((&base, &tokens)), command, &change, wanted, decided_at)
            .unwrap();
        Some(change.at)
    }

    fn change_time(&self, witnessed: Timestamp) -> ChangeTime {
        ChangeTime {
            reading: self.clock,
            witnessed,
            timing: self.timing,
        }
    }

    fn decided_at(&self) -> DecidedAt {
        DecidedAt {
            clock: self.clock,
            tokens: self.tokens.len(),
        }
    }

    /// The clock was ahead: what was seen then is as if it had not been, and neither what was signed
    /// nor what had ended then is anything that a verifier can rely on.
    fn clock_corrected(&mut self, decided_at: DecidedAt) {
        let seen = self.latest_ever;
        for (index, token) in self.tokens.iter_mut().enumerate() {
            let signed_ahead = index < decided_at.tokens && token.signed_at > decided_at.clock;
            let has_ended = token.expires_at.after(token.clock_skew) <= seen;
            token.forgotten |= signed_ahead || has_ended;
        }
        let freshness = self.stored.policy().freshness();
        self.ledger.clock_corrected(decided_at.clock, freshness);
        for target in &mut self.targets {
            target.clock_corrected(decided_at.clock, freshness);
        }
        self.caches_forget_after(decided_at.clock);
        self.latest = self.clock;
        self.latest_ever = self.clock;
        if self.is_revoked_ahead() {
            self.recollection.forget_all();
        }
    }

    /// The record of a revoked key is final: it keeps a time that a corrected clock had not reached,
    /// and until then the past is not told.
    fn is_revoked_ahead(&self) -> bool {
        let is_ahead = |key: &Key| match key.state() {
            State::Revoked(revoked) => revoked.revoked_at > self.clock,
            _ => false,
        };
        self.view.keys().iter().any(is_ahead)
    }

    fn forget_after(&mut self, latest: Timestamp) {
        self.ledger.forget_after(latest);
        for token in &mut self.tokens {
            token.forgotten |= token.signed_at > latest;
        }
        self.caches_forget_after(latest);
    }

    fn caches_forget_after(&mut self, latest: Timestamp) {
        for verifier in &mut self.verifiers {
            verifier.forget_after(latest);
        }
        self.network.forget_after(latest);
        for target in &mut self.targets {
            target.forget_after(latest);
        }
    }

    fn load(&self) -> KeySet {
        documents::key_set(&self.rows()).unwrap()
    }

    fn write(
        &mut self,
        before: Option<(&KeySet, &SetTokens)>,
        command: &Command,
        change: &Change,
        wanted: Vec<KeySpecification>,
        decided_at: DecidedAt,
    ) -> Result<(), CommitError> {
        let sealed = |key: &Key| (key.kid().clone(), key.kid().as_str().as_bytes().to_vec());
        let events = change.events.iter().map(|event| EventRow {
            at: change.at.millis(),
            issuer: Some(change.set.issuer().clone()),
            document: serde_json::to_string(event).unwrap(),
        });
        let sealed = change.set.keys().iter().map(sealed).collect();
        self.batches += 1;
        let batch = Batch {
            writes: documents::writes(before, &change.set, sealed),
            events: events.collect(),
            ..Batch::new(BatchId(self.batches.to_be_bytes()))
        };
        ready(commit(&self.store, batch))?;
        self.recollection.forget_from(decided_at.clock);
        let corrects = |event: &Event| matches!(event, Event::ClockCorrected { .. });
        if change.events.iter().any(corrects) {
            self.clock_corrected(decided_at);
        }
        self.stored = change.set.clone();
        self.wanted = wanted;
        self.ledger.seen = self.seen;
        let (set, events, now) = (&change.set, &change.events, decided_at.clock);
        self.ledger
            .committed(command, set, events, now, &self.targets);
        Ok(())
    }
}

/// Tries until every key that is wanted at once is there.
pub(crate) fn supplied<T>(
    keys_made: &mut u64,
    attempt: impl Fn(&AvailableKeys) -> Result<T, DecisionError>,
) -> Result<T, RuleViolation> {
    let mut available = AvailableKeys::default();
    loop {
        match attempt(&available) {
            Ok(outcome) => return Ok(outcome),
            Err(DecisionError::Refused(refusal)) => return Err(refusal),
            Err(DecisionError::NeedsKeys(wanted)) => {
                for specification in wanted {
                    *keys_made += 1;
                    available.add(keys::key(specification, *keys_made));
                }
            }
        }
    }
}

/// The memory store never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("the memory store waited"),
    }
}
