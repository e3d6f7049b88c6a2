//! Copies of the key set that are pushed elsewhere: which keys all of them have.
//!
//! A copy is a published set like the one that is served, but for two things: it changes only when a push
//! succeeds, and those who read it may learn of that later. So a successor is known by a copy not from its
//! publication on, but from the confirmation that every copy has it.

use std::time::Duration;

use keywright_verifier::Kid;

use super::{KeySetUpdate, known_ready_at};
use crate::lifecycle::event::Event;
use crate::lifecycle::key::{Copies, State};

/// What is known of the copies of a key set after a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedCopies {
    /// The targets whose copies are meant.
    pub targets: Vec<String>,
    /// The keys that all of these copies have.
    pub kids: Vec<Kid>,
    /// How long after a push the last reader of a copy may still be given the one before.
    pub delay: Duration,
    /// For how long copies were fresh that were replaced, where an earlier policy promised that for longer
    /// and its time is not over.
    pub freshness: Duration,
}

impl KeySetUpdate<'_> {
    /// Takes note that every copy has these keys. It says nothing where the policy names a target that is
    /// not among those which it is about.
    pub(in crate::lifecycle) fn confirm_copies(&mut self, pushed: &PushedCopies) {
        let policy = &self.set.policy;
        if policy.push.is_empty() || !policy.push.iter().all(|one| pushed.targets.contains(one)) {
            return;
        }
        // A reader may have been given the copy before the last push until now, and for the delay.
        let freshness = policy.freshness().max(pushed.freshness);
        let replaced_until = self.in_use_until.after(pushed.delay);
        let confirmed = Copies::Confirmed {
            since: self.stamp.after(pushed.delay),
            missing_until: replaced_until.after(freshness).after(policy.clock_skew),
        };
        self.change_copies(|kid, copies| match copies {
            Copies::Unconfirmed { .. } if pushed.kids.contains(kid) => Some(confirmed),
            _ => None,
        });
    }

    /// Takes note that a copy was found which is not what was pushed: it may lack any key.
    pub(in crate::lifecycle) fn doubt_copies(&mut self) {
        if self.set.policy.push.is_empty() {
            return;
        }
        let since = self.stamp;
        self.change_copies(|_, copies| match copies {
            Copies::Confirmed { .. } | Copies::NoneWithout => Some(Copies::Unconfirmed { since }),
            Copies::Unconfirmed { .. } => None,
        });
    }

    /// What is known of copies of a key that no set had before. What the first set has is in the first of
    /// every copy.
    pub(super) fn copies_of_new_key(&self, first_set: bool) -> Copies {
        match first_set || self.set.policy.push.is_empty() {
            true => Copies::NoneWithout,
            false => Copies::Unconfirmed { since: self.stamp },
        }
    }

    /// Counts with copies that lack the pending keys. There is no event: what has led to it has one.
    pub(super) fn doubt_all_copies(&mut self) {
        if self.set.policy.push.is_empty() {
            return;
        }
        let since = self.stamp;
        for copies in self.pending_copies() {
            if !matches!(copies, Copies::Unconfirmed { .. }) {
                *copies = Copies::Unconfirmed { since };
            }
        }
    }

    /// What a policy with other targets means for the pending keys, while the one before is still there:
    /// a copy that comes may lack them, and without copies none is counted with.
    pub(super) fn follow_push_targets(&mut self, targets: &[String]) {
        let before = &self.set.policy.push;
        let comes = targets.iter().any(|target| !before.contains(target));
        let since = self.stamp;
        for copies in self.pending_copies() {
            *copies = match *copies {
                _ if targets.is_empty() => Copies::NoneWithout,
                Copies::NoneWithout | Copies::Confirmed { .. } if comes => {
                    Copies::Unconfirmed { since }
                }
                unchanged => unchanged,
            };
        }
    }

    fn pending_copies(&mut self) -> impl Iterator<Item = &mut Copies> {
        let keys = self.set.trusted_keys_mut();
        keys.filter_map(|key| match &mut key.state {
            State::Pending(pending) => Some(&mut pending.copies),
            _ => None,
        })
    }

    fn change_copies(&mut self, change: impl Fn(&Kid, &Copies) -> Option<Copies>) {
        let mut events = Vec::new();
        let policy = self.set.policy.clone();
        for key in self.set.trusted_keys_mut() {
            let changed = match &key.state {
                State::Pending(pending) => change(key.kid(), &pending.copies),
                _ => None,
            };
            if let (Some(changed), State::Pending(pending)) = (changed, &mut key.state) {
                pending.copies = changed;
                let (kid, algorithm) = (key.kid().clone(), key.algorithm());
                events.push(match known_ready_at(key, &policy) {
                    Some(ready_at) => Event::KeyConfirmed {
                        kid,
                        algorithm,
                        ready_at,
                    },
                    None => Event::KeyUnconfirmed { kid, algorithm },
                });
            }
        }
        self.events.extend(events);
    }
}
