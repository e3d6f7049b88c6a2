//! A key set under another policy: what was promised under the one before stays promised.

use std::time::Duration;

use keywright_verifier::Algorithm;

use super::super::earlier_heads::EarlierHeads;
use super::super::event::Event;
use super::super::key::State;
use super::super::policy::{Policy, TokenStatus};
use super::super::time::Timestamp;
use super::KeySetUpdate;

impl KeySetUpdate<'_> {
    /// Replaces the policy. What was promised under the old one stays promised: sets that were
    /// served with its freshness, tokens that were signed with its lifetimes.
    pub(in crate::lifecycle) fn replace_policy(&mut self, policy: Policy) {
        let before = self.set.policy.to_document();
        let after = policy.to_document();
        let served = self.served_fresh_until();
        self.set.served_fresh_until = self.set.served_fresh_until.max(served);
        self.set.earlier_heads = self.earlier_heads(policy.revocation_max_age);
        self.set.untracked_until = self.untracked_until(policy.status);
        let in_use_until = self.in_use_until;
        for key in self.set.trusted_keys_mut() {
            match &mut key.state {
                State::Canary(canary) => {
                    canary.longest_ttl = canary.longest_ttl.max(policy.max_token_ttl);
                    canary.widest_skew = canary.widest_skew.max(policy.clock_skew);
                }
                State::Active(active) => {
                    active.longest_ttl = active.longest_ttl.max(policy.max_token_ttl);
                    active.widest_skew = active.widest_skew.max(policy.clock_skew);
                }
                // A publication that ends before every process has taken this policy over ends: to
                // some it would begin anew. A key that nothing was signed with needs no longer one.
                State::Retired(retired)
                    if in_use_until < retired.published_until
                        && retired.retired_at < retired.tokens_until =>
                {
                    let until = retired.tokens_until.after(policy.clock_skew);
                    retired.published_until = retired.published_until.max(until);
                }
                _ => {}
            }
        }
        let keeps = |algorithm: &Algorithm| policy.algorithms.contains(algorithm);
        self.set.vacant.retain(keeps);
        self.follow_push_targets(&policy.push);
        self.set.policy = policy;
        self.record(Event::PolicyChanged { before, after });
    }

    /// The policy may have been another one since the backup that is restored: then not all tokens were
    /// tracked.
    pub(in crate::lifecycle) fn doubt_tracking(&mut self) {
        if self.set.policy.status == TokenStatus::Tracked {
            self.set.untracked_until = Some(self.set.tokens_expire_by(self.in_use_until));
        }
    }

    /// The heads that count longer than those that are signed once `max_age` is the policy's.
    fn earlier_heads(&self, max_age: Duration) -> Option<EarlierHeads> {
        let replaced = self.set.policy.revocation_max_age;
        let signed_now = (replaced > max_age).then(|| EarlierHeads {
            max_age: replaced,
            until: self.in_use_until.after(replaced),
        });
        let earlier = self.set.earlier_heads;
        let earlier = earlier.filter(|heads| self.stamp < heads.until);
        EarlierHeads::of_both(earlier, signed_now)
    }

    /// When the last token has expired that is not tracked, once `status` is the policy's.
    fn untracked_until(&self, status: TokenStatus) -> Option<Timestamp> {
        match (status, self.set.policy.status) {
            (TokenStatus::Tracked, TokenStatus::Tracked) => self.set.untracked_until,
            (TokenStatus::Tracked, _) => Some(self.set.tokens_expire_by(self.in_use_until)),
            _ => None,
        }
    }
}
