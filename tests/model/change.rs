//! How a set changes: what is decided on a snapshot, and what the store makes of it.

use super::rules::{
    Activation, CanaryRule, CommitRule, FinalRecords, Identity, Lateness, Rules, StoppedCanary,
    UnknownOutcome,
};
use super::search::Laws;
use super::setting::Setting;
use super::state::{
    Commit, Instant, KEYS, KeySet, KeyState, Phase, Replica, Row, State, Store, Version,
};
use super::steps::{Answer, Command, Mark, Outcome, bit, has_event, is_live, rows};

/// `lifecycle::decide`, for one algorithm and no more than three keys.
pub(crate) fn decide(
    mut next: State,
    index: usize,
    command: Command,
    setting: &Setting,
) -> Option<Outcome> {
    let rules = &setting.rules;
    let replica = next.replicas[index];
    let base = replica.held.version;
    if base.number > setting.changes {
        return None;
    }
    // What is decided on an old version is a conflict for certain, and changes nothing.
    if conflicts(base, &next, rules) {
        return None;
    }
    let mut change = Change {
        set: replica.held,
        now: replica.skew,
        forced: None,
    };
    let mut marks = 0;
    match command {
        Command::Publish => change.publish(rules)?,
        Command::StopCanary => {
            change.stop_canary(rules)?;
            marks |= bit(Mark::CanaryStopped);
        }
        // Its time is over: it is known already.
        Command::Rotate if change.set.canary().is_some() => {
            change.rotate(rules)?;
            marks |= bit(Mark::CanaryPromoted);
        }
        Command::Rotate | Command::StartCanary => {
            let (_, ready_at) = change.set.successor()?;
            let lags = |row: &&Row| !has_event(&next, row, base.number, rules);
            let waits_for = |row: &&Row| lags(row) && is_live(row, rules);
            let waits = match command {
                Command::StartCanary => rules.canary != CanaryRule::AtOnce,
                _ => rules.activation == Activation::ReadyAndAcknowledged,
            };
            if waits {
                if ready_at > change.now {
                    return None;
                }
                if rows(&next).any(|row| waits_for(&row)) {
                    return Some(Outcome::of(next).marked(Mark::WaitedForTheLive));
                }
            }
            if rows(&next).any(|row| lags(&row)) {
                marks |= bit(Mark::NotWaitedForTheDead);
            }
            if command == Command::StartCanary {
                change.start_canary(rules)?;
                marks |= bit(Mark::CanaryStarted);
            } else {
                change.rotate(rules)?;
                change.forced = None;
                marks |= bit(Mark::RotatedBySchedule);
            }
        }
        Command::RotateByForce => {
            let (_, ready_at) = change.set.successor()?;
            if ready_at <= change.now || change.set.canary().is_some() {
                return None;
            }
            change.rotate(rules)?;
            marks |= bit(Mark::RotatedByForce);
        }
        Command::Revoke(key) => change.revoke(usize::from(key), rules)?,
        Command::Remove(key) => {
            let key = &mut change.set.keys[usize::from(key)];
            match key {
                KeyState::Retired { published_until } if *published_until <= change.now => {
                    *key = KeyState::Removed;
                }
                _ => return None,
            }
            marks |= bit(Mark::RemovedAfterRetention);
        }
    }
    change.set.version = Version {
        number: base.number + 1,
        // Known only when it lands.
        branch: 0,
    };
    if rules.final_records == FinalRecords::Refused && takes_back(&change.set, &next) {
        return Some(Outcome::of(next).marked(Mark::FinalRecordKept));
    }
    next.replicas[index].commit = Some(Commit {
        base,
        set: change.set,
        stamp: change.now,
        forced: change.forced,
        phase: Phase::Sent,
    });
    let mut outcome = Outcome::of(next);
    outcome.marks |= marks;
    Some(outcome)
}

/// A set while it changes (`lifecycle::Revision`).
struct Change {
    set: KeySet,
    now: Instant,
    forced: Option<u8>,
}

impl Change {
    /// The key that is published next waits until no verifier holds a fresh set without it.
    fn publish(&mut self, rules: &Rules) -> Option<()> {
        let key = self.set.absent()?;
        let ready_at = self.now + rules.overlap_of_knowledge + rules.freshness;
        self.set.keys[key] = KeyState::Pending { ready_at };
        Some(())
    }

    /// The active key retires until its last JWT has expired.
    fn rotate(&mut self, rules: &Rules) -> Option<()> {
        let active = self.set.active()?;
        let published_until = self.now + rules.overlap_of_retention + rules.ttl;
        self.set.keys[active] = KeyState::Retired { published_until };
        self.promote();
        self.publish_successor(rules);
        Some(())
    }

    fn revoke(&mut self, key: usize, rules: &Rules) -> Option<()> {
        let signed = match self.set.keys[key] {
            KeyState::Pending { .. } | KeyState::Canary | KeyState::Retired { .. } => false,
            KeyState::Active => true,
            KeyState::Absent | KeyState::Removed | KeyState::Revoked => return None,
        };
        self.set.keys[key] = KeyState::Revoked;
        if signed {
            if self.set.successor().is_none() && self.set.canary().is_none() {
                self.publish_successor(rules);
            }
            self.promote();
        }
        self.publish_successor(rules);
        Some(())
    }

    /// The successor signs a share, beside the active key.
    fn start_canary(&mut self, rules: &Rules) -> Option<()> {
        if self.set.active().is_none()
            || (self.set.canary().is_some() && rules.canary != CanaryRule::BesideOthers)
        {
            return None;
        }
        let (key, _) = self.set.successor()?;
        self.set.keys[key] = KeyState::Canary;
        self.publish_successor(rules);
        Some(())
    }

    /// The canary retires until its last JWT has expired.
    fn stop_canary(&mut self, rules: &Rules) -> Option<()> {
        let canary = self.set.canary()?;
        let published_until = match rules.stopped_canary {
            StoppedCanary::Retires => self.now + rules.overlap_of_retention + rules.ttl,
            StoppedCanary::Leaves => self.now,
        };
        self.set.keys[canary] = KeyState::Retired { published_until };
        self.publish_successor(rules);
        Some(())
    }

    fn promote(&mut self) {
        if let Some(canary) = self.set.canary() {
            self.set.keys[canary] = KeyState::Active;
            return;
        }
        if let Some((key, ready_at)) = self.set.successor() {
            self.set.keys[key] = KeyState::Active;
            if ready_at > self.now {
                self.forced = u8::try_from(key).ok();
            }
        }
    }

    fn publish_successor(&mut self, rules: &Rules) {
        if self.set.successor().is_none() {
            // Once every key has been used up the model's story is at its end.
            let _ = self.publish(rules);
        }
    }
}

/// `KeyStore::commit`: what would be refused is not there any more.
pub(crate) fn land(
    mut next: State,
    index: usize,
    answer: Answer,
    setting: &Setting,
) -> Option<Outcome> {
    let rules = &setting.rules;
    let mut commit = next.replicas[index].commit?;
    if next.is_locked() && !commit.hangs() {
        return None;
    }
    let is_awaited = matches!(commit.phase, Phase::Sent | Phase::Hanging);
    if answer == Answer::Arrives && !is_awaited {
        return None;
    }
    next.replicas[index].commit = None;
    commit.set.version.branch = setting.fail_overs - next.remaining.fail_overs;
    if next.remaining.fail_overs > 0 {
        next.store.standby = Some((next.store.set, next.witness.forced));
    }
    let witness = &mut next.witness;
    for key in 0..KEYS {
        let is_new = commit.set.keys[key] == KeyState::Revoked && witness.revoked[key].is_none();
        if is_new {
            witness.revoked[key] = Some((0, commit.set.version.number));
        }
        if is_new || commit.forced == u8::try_from(key).ok() {
            witness.unknown_until[key] = 0;
        }
        if is_new {
            witness.gone_until[key] = 0;
            witness.tokens_until[key] = 0;
            witness.forced[key] = false;
        }
    }
    if let Some(key) = commit.forced {
        witness.forced[usize::from(key)] = true;
    }
    next.store.write(commit.set);
    if answer == Answer::Arrives {
        let replica = &mut next.replicas[index];
        let is_successor = match rules.identity {
            Identity::Token => replica.held.version == commit.base,
            Identity::Number => replica.held.version.number < commit.set.version.number,
        };
        if is_successor {
            replica.held = commit.set;
        }
    }
    let mut outcome = give_up_commits(next, rules);
    if commit.phase == Phase::Denied {
        outcome.broken = Laws::of(8);
    }
    Some(outcome)
}

/// The store has checked the deadline of a commit, which does not land at once.
pub(crate) fn hang(mut next: State, index: usize) -> Option<Outcome> {
    if next.is_locked() {
        return None;
    }
    next.remaining.hangs = next.remaining.hangs.checked_sub(1)?;
    next.replicas[index].commit.as_mut()?.phase = Phase::Hanging;
    Some(Outcome::of(next).marked(Mark::CommitHung))
}

/// A commit that hangs ends without having landed.
pub(crate) fn roll_back(mut next: State, index: usize) -> Option<Outcome> {
    if !next.replicas[index].commit?.hangs() {
        return None;
    }
    next.replicas[index].commit = None;
    Some(Outcome::of(next))
}

/// The caller is told what became of a commit that gives no answer. Behind the lock that is what
/// landing and rolling back are; what is not behind the lock says too early that it did not happen.
pub(crate) fn look_up_outcome(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let commit = next.replicas[index].commit.as_mut()?;
    if rules.unknown_outcome == UnknownOutcome::LookedUpBehindTheLock
        || commit.phase != Phase::Hanging
    {
        return None;
    }
    commit.phase = Phase::Denied;
    Some(Outcome::of(next))
}

/// Whether what was decided on `base` is not decided on what the store has.
fn conflicts(base: Version, state: &State, rules: &Rules) -> bool {
    let stored = state.store.set.version;
    let is_same = match rules.identity {
        Identity::Token => base == stored,
        Identity::Number => base.number == stored.number,
    };
    rules.commit == CommitRule::CompareAndSwap && !is_same
}

/// Whether a set takes a revocation back that the store has.
fn takes_back(set: &KeySet, state: &State) -> bool {
    let revoked = |key: usize| state.store.set.keys[key] == KeyState::Revoked;
    (0..KEYS).any(|key| revoked(key) && set.keys[key] != KeyState::Revoked)
}

/// A commit that the store will refuse, whenever it arrives, may as well be refused now.
pub(crate) fn give_up_commits(mut next: State, rules: &Rules) -> Outcome {
    let mut marks = 0;
    for index in 0..usize::from(next.count) {
        let Some(commit) = next.replicas[index].commit else {
            continue;
        };
        let late = rules.lateness == Lateness::Refused
            && -commit.stamp > rules.switch_over + rules.tolerance;
        let is_final = rules.final_records == FinalRecords::Refused;
        let refusal = if conflicts(commit.base, &next, rules) {
            Mark::Conflict
        } else if is_final && takes_back(&commit.set, &next) {
            Mark::FinalRecordKept
        } else if late {
            Mark::RefusedAsLate
        } else {
            continue;
        };
        if !commit.hangs() {
            next.replicas[index].commit = None;
            marks |= bit(refusal);
        }
    }
    Outcome {
        state: next,
        broken: Laws::NONE,
        marks,
    }
}

/// Puts what was read in the place of what is held. Whether that forgets a revocation that the
/// store has.
pub(crate) fn replace(replica: &mut Replica, set: KeySet, store: &Store, rules: &Rules) -> bool {
    let is_newer = match rules.identity {
        Identity::Token => set.version != replica.held.version,
        Identity::Number => set.version.number > replica.held.version.number,
    };
    if !is_newer {
        return false;
    }
    let before = replica.held;
    replica.held = set;
    store.has(before.version)
        && (0..KEYS).any(|key| {
            let was_known = before.keys[key] == KeyState::Revoked;
            was_known && set.keys[key] != KeyState::Revoked
        })
}
