//! What becomes of a set whose clock was ahead: it is put back to what the clock shows now.
//!
//! One reading far ahead stays in every stamp after it, because no stamp goes back: a successor is
//! ready, and a retired key removed, only when the world has caught up. Saying that the clock was
//! corrected lowers each instant that lies later than an honest clock could have made it to what
//! the same transition would give if it were made now. None is raised.
//!
//! It gives up, and nothing else:
//!
//! - tokens that were signed while the clock was ahead: their `exp` may lie after the publication
//!   of their key ends;
//! - the freshness and the clock skew of earlier policies, where they were longer: a successor may
//!   sign while a set without it is still fresh that was served under one of them before the clock
//!   went wrong;
//! - keys that were removed because the clock was ahead. They stay removed, and their tokens with
//!   them;
//! - the times of keys that were revoked meanwhile: their records are final, and until the clock
//!   has reached them the history shows such a key as it was before.

use super::event::Event;
use super::key::{Copies, Key, State, Visibility};
use super::key_set_update::KeySetUpdate;
use super::time::Timestamp;
use super::timing::ChangeTime;

/// Puts the set back. A set that has witnessed nothing later than the clock may be off stays as it
/// is.
pub(super) fn correct_clock(update: &mut KeySetUpdate<'_>) {
    let ChangeTime {
        reading, timing, ..
    } = update.time();
    let latest = update.set().latest;
    if latest <= reading.after(timing.clock_tolerance) {
        return;
    }
    let by_seconds = latest.since(reading).as_secs();
    update.record(Event::ClockCorrected { by_seconds });
    let set = update.stamp_with_reading();
    let fresh_until = reading
        .after(timing.overlap())
        .after(set.policy.freshness());
    let ahead = latest.since(reading);
    // What a late stamp began under a longer freshness keeps that; what an honest one began does not
    // tell.
    let honest = |until: Timestamp, most: Timestamp| until.before(ahead).max(most).min(until);
    set.created_at = set.created_at.min(reading);
    set.served_fresh_until = honest(set.served_fresh_until, fresh_until);
    if let Some(heads) = &mut set.earlier_heads {
        let most = reading.after(timing.overlap()).after(heads.max_age);
        heads.until = honest(heads.until, most);
    }
    let most = fresh_until.after(set.policy.clock_skew);
    // The record of a revoked key is final: what it says of the time stays.
    let kept = |key: &&mut Key| !matches!(key.state, State::Revoked(_));
    for key in set.keys.iter_mut().filter(kept) {
        lower(key, reading, most, &honest);
    }
}

fn lower(
    key: &mut Key,
    reading: Timestamp,
    most: Timestamp,
    honest: &dyn Fn(Timestamp, Timestamp) -> Timestamp,
) {
    let lower = |instant: &mut Timestamp| *instant = reading.min(*instant);
    lower(&mut key.created_at);
    lower(&mut key.published_at);
    match &mut key.state {
        State::Pending(pending) => {
            if let Visibility::MissingUntil(until) = &mut pending.visibility {
                *until = honest(*until, most);
            }
            match &mut pending.copies {
                Copies::NoneWithout => {}
                Copies::Unconfirmed { since } => lower(since),
                Copies::Confirmed {
                    since,
                    missing_until,
                } => {
                    *since = honest(*since, reading);
                    *missing_until = honest(*missing_until, most);
                }
            }
        }
        State::Canary(canary) => {
            lower(&mut canary.started_at);
            lower(&mut canary.counted_from);
        }
        State::Active(active) => {
            lower(&mut active.activated_at);
            lower(&mut active.scheduled_from);
        }
        State::Retired(retired) => {
            // The lengths are those of the key's own time, which an honest stamp has begun.
            let ahead = retired.retired_at.since(reading);
            retired.activated_at.iter_mut().for_each(lower);
            lower(&mut retired.retired_at);
            retired.tokens_until = retired.tokens_until.before(ahead);
            retired.published_until = retired.published_until.before(ahead);
        }
        State::Removed(removed) => {
            removed.activated_at.iter_mut().for_each(lower);
            lower(&mut removed.retired_at);
            lower(&mut removed.removed_at);
            removed.published_until.iter_mut().for_each(lower);
        }
        State::Revoked(_) => {}
    }
}
