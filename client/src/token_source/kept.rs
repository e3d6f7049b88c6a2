//! The token that is kept, and what is to be done about it. Pure: time is a parameter, by a steady clock.

use std::time::Duration;

use keywright_api::OauthError;

use super::AccessToken;

/// The longest time before its end at which a token is renewed.
const LONGEST_MARGIN: Duration = Duration::from_secs(60);

/// The first pause after a failure. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after a failure that names none.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the issuer answered last, by a clock that began when this was made.
#[derive(Default)]
pub(super) struct Kept {
    token: Option<KeptToken>,
    failure: Option<Failure>,
    /// What the issuer answered when the grant had ended.
    ended: Option<OauthError>,
}

struct KeptToken {
    token: AccessToken,
    renew_at: Duration,
    ends_at: Duration,
}

struct Failure {
    reason: String,
    count: u32,
    pauses_until: Duration,
}

/// What is to be done for a caller that wants a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// This one is good for a while.
    Use(AccessToken),
    /// This one is good, and its successor should be fetched beside.
    UseAndRenew(AccessToken),
    /// There is none: it has to be waited for.
    Fetch,
    /// There is none, and it is too early to ask again.
    Pause { until: Duration, reason: String },
    /// There will be none any more.
    GiveUp(OauthError),
}

impl Kept {
    pub(super) fn advice(&self, now: Duration) -> Advice {
        let pause = self
            .failure
            .as_ref()
            .filter(|failure| now < failure.pauses_until);
        if let Some(refusal) = &self.ended {
            return Advice::GiveUp(refusal.clone());
        }
        match (&self.token, pause) {
            (Some(kept), _) if now < kept.renew_at => Advice::Use(kept.token.clone()),
            (Some(kept), Some(_)) if now < kept.ends_at => Advice::Use(kept.token.clone()),
            (Some(kept), None) if now < kept.ends_at => Advice::UseAndRenew(kept.token.clone()),
            (_, Some(failure)) => Advice::Pause {
                until: failure.pauses_until,
                reason: failure.reason.clone(),
            },
            (_, None) => Advice::Fetch,
        }
    }

    /// A token that was asked for at `asked_at` and lives for `lifetime` from a later moment on. It is
    /// renewed a fifth of its life before its end, but at most a minute, and not used in the last
    /// twentieth, because it has to arrive and be checked.
    pub(super) fn keep(&mut self, token: AccessToken, lifetime: Duration, asked_at: Duration) {
        self.failure = None;
        self.token = Some(KeptToken {
            token,
            renew_at: asked_at.saturating_add(lifetime - (lifetime / 5).min(LONGEST_MARGIN)),
            ends_at: asked_at.saturating_add(lifetime - (lifetime / 20).min(LONGEST_MARGIN)),
        });
    }

    /// An attempt that brought nothing. `wait` is what the issuer asked for.
    pub(super) fn fail(&mut self, reason: String, wait: Option<Duration>, now: Duration) {
        let count = self.failure.as_ref().map_or(0, |failure| failure.count);
        let pause = FIRST_PAUSE
            .saturating_mul(1 << count.min(5))
            .min(LONGEST_PAUSE);
        self.failure = Some(Failure {
            reason,
            count: count.saturating_add(1),
            pauses_until: now + wait.unwrap_or(pause).max(FIRST_PAUSE),
        });
    }

    /// The grant has ended. Its last access token has ended with it, or will within its lifetime.
    pub(super) fn give_up(&mut self, refusal: OauthError) {
        self.token = None;
        self.ended = Some(refusal);
    }

    /// Forgets the token, because a service has refused it.
    pub(super) fn forget(&mut self, refused: &AccessToken) {
        if self
            .token
            .as_ref()
            .is_some_and(|kept| kept.token == *refused)
        {
            self.token = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn token(text: &str) -> AccessToken {
        AccessToken::new(text.to_owned())
    }

    #[test]
    fn a_token_is_renewed_before_its_end_and_used_until_then() {
        let mut kept = Kept::default();
        assert_eq!(kept.advice(at(0)), Advice::Fetch);
        kept.keep(token("a"), at(100), at(10));
        assert_eq!(kept.advice(at(89)), Advice::Use(token("a")));
        assert_eq!(kept.advice(at(90)), Advice::UseAndRenew(token("a")));
        assert_eq!(kept.advice(at(104)), Advice::UseAndRenew(token("a")));
        assert_eq!(kept.advice(at(105)), Advice::Fetch);
        // Of an hour the last minute is enough.
        kept.keep(token("b"), at(3600), at(0));
        assert_eq!(kept.advice(at(3539)), Advice::Use(token("b")));
        assert_eq!(kept.advice(at(3540)), Advice::Fetch);
        // An issuer may say what it likes.
        kept.keep(token("c"), at(u64::MAX), at(3600));
        assert_eq!(kept.advice(at(u64::MAX - 61)), Advice::Use(token("c")));
    }

    #[test]
    fn failures_pause_longer_and_longer_and_never_take_a_good_token_away() {
        let mut kept = Kept::default();
        kept.keep(token("a"), at(100), at(0));
        kept.fail("down".to_owned(), None, at(85));
        assert_eq!(kept.advice(at(85)), Advice::Use(token("a")));
        assert_eq!(kept.advice(at(86)), Advice::UseAndRenew(token("a")));
        for (now, until) in [
            (100, 102),
            (102, 106),
            (106, 114),
            (114, 130),
            (130, 160),
            (160, 190),
        ] {
            kept.fail("down".to_owned(), None, at(now));
            let reason = "down".to_owned();
            let until = at(until);
            assert_eq!(kept.advice(at(now)), Advice::Pause { until, reason });
            assert_eq!(kept.advice(until), Advice::Fetch);
        }
        kept.fail("slow down".to_owned(), Some(at(600)), at(200));
        assert_eq!(kept.advice(at(800)), Advice::Fetch);
        assert!(matches!(kept.advice(at(799)), Advice::Pause { .. }));
        kept.keep(token("b"), at(100), at(800));
        assert_eq!(kept.advice(at(800)), Advice::Use(token("b")));
    }

    #[test]
    fn a_grant_that_has_ended_stays_so() {
        let mut kept = Kept::default();
        kept.keep(token("a"), at(100), at(0));
        let refusal = OauthError {
            error: keywright_api::OauthErrorName::InvalidGrant,
            error_description: "grant-ended: the grant was ended: reused".to_owned(),
        };
        kept.give_up(refusal.clone());
        for now in [0, 1, 1_000_000] {
            assert_eq!(kept.advice(at(now)), Advice::GiveUp(refusal.clone()));
        }
    }

    #[test]
    fn only_the_token_that_was_refused_is_forgotten() {
        let mut kept = Kept::default();
        kept.keep(token("b"), at(100), at(0));
        kept.forget(&token("a"));
        assert_eq!(kept.advice(at(1)), Advice::Use(token("b")));
        kept.forget(&token("b"));
        assert_eq!(kept.advice(at(1)), Advice::Fetch);
    }
}
