//! What has really happened, written down beside the key set and independently of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keywright::lifecycle::{
    Command, Event, IssuerOrigin, KeySet, Readiness, Schedule, State, Timestamp,
};
use keywright_verifier::{Algorithm, Jwk, Kid};

use super::copies::Target;
use super::world::Seen;

/// The facts that the laws are judged by.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By kid, everything that ever entered the set.
    pub(crate) keys: BTreeMap<Kid, Facts>,
    /// By its freshness, when a response was last served. Serving never pauses, so that the last
    /// instant of a view is always the worst one.
    served: BTreeMap<Duration, Timestamp>,
    /// The algorithms that have had a signing key since the policy last took them in.
    pub(crate) signing: BTreeSet<Algorithm>,
    /// The algorithms whose signing key was revoked or lost while no successor stood by.
    pub(crate) bereft: BTreeSet<Algorithm>,
    /// The version under which the issuer was deleted.
    pub(crate) deleted: Option<u64>,
    /// How many commits and events the store must hold.
    pub(crate) commits: u64,
    pub(crate) events: usize,
    /// What the clock showed when the last commit was decided.
    pub(crate) decided_at: Timestamp,
    /// The latest instant that the set knew after each commit never decreases; this is it.
    pub(crate) latest: Timestamp,
    /// What the replicas had seen of verifiers when the last commit was decided.
    pub(crate) seen: Seen,
    /// What went wrong, by the number of the invariant.
    pub(crate) offences: Vec<(u8, String)>,
}

/// What is known of one key.
pub(crate) struct Facts {
    pub(crate) jwk: Jwk,
    pub(crate) state: &'static str,
    /// Stamp of the commit that brought it.
    pub(crate) published_at: Timestamp,
    /// It was in the first set that a new issuer ever served.
    pub(crate) first_set: bool,
    /// When the last response without it went stale; `None` until it is served.
    pub(crate) missing_until: Option<Timestamp>,
    pub(crate) activation: Option<Activation>,
    /// The end of its publication, as long as it was retired.
    pub(crate) published_until: Option<Timestamp>,
}

/// How a key began to sign.
pub(crate) struct Activation {
    /// What the clock showed when it was decided.
    pub(crate) decided_at: Timestamp,
    /// The lead of the policy in force.
    pub(crate) lead: Duration,
    /// From when the schedule counts: what the clock showed, unless that was corrected since.
    pub(crate) scheduled_from: Timestamp,
    /// The targets of the policy in force.
    pub(crate) push: Vec<String>,
    /// Verifiers may not know it: it was forced, or came from another system that published it.
    pub(crate) excused: bool,
}

impl Ledger {
    /// Writes down a committed change that `command` led to when the clock showed `now`.
    pub(crate) fn committed(
        &mut self,
        command: &Command,
        after: &KeySet,
        events: &[Event],
        now: Timestamp,
        targets: &[Target],
    ) {
        let may_force = match command {
            Command::Rotate { readiness, .. } => *readiness == Readiness::Waived,
            Command::Revoke { .. } | Command::Replace { .. } => true,
            Command::ApplyPlan
            | Command::ApplyPlanWithoutRotation
            | Command::StopCanary { .. }
            | Command::Import { .. }
            | Command::SetPolicy(_)
            | Command::ConfirmCopies(_)
            | Command::DoubtCopies
            | Command::CorrectClock
            | Command::Delete { .. } => false,
        };
        let forced = |event: &&Event| {
            matches!(event, Event::KeyActivated { forced: true, algorithm, .. }
                if !self.bereft.contains(algorithm))
        };
        if let Some(event) = events.iter().find(forced).filter(|_| !may_force) {
            self.offend(2, format!("{command:?} led to {event:?}"));
        }
        if let Some(version) = self.deleted {
            self.offend(
                11,
                format!("{command:?} changed an issuer deleted in {version}"),
            );
        }
        if events
            .iter()
            .any(|event| matches!(event, Event::IssuerDeleted {}))
        {
            self.deleted = Some(after.version());
        }
        self.commits += 1;
        self.events += events.len();
        self.decided_at = now;
        let corrected = matches!(command, Command::CorrectClock);
        if after.latest() < self.latest && !corrected {
            self.offend(8, format!("latest went back to {:?}", after.latest()));
        }
        self.latest = after.latest();
        self.check_canaries(command, after, events, now);
        self.check_gates(command, after, events, now);
        for event in events {
            // What became of the copies since it signs a share holds it up no more.
            let is_canary = event.kid().is_some_and(|kid| self.is_canary(kid));
            self.replay(command, after, event, now);
            if !is_canary {
                self.judge_copies(after, event, now, targets);
            }
        }
        for key in after.keys() {
            let Some(facts) = self.keys.get_mut(key.kid()) else {
                self.offend(9, format!("no event brought {}", key.kid()));
                continue;
            };
            if facts.state != key.state().name() {
                let text = format!("{} is {:?}, events say {}", key.kid(), key, facts.state);
                self.offend(9, text);
            } else if let State::Retired(retired) = key.state() {
                facts.published_until = Some(retired.published_until);
            }
        }
        let is_alive = self.deleted.is_none();
        self.signing
            .retain(|algorithm| is_alive && after.policy().algorithms.contains(algorithm));
        let active = |algorithm: &Algorithm| after.active(*algorithm).is_some();
        let signed = &self.signing;
        self.bereft
            .retain(|algorithm| signed.contains(algorithm) && !active(algorithm));
        let left = |algorithm: &&Algorithm| {
            !after.successors(**algorithm).is_empty() || after.canary(**algorithm).is_some()
        };
        if let Some(algorithm) = self.bereft.iter().find(left) {
            let text = format!("{command:?} left {algorithm} without promoting a successor");
            self.offend(1, text);
        }
        self.signing
            .extend(after.policy().algorithms.iter().filter(|one| active(one)));
    }

    fn is_canary(&self, kid: &Kid) -> bool {
        self.keys.get(kid).is_some_and(|key| key.state == "canary")
    }

    /// A canary begins where the policy has one and nobody has forced anything; by itself it becomes active no
    /// earlier than its time is over.
    fn check_canaries(
        &mut self,
        command: &Command,
        after: &KeySet,
        events: &[Event],
        now: Timestamp,
    ) {
        let phase = after.policy().canary.map(|phase| phase.duration.0);
        for event in events {
            match event {
                Event::KeyCanaryStarted { kid, .. } => {
                    let by_hand = matches!(
                        command,
                        Command::Rotate {
                            algorithm: None,
                            ..
                        }
                    );
                    if phase.is_none() || by_hand {
                        self.offend(13, format!("{command:?}: {kid} is a canary"));
                    }
                }
                Event::KeyActivated { kid, algorithm, .. } if self.is_canary(kid) => {
                    let by_schedule = matches!(
                        command,
                        Command::ApplyPlan | Command::Import { .. } | Command::StopCanary { .. }
                    );
                    let activation = self.keys[kid].activation.as_ref();
                    let began = activation.map(|one| one.scheduled_from).unwrap_or_default();
                    let over = began.after(phase.unwrap_or_default());
                    let follows = self.retires_signer(*algorithm, events);
                    if by_schedule && follows && now < over {
                        self.offend(13, format!("{command:?}: {kid} signs all before {over:?}"));
                    }
                }
                Event::KeyCanaryStopped { kid, .. } => {
                    let is_taken_back = matches!(command, Command::StopCanary { .. })
                        && matches!(
                            after.key(kid).map(|key| key.state()),
                            Some(State::Retired(_))
                        );
                    if !is_taken_back {
                        self.offend(13, format!("{command:?} stopped {kid}"));
                    }
                }
                _ => {}
            }
        }
    }

    /// A rotation needs as many verifiers as the policy says, or an event which says that the time to wait for
    /// them is over; and that event comes of nothing else.
    fn check_gates(&mut self, command: &Command, after: &KeySet, events: &[Event], now: Timestamp) {
        let waived = match command {
            Command::Rotate { readiness, .. } => *readiness == Readiness::Waived,
            Command::Replace { .. } => true,
            _ => false,
        };
        let Some(gate) = after.policy().adoption else {
            return;
        };
        let Seen {
            verifiers,
            holders,
            uncounted_replicas,
        } = self.seen;
        let wanted = verifiers * u64::from(gate.share.ten_thousandths());
        let is_open = uncounted_replicas == 0 && verifiers > 0 && holders * 10_000 >= wanted;
        let missed = |of: &Kid| {
            let is_it =
                |event: &Event| matches!(event, Event::AdoptionMissed { kid, .. } if kid == of);
            events.iter().any(is_it)
        };
        for event in events {
            match event {
                Event::KeyCanaryStarted { kid, .. } if !is_open && !missed(kid) => {
                    self.offend(
                        12,
                        format!("{command:?}: {kid} is a canary, and few hold it"),
                    );
                }
                Event::KeyActivated { kid, algorithm, .. }
                    if !waived && !is_open && !self.is_canary(kid) =>
                {
                    let follows = self.retires_signer(*algorithm, events);
                    if follows && !missed(kid) {
                        self.offend(12, format!("{command:?}: {kid} signs, and few hold it"));
                    }
                }
                Event::AdoptionMissed { kid, algorithm, .. } => {
                    let due = self.rotation_due(kid, *algorithm, after);
                    let is_over = due.is_none_or(|due| due.after(gate.within.0) <= now);
                    if is_open || !is_over {
                        self.offend(12, format!("{command:?}: {kid} was given up early"));
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the key that signed for an algorithm retires by these events.
    fn retires_signer(&self, algorithm: Algorithm, events: &[Event]) -> bool {
        events.iter().any(|event| match event {
            Event::KeyRetired {
                kid, algorithm: of, ..
            } => *of == algorithm && self.keys.get(kid).is_some_and(|key| key.state == "active"),
            _ => false,
        })
    }

    /// When a successor was due and ready; `None` where a crontab line says when, and where it may have waited for
    /// copies.
    pub(crate) fn rotation_due(
        &self,
        successor: &Kid,
        algorithm: Algorithm,
        set: &KeySet,
    ) -> Option<Timestamp> {
        let Schedule::Every(interval) = set.policy().rotation else {
            return None;
        };
        if !set.policy().push.is_empty() {
            return None;
        }
        let mut facts = self.keys.values();
        let active = facts.find(|key| key.state == "active" && key.jwk.algorithm() == algorithm)?;
        let scheduled = active.activation.as_ref()?.scheduled_from.after(interval);
        let successor = self.keys.get(successor)?;
        let ready = match (successor.first_set, successor.missing_until) {
            (true, _) => successor.published_at,
            (false, until) => {
                let lead = successor.published_at.after(set.policy().lead);
                lead.max(until.unwrap_or_default())
            }
        };
        Some(scheduled.max(ready))
    }

    /// A key that begins to sign must be known to those who read any copy.
    fn judge_copies(&mut self, after: &KeySet, event: &Event, now: Timestamp, targets: &[Target]) {
        let (Event::KeyActivated {
            kid, forced: false, ..
        }
        | Event::KeyCanaryStarted { kid, .. }) = event
        else {
            return;
        };
        let facts = &self.keys[kid];
        let is_judged = facts.activation.as_ref().is_some_and(|one| !one.excused);
        if !is_judged || facts.first_set {
            return;
        }
        let lead = after.policy().lead;
        let named = targets.iter().filter(|one| one.is_named(after.policy()));
        let lacking: Vec<String> = named.filter_map(|one| one.lacks(kid, lead, now)).collect();
        for text in lacking {
            self.offend(2, text);
        }
    }

    /// Follows one event along the state graph.
    fn replay(&mut self, command: &Command, after: &KeySet, event: &Event, now: Timestamp) {
        let Some(kid) = event.kid() else {
            return;
        };
        let before = self.keys.get(kid).map(|facts| facts.state);
        let (legal, state): (&[Option<&str>], _) = match event {
            Event::KeyPublished { .. } => (&[None], "pending"),
            Event::KeyConfirmed { .. } | Event::KeyUnconfirmed { .. } => {
                (&[Some("pending")], "pending")
            }
            Event::KeyActivated { imported: true, .. } => {
                (&[None, Some("pending"), Some("canary")], "active")
            }
            Event::KeyCanaryStarted { .. } => (&[Some("pending")], "canary"),
            Event::KeyCanaryStopped { .. } => (&[Some("canary")], "canary"),
            Event::KeyActivated { .. } => (&[Some("pending"), Some("canary")], "active"),
            Event::KeyRetired { imported: true, .. } => (
                &[None, Some("pending"), Some("canary"), Some("active")],
                "retired",
            ),
            Event::KeyRetired { .. } => (
                &[Some("pending"), Some("canary"), Some("active")],
                "retired",
            ),
            Event::KeyRemoved { .. } => (&[Some("retired")], "removed"),
            Event::KeyRevoked { .. } => (
                &[
                    Some("pending"),
                    Some("canary"),
                    Some("active"),
                    Some("retired"),
                ],
                "revoked",
            ),
            Event::IssuerCreated { .. }
            | Event::PolicyChanged { .. }
            | Event::IssuerDeleted {}
            | Event::ClockCorrected { .. } => return,
            Event::AdoptionMissed { .. } => (&[Some("pending")], "pending"),
        };
        if !legal.contains(&before) {
            self.offend(8, format!("{kid} went from {before:?} to {state}"));
        }
        let Some(key) = after.key(kid) else {
            return self.offend(9, format!("{event:?} is about a key that is not there"));
        };
        if takes_the_signer(command, event, before) {
            self.bereft.insert(key.algorithm());
        }
        let first_set = after.version() == 1 && after.origin() == IssuerOrigin::Fresh;
        let facts = self.keys.entry(kid.clone()).or_insert_with(|| Facts {
            jwk: key.jwk().clone(),
            state,
            published_at: key.published_at(),
            first_set,
            missing_until: None,
            activation: None,
            published_until: None,
        });
        facts.state = state;
        if let (Event::KeyActivated { .. }, Some("canary"), Some(activation)) =
            (event, before, &mut facts.activation)
        {
            activation.scheduled_from = now;
        } else if let Event::KeyCanaryStarted { .. } = event {
            facts.activation = Some(Activation {
                decided_at: now,
                scheduled_from: now,
                lead: after.policy().lead,
                push: after.policy().push.clone(),
                excused: false,
            });
        } else if let Event::KeyActivated { forced, .. } = event {
            facts.activation = Some(Activation {
                decided_at: now,
                scheduled_from: now,
                lead: after.policy().lead,
                push: after.policy().push.clone(),
                excused: *forced || before.is_none(),
            });
        }
    }

    /// `view` was served until `now`, when the clock was turned or something else took its place.
    pub(crate) fn served(&mut self, view: &KeySet, now: Timestamp) {
        let last = self.served.entry(view.policy().freshness()).or_default();
        *last = now.max(*last);
    }

    /// `view` is served from here on.
    pub(crate) fn begins_to_serve(&mut self, view: &KeySet, now: Timestamp) {
        let stale = self.stale();
        for key in view.published(now) {
            if let Some(facts) = self.keys.get_mut(key.kid()) {
                facts.missing_until.get_or_insert(stale);
            }
        }
    }

    /// The process has died with the memory of everything after `latest`.
    pub(crate) fn forget_after(&mut self, latest: Timestamp) {
        for last in self.served.values_mut() {
            *last = latest.min(*last);
        }
    }

    /// Nothing happened later than the correction was decided, and no verifier holds anything that
    /// was served later, or under a policy with a longer freshness than today's: that is given up.
    /// What is served while the correction is committed is noted when that ends.
    pub(crate) fn clock_corrected(&mut self, decided_at: Timestamp, freshness: Duration) {
        self.forget_after(decided_at);
        self.served.retain(|of_policy, _| *of_policy <= freshness);
        let stale = self.stale();
        for facts in self.keys.values_mut() {
            facts.published_at = facts.published_at.min(decided_at);
            facts.missing_until = facts.missing_until.map(|until| until.min(stale));
            if let Some(activation) = &mut facts.activation {
                activation.excused |= activation.decided_at > decided_at;
                activation.scheduled_from = activation.scheduled_from.min(decided_at);
            }
        }
    }

    /// When the last response that was served goes stale.
    fn stale(&self) -> Timestamp {
        let served = self.served.iter();
        served
            .map(|(freshness, last)| last.after(*freshness))
            .max()
            .unwrap_or_default()
    }

    /// Writes down that an invariant did not hold.
    pub(crate) fn offend(&mut self, invariant: u8, text: String) {
        self.offences.push((invariant, text));
    }

    pub(crate) fn is_revoked(&self, kid: &Kid) -> bool {
        self.keys
            .get(kid)
            .is_some_and(|facts| facts.state == "revoked")
    }
}

/// Whether an event leaves its algorithm without a signing key, for others to follow at once.
fn takes_the_signer(command: &Command, event: &Event, before: Option<&str>) -> bool {
    match event {
        Event::KeyRevoked { from, .. } => *from == "active",
        Event::KeyRetired { .. } => {
            matches!(command, Command::Replace { .. }) && before == Some("active")
        }
        _ => false,
    }
}
