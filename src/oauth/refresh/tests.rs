//! One line of tokens under any interleaving of uses, retries, lost answers and a thief.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const GRANT: &str = "00112233445566778899aabbccddeeff";
const GRACE: Duration = Duration::from_secs(30);

fn key() -> GrantKey {
    GrantKey::new(&[1; 32])
}

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_millis(milliseconds)
}

fn begun() -> (RefreshToken, TokenLine) {
    let first = RefreshToken::first(GRANT, &key(), [7; 32]);
    let line = TokenLine::begin(&first, at(0));
    (first, line)
}

fn renew(line: &TokenLine, token: &RefreshToken, now: u64) -> Result<Renewal, RefreshRefusal> {
    line.renew(token, &key(), GRACE, at(now))
}

#[test]
fn a_lost_answer_is_given_again_until_grace_is_over_or_the_successor_is_used() {
    let (first, line) = begun();
    let renewal = renew(&line, &first, 1_000).unwrap();
    let (second, line) = (renewal.successor, renewal.line);
    let again = renew(&line, &first, 30_999).unwrap();
    assert_eq!(again.successor.hash(), second.hash());
    assert_eq!((again.line.number, again.line.repeats), (1, 1));
    assert_eq!(again.line.rotated_at, at(1_000));
    assert_eq!(
        renew(&line, &first, 31_000).unwrap_err(),
        RefreshRefusal::Reused
    );
    let used = renew(&line, &second, 2_000).unwrap().line;
    assert_eq!(
        renew(&used, &first, 2_000).unwrap_err(),
        RefreshRefusal::Reused
    );
    assert!(renew(&used, &second, 2_001).is_ok());
}

#[test]
fn one_token_is_answered_again_five_times() {
    let (first, line) = begun();
    let mut line = renew(&line, &first, 0).unwrap().line;
    for _ in 0..MOST_REPEATS {
        line = renew(&line, &first, 1).unwrap().line;
    }
    assert_eq!(renew(&line, &first, 1).unwrap_err(), RefreshRefusal::Reused);
}

#[test]
fn without_grace_nothing_is_answered_again() {
    let (first, line) = begun();
    let line = renew(&line, &first, 0).unwrap().line;
    let again = line.renew(&first, &key(), Duration::ZERO, at(0));
    assert_eq!(again.unwrap_err(), RefreshRefusal::Reused);
}

#[test]
fn what_was_never_issued_ends_nothing_whatever_number_it_has() {
    let (first, line) = begun();
    let renewal = renew(&line, &first, 0).unwrap();
    let made_up = RefreshToken::first(GRANT, &GrantKey::new(&[2; 32]), [7; 32]);
    let mut token = made_up;
    for _ in 0..4 {
        let refusal = renew(&renewal.line, &token, 0).unwrap_err();
        assert_eq!(refusal, RefreshRefusal::NeverIssued);
        token = token.successor(&GrantKey::new(&[2; 32])).unwrap();
    }
}

#[test]
fn a_token_from_after_a_commit_that_was_lost_is_told_from_one_that_was_used() {
    let (first, line) = begun();
    let second = renew(&line, &first, 0).unwrap().successor;
    assert_eq!(renew(&line, &second, 0).unwrap_err(), RefreshRefusal::Ahead);
    // Another token of the same number, as another line of history would have it.
    let other = RefreshToken::first(GRANT, &key(), [8; 32]);
    assert_eq!(renew(&line, &other, 0).unwrap_err(), RefreshRefusal::Ahead);
}

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// The owner presents what it has; its answer arrives.
    Use,
    /// The owner presents what it has; its answer is lost.
    UseInVain,
    /// The thief takes a copy of what the owner has.
    Steal,
    /// The thief presents what it has.
    Abuse,
    /// Time passes, in milliseconds.
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Use),
        2 => Just(Act::UseInVain),
        1 => Just(Act::Steal),
        3 => Just(Act::Abuse),
        2 => (0..20_000_u64).prop_map(Act::Wait),
    ]
}

fn honest_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Use),
        2 => Just(Act::UseInVain),
        1 => (0..5_000_u64).prop_map(Act::Wait),
    ]
}

proptest! {
    /// Whichever holder presents whichever token at whatever time: the tokens that were issued are one line, each the one
    /// successor of the one before.
    #[test]
    fn there_is_one_line_of_successors(acts in vec(act(), 0..60)) {
        let (first, mut line) = begun();
        let mut issued = vec![first.hash()];
        let (mut owner, mut thief, mut now) = (first.clone(), first, 0);
        let mut has_ended = false;
        for act in acts {
            let presented = match act {
                Act::Use | Act::UseInVain => owner.clone(),
                Act::Abuse => thief.clone(),
                Act::Steal => {
                    thief = owner.clone();
                    continue;
                }
                Act::Wait(time) => {
                    now += time;
                    continue;
                }
            };
            if has_ended {
                break;
            }
            match renew(&line, &presented, now) {
                Ok(renewal) => {
                    let number = usize::try_from(renewal.successor.number()).unwrap();
                    let hash = renewal.successor.hash();
                    match issued.get(number) {
                        Some(known) => prop_assert_eq!(known, &hash),
                        None => {
                            prop_assert_eq!(issued.len(), number);
                            issued.push(hash);
                        }
                    }
                    line = renewal.line;
                    prop_assert_eq!(issued.last(), Some(&line.current));
                    match act {
                        Act::Use => owner = renewal.successor,
                        Act::Abuse => thief = renewal.successor,
                        _ => {}
                    }
                }
                Err(refusal) => {
                    // What was issued once is never taken for what was not.
                    prop_assert_eq!(refusal, RefreshRefusal::Reused);
                    has_ended = true;
                }
            }
        }
    }

    /// An owner without a thief is never refused, if an answer of its retries arrives within grace.
    #[test]
    fn an_honest_client_is_never_logged_out(acts in vec(honest_act(), 0..80)) {
        let (mut owner, mut line) = begun();
        let (mut now, mut rotated_at, mut tries) = (0_u64, None::<u64>, 0);
        for act in acts {
            match act {
                Act::Wait(time) => now += time,
                Act::Use | Act::UseInVain => {
                    let must_arrive = tries == MOST_REPEATS
                        || rotated_at.is_some_and(|since| now + 5_000 >= since + 30_000);
                    if rotated_at.is_some_and(|since| now >= since + 30_000) {
                        break;
                    }
                    let renewal = renew(&line, &owner, now);
                    prop_assert!(renewal.is_ok(), "refused after {tries} tries");
                    let renewal = renewal.unwrap();
                    line = renewal.line;
                    if matches!(act, Act::Use) || must_arrive {
                        owner = renewal.successor;
                        (rotated_at, tries) = (None, 0);
                    } else {
                        rotated_at = rotated_at.or(Some(now));
                        tries += 1;
                    }
                }
                Act::Steal | Act::Abuse => unreachable!(),
            }
        }
    }

    /// Once the owner has used the successor of what a thief holds, or grace has passed, the thief's next
    /// attempt ends the line: it is never answered later than that.
    #[test]
    fn a_thief_that_does_not_keep_up_ends_the_line(
        before in 0..4_u32, uses in 1..4_u32, wait in 0..60_000_u64,
    ) {
        let (mut owner, mut line) = begun();
        for _ in 0..before {
            let renewal = renew(&line, &owner, 0).unwrap();
            (owner, line) = (renewal.successor, renewal.line);
        }
        let thief = owner.clone();
        for _ in 0..uses {
            let renewal = renew(&line, &owner, 0).unwrap();
            (owner, line) = (renewal.successor, renewal.line);
        }
        let answer = renew(&line, &thief, wait);
        prop_assert_eq!(answer.is_ok(), uses == 1 && wait < 30_000);
        // If it was answered, the owner is not logged out by that, and the thief has nothing new.
        if let Ok(renewal) = answer {
            prop_assert_eq!(renewal.successor.hash(), owner.hash());
        }
    }
}
