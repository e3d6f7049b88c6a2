//! Copies of the key set that are pushed elsewhere, and verifiers that read nothing else.
//!
//! What a target holds changes when a push succeeds, and its readers may be given what was there before for
//! the target's delay. What the pusher knows is what its records say; what is true is in the ledger.

use std::collections::BTreeSet;
use std::time::Duration;

use keywright::lifecycle::{
    Command, Copies, Event, KeySet, Policy, PushedCopies, Readiness, RuleViolation, SWITCH_OVER,
    State, Timestamp,
};
use keywright::push::{PushedContent, PushedCopy};
use keywright_verifier::Kid;

use super::rotation::{ES256, rotate};
use super::verifiers::{Network, Response, Verifier};
use super::world::{BEGINNING, DAY, HOUR, MINUTE, SECOND, World, single_policy};

/// The targets of every world, and their delays.
pub(crate) const TARGETS: [(&str, Duration); 2] = [
    ("cdn", Duration::ZERO),
    ("cluster", MINUTE.saturating_mul(2)),
];

/// A copy that was in place.
pub(crate) struct PastCopy {
    kids: BTreeSet<Kid>,
    freshness: Duration,
    /// When a reader was given it for the last time.
    until: Timestamp,
}

/// One target: what it holds, what is known of it, and who reads it.
pub(crate) struct Target {
    name: &'static str,
    delay: Duration,
    record: PushedCopy,
    current: Option<Response>,
    /// When every reader is given it.
    visible_at: Timestamp,
    /// Copies that were replaced, in their order.
    past: Vec<PastCopy>,
    readers: Vec<Verifier>,
    network: Network,
}

impl Target {
    pub(crate) fn all() -> Vec<Self> {
        let target = |(name, delay): (&'static str, Duration)| Self {
            name,
            delay,
            record: PushedCopy::new(name.to_owned()),
            current: None,
            visible_at: Timestamp::default(),
            past: Vec::new(),
            readers: Verifier::of_copies(),
            network: Network {
                outage: false,
                cached: None,
            },
        };
        TARGETS.into_iter().map(target).collect()
    }

    /// A push succeeds.
    fn is_pushed(&mut self, set: &KeySet, now: Timestamp) {
        let next = Response::of(set, now);
        let digest = format!("{:?} {:?}", next.kids(), next.freshness());
        if self.record.has(&digest) {
            return;
        }
        let freshness = set.policy().freshness();
        let before = self.record.freshness;
        let claimed = self.record.claimed(now, freshness);
        let content = PushedContent {
            digest,
            version: set.version(),
            pushed_at: now,
        };
        self.record = claimed.pushed(content, freshness, before);
        self.visible_at = now.after(self.delay);
        if let Some(replaced) = self.current.replace(next) {
            self.past.push(PastCopy {
                kids: replaced.kids().clone(),
                freshness: replaced.freshness(),
                until: self.visible_at,
            });
        }
    }

    /// What a reader is given at worst.
    fn given(&self, now: Timestamp) -> Option<Response> {
        let current = self.current.as_ref()?;
        let late = now < self.visible_at;
        match self.past.last().filter(|_| late) {
            Some(past) => Some(Response::of_kids(past.kids.clone(), now, past.freshness)),
            // Before the first push is everywhere, a reader may find nothing.
            None if late => None,
            None => Some(current.served_again(now)),
        }
    }

    /// Why a key that this target's readers must know is not known to all of them; `None` when it is.
    pub(crate) fn lacks(&self, kid: &Kid, lead: Duration, now: Timestamp) -> Option<String> {
        let holds = |kids: &BTreeSet<Kid>| kids.contains(kid);
        if !self.current.as_ref().is_some_and(|copy| holds(copy.kids())) {
            return Some(format!("{} lacks {kid}", self.name));
        }
        let lacking = self.past.iter().filter(|past| !holds(&past.kids));
        let fresh_until = lacking.clone().map(|past| past.until.after(past.freshness));
        let fresh_until = fresh_until.max().unwrap_or_default();
        if fresh_until > now {
            return Some(format!(
                "{}: {kid} is missing until {fresh_until:?}",
                self.name
            ));
        }
        let known_from = lacking.map(|past| past.until).max().unwrap_or_default();
        (known_from.after(lead) > now)
            .then(|| format!("{}: {kid} was not there for its lead", self.name))
    }

    pub(crate) fn is_named(&self, policy: &Policy) -> bool {
        policy.push.iter().any(|name| name == self.name)
    }

    /// What happened later than this is forgotten.
    pub(crate) fn forget_after(&mut self, latest: Timestamp) {
        for past in &mut self.past {
            past.until = past.until.min(latest);
        }
        self.visible_at = self.visible_at.min(latest);
        for reader in &mut self.readers {
            reader.forget_after(latest);
        }
    }

    /// What was fresh for longer than today's policy allows is given up, too.
    pub(crate) fn clock_corrected(&mut self, decided_at: Timestamp, freshness: Duration) {
        self.forget_after(decided_at);
        self.past.retain(|past| past.freshness <= freshness);
    }

    pub(crate) fn evict_stale(&mut self, now: Timestamp) {
        for reader in &mut self.readers {
            reader.evict_stale(now);
        }
    }
}

impl World {
    /// Pushes the set to a target, if the policy names it.
    pub(crate) fn push(&mut self, index: usize) {
        let now = self.clock;
        let target = &mut self.targets[index];
        if target.is_named(self.view.policy()) {
            target.is_pushed(&self.view, now);
        }
    }

    /// Pushes to every target that the policy names, and confirms it.
    pub(crate) fn push_all(&mut self) -> Vec<Event> {
        (0..TARGETS.len()).for_each(|index| self.push(index));
        let confirms = self.confirmation();
        confirms.map_or_else(Vec::new, |command| self.run(&command).unwrap())
    }

    /// What the records say that all copies have.
    pub(crate) fn confirmation(&self) -> Option<Command> {
        let policy = self.view.policy();
        let named: Vec<&Target> = (self.targets.iter())
            .filter(|target| target.is_named(policy))
            .collect();
        let current: Option<Vec<&Response>> =
            named.iter().map(|target| target.current.as_ref()).collect();
        let current = current.filter(|current| !current.is_empty())?;
        let is_everywhere = |kid: &&Kid| current.iter().all(|copy| copy.kids().contains(*kid));
        let kids: Vec<Kid> = (current.first()?.kids().iter())
            .filter(is_everywhere)
            .cloned()
            .collect();
        let freshness = |target: &&Target| target.record.replaced_freshness(self.clock);
        Some(Command::ConfirmCopies(PushedCopies {
            targets: named.iter().map(|target| target.name.to_owned()).collect(),
            kids,
            delay: named.iter().map(|target| target.delay).max()?,
            freshness: named.iter().map(freshness).max()?,
        }))
    }

    /// Shows these kids to the readers of every target: one that began to sign while the policy named the
    /// target must be known.
    pub(crate) fn show_to_readers(&mut self, kids: &[Kid]) {
        let now = self.clock;
        for target in &mut self.targets {
            let given = target.given(now);
            target.network.outage = given.is_none();
            let origin =
                given.unwrap_or_else(|| Response::of_kids(BTreeSet::new(), now, Duration::ZERO));
            for kid in kids {
                let facts = &self.ledger.keys[kid];
                let activation = facts.activation.as_ref();
                let counts =
                    activation.is_some_and(|one| one.push.iter().any(|name| name == target.name));
                for reader in &mut target.readers {
                    let found = reader.finds(kid, &mut target.network, &origin);
                    if counts
                        && found == Some(false)
                        && reader.must_know(facts, SWITCH_OVER)
                        && !facts.first_set
                    {
                        let text =
                            format!("{} of {} met {kid} at {now:?}", reader.name, target.name);
                        self.ledger.offences.push((2, text));
                    }
                }
            }
        }
    }
}

/// ES256 alone, and a copy at the first target.
fn pushed_policy() -> Policy {
    Policy {
        push: vec!["cdn".to_owned()],
        ..single_policy()
    }
}

fn successor(world: &World) -> Kid {
    world.view.successors(ES256)[0].kid().clone()
}

fn ready_at(world: &World, kid: &Kid) -> Option<Timestamp> {
    world.view.key(kid)?.ready_at(world.view.policy())
}

/// A world whose successor was published after the first set.
fn rotated(policy: Policy) -> World {
    let mut world = World::fresh(policy);
    world.push_all();
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    world
}

#[test]
fn successor_waits_for_the_push_and_then_for_its_lead() {
    let mut world = rotated(pushed_policy());
    let kid = successor(&world);
    assert_eq!(ready_at(&world, &kid), Some(Timestamp::END));
    // The schedule passes, and no push succeeds.
    world.live_until(BEGINNING.after(DAY * 40));
    assert_eq!(successor(&world), kid);
    let refused = world.run(&rotate(ES256, Readiness::Required));
    assert_eq!(
        refused,
        Err(RuleViolation::SuccessorUnconfirmed {
            algorithm: ES256,
            kid: kid.clone(),
            since: BEGINNING
        })
    );
    let pushed_at = world.clock;
    let events = world.push_all();
    let confirmed = Event::KeyConfirmed {
        kid: kid.clone(),
        algorithm: ES256,
        ready_at: pushed_at.after(DAY).floor_seconds(),
    };
    assert_eq!(events.first(), Some(&confirmed));
    world.live_until(pushed_at.after(DAY).before(SECOND));
    assert_ne!(world.view.active(ES256).unwrap().kid(), &kid);
    world.live_until(pushed_at.after(DAY));
    assert_eq!(world.view.active(ES256).unwrap().kid(), &kid);
}

#[test]
fn delay_of_a_target_counts_beside_lead_and_freshness() {
    let mut policy = pushed_policy();
    policy.push.push("cluster".to_owned());
    policy.lead = policy.freshness() + policy.clock_skew;
    let mut world = rotated(policy.clone());
    let kid = successor(&world);
    world.pass(HOUR);
    let pushed_at = world.clock;
    world.push_all();
    let missing = SWITCH_OVER + policy.freshness() + policy.clock_skew;
    assert_eq!(
        ready_at(&world, &kid),
        Some(pushed_at.after(MINUTE * 2 + missing))
    );
}

#[test]
fn one_target_that_holds_the_key_does_not_speak_for_the_other() {
    let mut policy = pushed_policy();
    policy.push.push("cluster".to_owned());
    let mut world = rotated(policy);
    let kid = successor(&world);
    world.push(0);
    let confirms = world.confirmation().unwrap();
    assert_eq!(world.run(&confirms), Ok(Vec::new()));
    world.push(1);
    let confirms = world.confirmation().unwrap();
    assert_eq!(world.run(&confirms).unwrap().len(), 1);
    assert!(ready_at(&world, &kid) < Some(Timestamp::END));
}

#[test]
fn target_that_is_added_makes_successors_wait_and_one_that_is_removed_frees_them() {
    let mut world = World::fresh(single_policy());
    let kid = successor(&world);
    assert_eq!(ready_at(&world, &kid), Some(BEGINNING));
    world
        .run(&Command::SetPolicy(pushed_policy().into()))
        .unwrap();
    assert_eq!(ready_at(&world, &kid), Some(Timestamp::END));
    // A confirmation that was on its way speaks for the targets that it was made for alone.
    world.push(0);
    let confirms = world.confirmation().unwrap();
    let mut both = pushed_policy();
    both.push.push("cluster".to_owned());
    world.run(&Command::SetPolicy(both.into())).unwrap();
    assert_eq!(world.run(&confirms), Ok(Vec::new()));
    world
        .run(&Command::SetPolicy(single_policy().into()))
        .unwrap();
    assert_eq!(ready_at(&world, &kid), Some(BEGINNING));
}

#[test]
fn a_copy_that_was_found_changed_makes_confirmed_successors_wait_again() {
    let mut world = rotated(pushed_policy());
    world.push_all();
    let kid = successor(&world);
    assert!(ready_at(&world, &kid) < Some(Timestamp::END));
    let events = world.run(&Command::DoubtCopies).unwrap();
    let algorithm = ES256;
    let doubted = Event::KeyUnconfirmed {
        kid: kid.clone(),
        algorithm,
    };
    assert_eq!(events, [doubted]);
    assert_eq!(ready_at(&world, &kid), Some(Timestamp::END));
    assert_eq!(world.run(&Command::DoubtCopies), Ok(Vec::new()));
    let mut without = World::fresh(single_policy());
    assert_eq!(without.run(&Command::DoubtCopies), Ok(Vec::new()));
}

#[test]
fn revocation_waits_for_no_push_and_what_it_promotes_is_forced() {
    let mut world = rotated(pushed_policy());
    let (active, next) = (
        world.view.active(ES256).unwrap().kid().clone(),
        successor(&world),
    );
    let revoke = Command::Revoke {
        kid: active,
        reason: "leaked".to_owned(),
        successor: keywright::lifecycle::Successor::Promote,
    };
    let events = world.run(&revoke).unwrap();
    let forced = events.iter().any(
        |event| matches!(event, Event::KeyActivated { kid, forced: true, .. } if *kid == next),
    );
    assert!(forced, "{events:?}");
    assert!(matches!(
        world.view.key(&next).unwrap().state(),
        State::Active(_)
    ));
}

#[test]
fn copy_that_was_fresh_for_longer_under_an_earlier_policy_counts_until_it_is_stale() {
    let generous = Policy {
        jwks_max_age: HOUR * 12,
        ..pushed_policy()
    };
    let mut world = rotated(generous.clone());
    world.push_all();
    // The copy is fresh for 13 hours when the policy says 65 minutes again; then a key comes.
    let lead = HOUR * 2;
    let short = Policy {
        lead,
        ..pushed_policy()
    };
    world
        .run(&Command::SetPolicy(short.clone().into()))
        .unwrap();
    world.run(&rotate(ES256, Readiness::Waived)).unwrap();
    let kid = successor(&world);
    world.pass(DAY * 2);
    let pushed_at = world.clock;
    world.push_all();
    let missing = SWITCH_OVER + generous.freshness() + short.clock_skew;
    assert_eq!(ready_at(&world, &kid), Some(pushed_at.after(missing)));
}

#[test]
fn keys_of_the_first_set_are_in_every_copy() {
    let world = World::fresh(pushed_policy());
    let key = world.view.successors(ES256)[0];
    let State::Pending(pending) = key.state() else {
        panic!("a successor is pending");
    };
    assert_eq!(pending.copies, Copies::NoneWithout);
    assert_eq!(key.ready_at(world.view.policy()), Some(BEGINNING));
}
