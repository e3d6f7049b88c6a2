//! How a set changes: what is decided on a snapshot, and what the store makes of it.

use super::rules::{Activation, CommitRule, Lateness, Rules};
use super::search::Setting;
use super::state::{Commit, Instant, KEYS, KeySet, Life, Replica, Row, State};
use super::steps::{Answer, Command, Mark, Outcome, bit, is_live, roll};

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
    if base > setting.changes {
        return None;
    }
    // What is decided on an old version is a conflict for certain, and changes nothing.
    if rules.commit == CommitRule::CompareAndSwap && base != next.stored.version {
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
        Command::Rotate => {
            let (_, ready_at) = change.set.successor()?;
            let lags = |row: &&Row| row.through < base;
            let waits_for = |row: &&Row| lags(row) && is_live(row, rules);
            if rules.activation == Activation::ReadyAndAcknowledged {
                if ready_at > change.now {
                    return None;
                }
                if roll(&next).any(|row| waits_for(&row)) {
                    return Some(Outcome::of(next).marked(Mark::WaitedForTheLive));
                }
            }
            if roll(&next).any(|row| lags(&row)) {
                marks |= bit(Mark::NotWaitedForTheDead);
            }
            change.rotate(rules)?;
            change.forced = None;
            marks |= bit(Mark::RotatedBySchedule);
        }
        Command::RotateByForce => {
            let (_, ready_at) = change.set.successor()?;
            if ready_at <= change.now {
                return None;
            }
            change.rotate(rules)?;
            marks |= bit(Mark::RotatedByForce);
        }
        Command::Revoke(key) => change.revoke(usize::from(key), rules)?,
        Command::Remove(key) => {
            let life = &mut change.set.keys[usize::from(key)];
            match life {
                Life::Retired { published_until } if *published_until <= change.now => {
                    *life = Life::Removed;
                }
                _ => return None,
            }
            marks |= bit(Mark::RemovedAfterRetention);
        }
    }
    change.set.version = base + 1;
    next.replicas[index].commit = Some(Commit {
        base,
        set: change.set,
        stamp: change.now,
        forced: change.forced,
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
    /// The key that is published next waits until nobody holds a fresh set without it.
    fn publish(&mut self, rules: &Rules) -> Option<()> {
        let key = self.set.fresh()?;
        let ready_at = self.now + rules.overlap_of_knowledge + rules.freshness;
        self.set.keys[key] = Life::Pending { ready_at };
        Some(())
    }

    /// The active key retires until its last token has expired.
    fn rotate(&mut self, rules: &Rules) -> Option<()> {
        let active = self.set.active()?;
        let published_until = self.now + rules.overlap_of_retention + rules.ttl;
        self.set.keys[active] = Life::Retired { published_until };
        self.promote();
        self.stand_by(rules);
        Some(())
    }

    fn revoke(&mut self, key: usize, rules: &Rules) -> Option<()> {
        let signed = match self.set.keys[key] {
            Life::Pending { .. } | Life::Retired { .. } => false,
            Life::Active => true,
            Life::Absent | Life::Removed | Life::Revoked => return None,
        };
        self.set.keys[key] = Life::Revoked;
        if signed {
            if self.set.successor().is_none() {
                self.stand_by(rules);
            }
            self.promote();
        }
        self.stand_by(rules);
        Some(())
    }

    fn promote(&mut self) {
        if let Some((key, ready_at)) = self.set.successor() {
            self.set.keys[key] = Life::Active;
            if ready_at > self.now {
                self.forced = u8::try_from(key).ok();
            }
        }
    }

    fn stand_by(&mut self, rules: &Rules) {
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
    rules: &Rules,
) -> Option<Outcome> {
    let commit = next.replicas[index].commit.take()?;
    let witness = &mut next.witness;
    for key in 0..KEYS {
        let is_new = commit.set.keys[key] == Life::Revoked && witness.revoked[key].is_none();
        if is_new {
            witness.revoked[key] = Some((0, commit.set.version));
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
    next.stored = commit.set;
    if answer == Answer::Heard {
        take_over(&mut next.replicas[index], commit.set);
    }
    Some(give_up_commits(next, rules))
}

/// A commit that the store will refuse, whenever it arrives, may as well be refused now.
pub(crate) fn give_up_commits(mut next: State, rules: &Rules) -> Outcome {
    let mut marks = 0;
    for replica in &mut next.replicas[..usize::from(next.count)] {
        let Some(commit) = replica.commit else {
            continue;
        };
        let conflict =
            rules.commit == CommitRule::CompareAndSwap && commit.base != next.stored.version;
        let late = rules.lateness == Lateness::Refused
            && -commit.stamp > rules.switch_over + rules.tolerance;
        if conflict || late {
            replica.commit = None;
            marks |= bit(if conflict {
                Mark::Conflict
            } else {
                Mark::RefusedAsLate
            });
        }
    }
    Outcome {
        state: next,
        broken: None,
        marks,
    }
}

/// Serves a set, unless what is served is as new.
pub(crate) fn take_over(replica: &mut Replica, set: KeySet) {
    if set.version > replica.held.version {
        replica.held = set;
    }
}
