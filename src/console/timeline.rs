//! The lives of an issuer's keys on a scale of time: what was, from the keys, and what will be, from the plan.

use keywright_api as api;
use keywright_verifier::Algorithm;

/// What a key is at a time at which it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Published, and does not sign yet.
    Pending,
    /// Signs a share.
    Canary,
    /// Signs.
    Active,
    /// Only verifies.
    Retired,
}

impl Phase {
    /// Its word, which is also its class.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Canary => "canary",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// The life of a key, in Unix seconds; what is not known or does not come is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    /// Its name; of a key that does not exist yet, the plan's name for it.
    pub(super) kid: String,
    /// Its algorithm.
    pub(super) algorithm: Algorithm,
    /// What it is now; `None` if it does not exist yet.
    pub(super) state: Option<api::KeyState>,
    /// When it enters the set.
    pub(super) published: u64,
    /// Until when a cache may lack it.
    pub(super) known: u64,
    /// From when on it signs.
    pub(super) signs_from: Option<u64>,
    /// Until when it signs a share alone; the same time if it never does.
    pub(super) canary_until: Option<u64>,
    /// Until when it signs.
    pub(super) signs_until: Option<u64>,
    /// Until when it is in the set.
    pub(super) in_set_until: Option<u64>,
    /// When it was revoked.
    pub(super) revoked: Option<u64>,
    /// Why.
    pub(super) reason: Option<String>,
}

/// A part of a life on the scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bar {
    /// What the key is then.
    pub(super) phase: Phase,
    /// Whether it is still to come.
    pub(super) is_planned: bool,
    /// From when on.
    pub(super) from: u64,
    /// Until when.
    pub(super) until: u64,
}

/// The lives of all keys: those that are there in their order, then those that will be, by algorithm.
/// `horizon` is for how long a cache may hold an older set.
pub(super) fn lives(keys: &[api::Key], plan: &api::Plan, horizon: u64) -> Vec<Life> {
    let mut lives: Vec<Life> = keys.iter().map(|key| of_key(key, horizon)).collect();
    for occurrence in &plan.occurrences {
        let members = &occurrence.members;
        let (Some(kid), Some(algorithm)) = (&members.kid, members.algorithm) else {
            continue;
        };
        let at = occurrence.at.0;
        let place = lives.iter().position(|life| life.kid == kid.as_str());
        let place = place.unwrap_or_else(|| {
            lives.push(Life {
                kid: kid.to_string(),
                algorithm,
                state: None,
                published: at,
                known: at + horizon,
                signs_from: None,
                canary_until: None,
                signs_until: None,
                in_set_until: None,
                revoked: None,
                reason: None,
            });
            lives.len() - 1
        });
        let Some(life) = lives.get_mut(place) else {
            continue;
        };
        match occurrence.event {
            api::KeyEvent::KeyCanaryStarted => life.signs_from = Some(at),
            api::KeyEvent::KeyActivated => {
                life.signs_from = life.signs_from.or(Some(at));
                life.canary_until = Some(at);
            }
            api::KeyEvent::KeyRetired => {
                life.signs_until = Some(at);
                life.in_set_until = members.published_until.map(|until| until.0);
            }
            api::KeyEvent::KeyRemoved => life.in_set_until = Some(at),
            api::KeyEvent::KeyRevoked => life.revoked = Some(at),
            _ => {}
        }
    }
    // The sort is stable: within an algorithm keys stay in the order of their lives.
    lives.sort_by_key(|life| life.algorithm.as_str());
    lives
}

fn of_key(key: &api::Key, horizon: u64) -> Life {
    let seconds = |at: Option<api::UnixSeconds>| at.map(|at| at.0);
    let revoked = seconds(key.revoked_at);
    let signs_from = seconds(key.activated_at);
    let published = key.published_at.0;
    Life {
        kid: key.kid.to_string(),
        algorithm: key.algorithm,
        state: Some(key.state),
        published,
        // No cache lacks the keys of a first set. Times to come are shown rounded up.
        known: match signs_from.or(seconds(key.ready_at)) {
            Some(ready) if ready <= published + 1 => published,
            _ => published + horizon,
        },
        signs_from,
        canary_until: signs_from.filter(|_| key.state != api::KeyState::Canary),
        signs_until: seconds(key.retired_at).or(revoked.filter(|_| signs_from.is_some())),
        in_set_until: seconds(key.published_until).or(revoked),
        revoked,
        reason: key.reason.clone(),
    }
}

impl Life {
    /// The parts of the life between two times; what is not known to end goes on until then.
    pub(super) fn bars(&self, from: u64, now: u64, until: u64) -> Vec<Bar> {
        let end = self
            .revoked
            .or(self.in_set_until)
            .unwrap_or(until)
            .min(until);
        let signs_from = self.signs_from.unwrap_or(match self.signs_until {
            // It came to verify only.
            Some(_) => self.published,
            None => end,
        });
        let signs_until = self.signs_until.unwrap_or(end).min(end);
        let canary_until = self.canary_until.unwrap_or(signs_until).min(signs_until);
        let phases = [
            (Phase::Pending, self.published, signs_from.min(end)),
            (Phase::Canary, signs_from, canary_until),
            (Phase::Active, canary_until.max(signs_from), signs_until),
            (Phase::Retired, signs_until, end),
        ];
        let signs = self.signs_from.is_some();
        let phases = phases
            .into_iter()
            .filter(|(phase, ..)| signs || !matches!(phase, Phase::Canary | Phase::Active));
        let halves = phases.flat_map(|(phase, begin, end)| {
            [
                (phase, false, begin.max(from), end.min(now)),
                (phase, true, begin.max(now), end.min(until)),
            ]
        });
        halves
            .filter(|(_, _, from, until)| from < until)
            .map(|(phase, is_planned, from, until)| Bar {
                phase,
                is_planned,
                from,
                until,
            })
            .collect()
    }

    /// From when on it is gone, if it is within the time.
    pub(super) fn gone_from(&self, until: u64) -> Option<u64> {
        let end = self.revoked.or(self.in_set_until)?;
        (end < until).then_some(end)
    }
}

/// A scale of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    /// Where it begins.
    pub(super) from: u64,
    /// Where it ends.
    pub(super) until: u64,
}

impl Scale {
    /// Where an instant is, in hundredths of a percent of the whole.
    pub(super) fn place(self, at: u64) -> u64 {
        let whole = self.until.saturating_sub(self.from).max(1);
        let part = at.clamp(self.from, self.until) - self.from;
        part.saturating_mul(10_000) / whole
    }
}

/// Hundredths of a percent as an attribute: `12.34%`.
pub(super) fn percent(hundredths: u64) -> String {
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(document: serde_json::Value) -> api::Key {
        serde_json::from_value(document).unwrap()
    }

    fn plan(occurrences: serde_json::Value) -> api::Plan {
        let document = serde_json::json!({
            "now": 1000, "until": 2000, "warnings": [], "waiting": [], "occurrences": occurrences,
        });
        serde_json::from_value(document).unwrap()
    }

    fn bar(phase: Phase, is_planned: bool, from: u64, until: u64) -> Bar {
        Bar {
            phase,
            is_planned,
            from,
            until,
        }
    }

    #[test]
    fn a_life_goes_on_as_the_plan_says() {
        let active = key(serde_json::json!({
            "kid": "a", "algorithm": "ES256", "state": "active", "created_at": 1,
            "published_at": 400, "activated_at": 600,
        }));
        let plan = plan(serde_json::json!([
            {"at": 1100, "event": "key-published", "kid": "b", "algorithm": "ES256", "ready_at": 1200},
            {"at": 1300, "event": "key-retired", "kid": "a", "algorithm": "ES256", "published_until": 1400},
            {"at": 1300, "event": "key-activated", "kid": "b", "algorithm": "ES256"},
            {"at": 1400, "event": "key-removed", "kid": "a", "algorithm": "ES256"},
        ]));
        let lives = lives(&[active], &plan, 50);
        assert_eq!(
            lives[0].bars(500, 1000, 2000),
            [
                bar(Phase::Pending, false, 500, 600),
                bar(Phase::Active, false, 600, 1000),
                bar(Phase::Active, true, 1000, 1300),
                bar(Phase::Retired, true, 1300, 1400),
            ]
        );
        assert_eq!(lives[0].gone_from(2000), Some(1400));
        assert_eq!(
            lives[1].bars(500, 1000, 2000),
            [
                bar(Phase::Pending, true, 1100, 1300),
                bar(Phase::Active, true, 1300, 2000),
            ]
        );
        assert_eq!(lives[1].known, 1150);
        assert_eq!(lives[1].gone_from(2000), None);
    }

    #[test]
    fn a_canary_signs_a_share_until_it_signs_all_or_is_taken_back() {
        let canary = key(serde_json::json!({
            "kid": "a", "algorithm": "ES256", "state": "canary", "created_at": 1,
            "published_at": 400, "activated_at": 900,
        }));
        let goes_on = plan(serde_json::json!([
            {"at": 1100, "event": "key-activated", "kid": "a", "algorithm": "ES256"},
            {"at": 1200, "event": "key-published", "kid": "b", "algorithm": "ES256", "ready_at": 1300},
            {"at": 1500, "event": "key-canary-started", "kid": "b", "algorithm": "ES256"},
            {"at": 1600, "event": "key-activated", "kid": "b", "algorithm": "ES256"},
            {"at": 1600, "event": "key-retired", "kid": "a", "algorithm": "ES256", "published_until": 1700},
        ]));
        let lives_of = lives(std::slice::from_ref(&canary), &goes_on, 50);
        assert_eq!(
            lives_of[0].bars(800, 1000, 2000),
            [
                bar(Phase::Pending, false, 800, 900),
                bar(Phase::Canary, false, 900, 1000),
                bar(Phase::Canary, true, 1000, 1100),
                bar(Phase::Active, true, 1100, 1600),
                bar(Phase::Retired, true, 1600, 1700),
            ]
        );
        assert_eq!(
            lives_of[1].bars(800, 1000, 2000),
            [
                bar(Phase::Pending, true, 1200, 1500),
                bar(Phase::Canary, true, 1500, 1600),
                bar(Phase::Active, true, 1600, 2000),
            ]
        );
        let alone = lives(&[canary], &plan(serde_json::json!([])), 50);
        assert_eq!(
            alone[0].bars(950, 1000, 2000),
            [
                bar(Phase::Canary, false, 950, 1000),
                bar(Phase::Canary, true, 1000, 2000),
            ]
        );
    }

    #[test]
    fn a_revoked_key_ends_at_once_and_one_that_only_verifies_never_signs() {
        let revoked = key(serde_json::json!({
            "kid": "a", "algorithm": "ES256", "state": "revoked", "created_at": 1,
            "published_at": 400, "activated_at": 400, "revoked_at": 700, "reason": "leak",
        }));
        let verifies = key(serde_json::json!({
            "kid": "b", "algorithm": "RS256", "state": "retired", "created_at": 1,
            "published_at": 400, "retired_at": 400, "published_until": 1500,
        }));
        let lives = lives(&[verifies, revoked], &plan(serde_json::json!([])), 50);
        assert_eq!(
            lives[0].bars(0, 1000, 2000),
            [bar(Phase::Active, false, 400, 700)]
        );
        assert_eq!(lives[0].known, 400, "a first set is lacked by no cache");
        assert_eq!(
            lives[1].bars(0, 1000, 2000),
            [
                bar(Phase::Retired, false, 400, 1000),
                bar(Phase::Retired, true, 1000, 1500),
            ]
        );
    }

    #[test]
    fn an_instant_has_its_place_on_the_scale() {
        let scale = Scale {
            from: 1000,
            until: 2000,
        };
        assert_eq!(percent(scale.place(1000)), "0.00%");
        assert_eq!(percent(scale.place(1503)), "50.30%");
        assert_eq!(percent(scale.place(5000)), "100.00%");
        assert_eq!(percent(scale.place(1)), "0.00%");
    }
}
