//! A key that signs a share of the tokens: how that begins, and how it is taken back.

use keywright_verifier::Kid;

use super::super::event::Event;
use super::super::key::{Canary, State};
use super::super::rule_violation::RuleViolation;
use super::{KeySetUpdate, illegal};

impl KeySetUpdate<'_> {
    /// `pending → canary`, beside the active key.
    pub(in crate::lifecycle) fn start_canary(&mut self, kid: &Kid) -> Result<(), RuleViolation> {
        let (reading, stamp) = (self.time.reading, self.stamp);
        let policy = self.set.policy.clone();
        let algorithm = self.key_mut(kid)?.algorithm();
        let (active, canary) = (self.set.active(algorithm), self.set.canary(algorithm));
        let is_beside = active.is_some() && canary.is_none();
        let key = self.key_mut(kid)?;
        let (true, State::Pending(_), Some(phase)) = (is_beside, &key.state, policy.canary) else {
            return Err(illegal(key, "canary"));
        };
        key.state = State::Canary(Canary {
            started_at: stamp,
            counted_from: reading,
            longest_ttl: policy.max_token_ttl,
            widest_skew: policy.clock_skew,
        });
        self.record(Event::KeyCanaryStarted {
            kid: kid.clone(),
            algorithm,
            share: phase.share,
            until: reading.after(phase.duration.0).ceil_seconds(),
        });
        Ok(())
    }

    /// `canary → retired`: it signs no more, and what it has signed verifies.
    pub(in crate::lifecycle) fn stop_canary(&mut self, kid: &Kid) -> Result<(), RuleViolation> {
        let key = self.key_mut(kid)?;
        let State::Canary(_) = key.state else {
            return Err(illegal(key, "retired"));
        };
        let algorithm = key.algorithm();
        self.record(Event::KeyCanaryStopped {
            kid: kid.clone(),
            algorithm,
        });
        self.retire(kid)
    }
}
