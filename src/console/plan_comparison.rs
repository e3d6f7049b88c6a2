//! Two plans of an issuer beside each other: the one of today, and the one under another policy.

use super::timeline::Life;

/// The events of a key's life that a policy can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LifeEvent {
    /// It enters the set.
    Published,
    /// It begins to sign.
    SignsFrom,
    /// It stops signing.
    SignsUntil,
    /// It leaves the set.
    InSetUntil,
}

impl LifeEvent {
    /// All of them, in their order.
    pub(super) const ALL: [Self; 4] = [
        Self::Published,
        Self::SignsFrom,
        Self::SignsUntil,
        Self::InSetUntil,
    ];

    /// When it is in a life, in Unix seconds.
    pub(super) fn of(self, life: &Life) -> Option<u64> {
        match self {
            Self::Published => Some(life.published),
            Self::SignsFrom => life.signs_from,
            Self::SignsUntil => life.signs_until,
            Self::InSetUntil => life.in_set_until,
        }
    }
}

/// How a policy changes what comes of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LifeChange<'l> {
    /// Some of its events come at other times: as planned today, and then.
    Moves(&'l Life, &'l Life),
    /// Only the other policy has the key.
    Comes(&'l Life),
    /// Only today's plan has the key.
    Goes(&'l Life),
}

/// What another policy changes, key by key in the order of `after`, and at last the keys that go.
///
/// A key that exists is known by its name. One that is only planned is known by its place among those of its
/// algorithm, because each plan names such keys by its own count.
pub(super) fn compare<'l>(today: &'l [Life], after: &'l [Life]) -> Vec<LifeChange<'l>> {
    let mut changes = Vec::new();
    for life in after {
        match counterpart(life, after, today) {
            Some(before) if moves(before, life) => changes.push(LifeChange::Moves(before, life)),
            Some(_) => {}
            None => changes.push(LifeChange::Comes(life)),
        }
    }
    let gone = today.iter();
    let gone = gone.filter(|life| counterpart(life, today, after).is_none());
    changes.extend(gone.map(LifeChange::Goes));
    changes
}

/// The life in `others` of the key that `life` is in `lives`.
fn counterpart<'l>(life: &Life, lives: &[Life], others: &'l [Life]) -> Option<&'l Life> {
    if life.state.is_some() {
        return others.iter().find(|other| other.kid == life.kid);
    }
    let is_planned = |other: &&Life| other.state.is_none() && other.algorithm == life.algorithm;
    let place = lives
        .iter()
        .filter(is_planned)
        .position(|other| other.kid == life.kid)?;
    others.iter().filter(is_planned).nth(place)
}

/// The two plans were made a moment after each other, and their times are rounded up.
const ROUNDING: u64 = 2;

fn moves(before: &Life, after: &Life) -> bool {
    LifeEvent::ALL
        .into_iter()
        .any(|event| differ(event.of(before), event.of(after)))
}

/// Whether an event comes at another time, or only in one of two plans.
pub(super) fn differ(before: Option<u64>, after: Option<u64>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => before.abs_diff(after) > ROUNDING,
        (before, after) => before != after,
    }
}

#[cfg(test)]
mod tests {
    use keywright_api::KeyState;
    use keywright_verifier::Algorithm;

    use super::*;

    fn life(kid: &str, state: Option<KeyState>, published: u64, signs_from: Option<u64>) -> Life {
        Life {
            kid: kid.to_owned(),
            algorithm: match kid.contains("RS256") {
                true => Algorithm::Rs256,
                false => Algorithm::Es256,
            },
            state,
            published,
            known: published,
            signs_from,
            canary_until: None,
            signs_until: None,
            in_set_until: None,
            revoked: None,
            reason: None,
        }
    }

    #[test]
    fn keys_are_known_by_their_name_and_planned_ones_by_their_place() {
        let active = Some(KeyState::Active);
        let today = [
            life("a", active, 10, Some(10)),
            life("next-ES256-1", None, 100, Some(110)),
            life("next-ES256-2", None, 200, Some(210)),
        ];
        let after = [
            life("a", active, 10, Some(10)),
            life("next-ES256-1", None, 101, Some(112)),
            life("next-ES256-3", None, 300, Some(310)),
            life("next-ES256-4", None, 400, None),
            life("next-RS256-2", None, 50, None),
        ];
        let expected = [
            LifeChange::Moves(&today[2], &after[2]),
            LifeChange::Comes(&after[3]),
            LifeChange::Comes(&after[4]),
        ];
        assert_eq!(compare(&today, &after), expected);
        let expected = [
            LifeChange::Moves(&after[2], &today[2]),
            LifeChange::Goes(&after[3]),
            LifeChange::Goes(&after[4]),
        ];
        assert_eq!(compare(&after, &today), expected);
        assert!(compare(&today, &today).is_empty());
    }

    #[test]
    fn an_event_that_only_one_plan_has_moves_the_key() {
        let today = [life("a", Some(KeyState::Pending), 10, Some(500))];
        let after = [life("a", Some(KeyState::Pending), 10, None)];
        let expected = [LifeChange::Moves(&today[0], &after[0])];
        assert_eq!(compare(&today, &after), expected);
    }
}
