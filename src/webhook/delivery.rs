//! How far a receiver was told, and how that goes.

use std::time::Duration;

use crate::lifecycle::Timestamp;

/// How long a receiver may fail before nothing is sent any more.
const PAUSED_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// The pause after the first failure, which doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How far a receiver was told, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The number of the event up to which everything was delivered.
    pub through: u64,
    /// What is known of the receiver.
    pub state: DeliveryState,
    /// Until when a process has the delivery to itself.
    pub claimed_until: Timestamp,
}

/// How deliveries go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// The last message was accepted, or none was sent yet.
    Accepting,
    /// The last message was not accepted.
    Failing(Failing),
    /// Nothing is sent until a person says so.
    Paused {
        /// Since when messages had failed.
        since: Timestamp,
        /// Why the last one did.
        reason: String,
    },
}

/// A receiver that does not accept messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// Why the last attempt failed.
    pub reason: String,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// It may be accepted later.
    Failed(String),
    /// The receiver says that it is gone (410).
    Gone,
}

impl Delivery {
    /// That of a receiver which is told of what happens after an event.
    pub fn after(through: u64) -> Self {
        Self {
            through,
            state: DeliveryState::Accepting,
            claimed_until: Timestamp::default(),
        }
    }

    /// Whether a process may send now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let is_due = match &self.state {
            DeliveryState::Accepting => true,
            DeliveryState::Failing(failing) => failing.next_at <= now,
            DeliveryState::Paused { .. } => false,
        };
        is_due && self.claimed_until <= now
    }

    /// It, while one process sends to it.
    #[must_use]
    pub fn claimed(&self, until: Timestamp) -> Self {
        Self {
            claimed_until: until,
            ..self.clone()
        }
    }

    /// It, when everything up to an event was delivered, or is none of its events.
    #[must_use]
    pub fn delivered(&self, through: u64) -> Self {
        Self {
            through,
            state: DeliveryState::Accepting,
            claimed_until: Timestamp::default(),
        }
    }

    /// It, when a message was not accepted.
    #[must_use]
    pub fn rejected(&self, rejection: &Rejection, now: Timestamp) -> Self {
        let (since, attempts) = match &self.state {
            DeliveryState::Failing(failing) => (failing.since, failing.attempts),
            DeliveryState::Accepting | DeliveryState::Paused { .. } => (now, 0),
        };
        let attempts = attempts.saturating_add(1);
        let paused = |reason: String| DeliveryState::Paused { since, reason };
        let state = match rejection {
            Rejection::Gone => paused("the receiver says that it is gone (410)".to_owned()),
            Rejection::Failed(reason) if now.since(since) >= PAUSED_AFTER => paused(reason.clone()),
            Rejection::Failed(reason) => DeliveryState::Failing(Failing {
                since,
                attempts,
                next_at: now.after(pause_after(attempts, LONGEST_PAUSE)),
                reason: reason.clone(),
            }),
        };
        Self {
            state,
            claimed_until: Timestamp::default(),
            ..self.clone()
        }
    }

    /// It, when a person says that messages are to be sent again.
    #[must_use]
    pub fn resumed(&self) -> Self {
        Self {
            state: DeliveryState::Accepting,
            ..self.clone()
        }
    }
}

/// The pause after so many attempts have failed.
pub(crate) fn pause_after(attempts: u32, longest: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(20);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn failed() -> Rejection {
        Rejection::Failed("status 500".to_owned())
    }

    #[test]
    fn pauses_grow_from_a_second_to_an_hour() {
        let seconds: Vec<u64> = (1..=14)
            .map(|n| pause_after(n, LONGEST_PAUSE).as_secs())
            .collect();
        assert_eq!(
            seconds,
            [
                1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600
            ]
        );
        assert_eq!(pause_after(u32::MAX, LONGEST_PAUSE), LONGEST_PAUSE);
    }

    #[test]
    fn a_receiver_that_fails_for_seven_days_is_paused_until_a_person_resumes_it() {
        let (mut one, mut now) = (Delivery::after(7), AT);
        while let DeliveryState::Accepting | DeliveryState::Failing(_) = one.state {
            assert!(one.is_due(now));
            one = one.rejected(&failed(), now);
            assert_eq!(one.through, 7);
            if let DeliveryState::Failing(failing) = &one.state {
                assert!(!one.is_due(now));
                now = failing.next_at;
            }
        }
        let waited = now.since(AT);
        assert!(waited >= PAUSED_AFTER && waited < PAUSED_AFTER + LONGEST_PAUSE);
        assert!(!one.is_due(now.after(PAUSED_AFTER)));
        assert!(one.resumed().is_due(now));
        assert_eq!(one.resumed().through, 7);
    }

    #[test]
    fn one_that_is_gone_is_paused_at_once_and_one_that_accepts_begins_anew() {
        let gone = Delivery::after(7).rejected(&Rejection::Gone, AT);
        assert!(matches!(gone.state, DeliveryState::Paused { .. }));
        let failing = Delivery::after(7)
            .rejected(&failed(), AT)
            .rejected(&failed(), AT);
        let accepted = failing.delivered(9);
        assert_eq!(
            (accepted.through, &accepted.state),
            (9, &DeliveryState::Accepting)
        );
    }

    #[test]
    fn nobody_else_sends_while_a_process_does() {
        let claimed = Delivery::after(7).claimed(AT.after(Duration::from_secs(20)));
        assert!(!claimed.is_due(AT));
        assert!(claimed.is_due(AT.after(Duration::from_secs(20))));
    }
}
