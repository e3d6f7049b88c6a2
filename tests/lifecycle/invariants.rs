//! What must hold after every step of every history: the ten invariants of `docs/lifecycle.md`
//! and the law of the single token.

use std::collections::BTreeSet;

use keywright::lifecycle::{
    KeySet, MAX_PUBLISHED_BYTES, MAX_PUBLISHED_KEYS, Schedule, State, Timestamp,
};
use keywright::store::documents;
use keywright_verifier::{Algorithm, Jwk, JwkSet};

use super::world::World;

/// One law: whether it holds, and what breaks it.
pub(crate) type Law = fn(&World) -> Result<(), String>;

/// All of them.
pub(crate) const ALL: [Law; 15] = [
    one_signer,
    known_before_used,
    published_while_needed,
    revoked_is_final,
    a_successor_stands_by,
    private_halves_are_short_lived,
    kid_and_signature_are_one_act,
    time_may_jump,
    store_first_then_memory,
    the_set_stays_small,
    per_token_law,
    the_past_stays_told,
    deleted_is_final,
    gates_open_in_time,
    a_canary_has_its_time,
];

/// Invariant 1.
pub(crate) fn one_signer(world: &World) -> Result<(), String> {
    no_offence(world, 1)?;
    for set in [&world.stored, &world.view] {
        for algorithm in Algorithm::ALL {
            let is_active = |state: &State| matches!(state, State::Active(_));
            let count = (set.keys().iter())
                .filter(|key| key.algorithm() == algorithm && is_active(key.state()))
                .count();
            // Nothing signs while the key that shall is generated, or while there is no room.
            let waits = world.ledger.bereft.contains(&algorithm)
                && (is_wanted(world, algorithm)
                    || !has_room(&world.stored, &[algorithm], world.ledger.decided_at));
            let least = usize::from(world.ledger.signing.contains(&algorithm) && !waits);
            ensure((least..=1).contains(&count), || {
                format!("{count} active keys for {algorithm}")
            })?;
            // At most one canary, and beside the active key alone.
            let is_canary = |state: &State| matches!(state, State::Canary(_));
            let canaries = (set.keys().iter())
                .filter(|key| key.algorithm() == algorithm && is_canary(key.state()))
                .count();
            ensure(canaries <= count, || {
                format!("{canaries} canaries beside {count} active keys for {algorithm}")
            })?;
        }
    }
    Ok(())
}

/// Invariant 2, of the keys and of every verifier whose cache fits into the lead.
pub(crate) fn known_before_used(world: &World) -> Result<(), String> {
    no_offence(world, 2)?;
    for (kid, facts) in &world.ledger.keys {
        let Some(activation) = facts.activation.as_ref().filter(|one| !one.excused) else {
            continue;
        };
        let missing_until = facts.missing_until.unwrap_or(Timestamp::default());
        ensure(missing_until <= activation.decided_at, || {
            format!(
                "{kid} signs at {:?}, unknown until {missing_until:?}",
                activation.decided_at
            )
        })?;
        let ready_at = if facts.first_set {
            facts.published_at
        } else {
            facts.published_at.after(activation.lead)
        };
        ensure(ready_at <= activation.decided_at, || {
            format!(
                "{kid} signs at {:?}, ready at {ready_at:?}",
                activation.decided_at
            )
        })?;
    }
    Ok(())
}

/// Invariant 3.
pub(crate) fn published_while_needed(world: &World) -> Result<(), String> {
    no_offence(world, 3)?;
    for token in world.live_tokens() {
        for set in [&world.stored, &world.view] {
            let key = set.key(&token.kid);
            ensure(key.is_some_and(|key| key.is_published(world.clock)), || {
                format!(
                    "a token of {} lives until {:?}",
                    token.kid, token.expires_at
                )
            })?;
        }
    }
    Ok(())
}

/// Invariant 4.
pub(crate) fn revoked_is_final(world: &World) -> Result<(), String> {
    no_offence(world, 4)?;
    let revoked = (world.ledger.keys.iter()).filter(|(_, facts)| facts.state == "revoked");
    for (kid, facts) in revoked {
        for set in [&world.stored, &world.view] {
            let traces = (set.keys().iter())
                .filter(|key| key.kid() == kid || key.jwk().public_key() == facts.jwk.public_key());
            for key in traces {
                let revoked = matches!(key.state(), State::Revoked(_));
                ensure(revoked && !key.is_published(world.clock), || {
                    format!("{kid} is back: {key:?}")
                })?;
            }
        }
    }
    Ok(())
}

/// Invariant 5. Only a full set, and a key that is being generated, excuse an algorithm that has no
/// successor. A set is full for one when the successors that others lack take the last places.
pub(crate) fn a_successor_stands_by(world: &World) -> Result<(), String> {
    no_offence(world, 5)?;
    if !world.touched || world.ledger.deleted.is_some() {
        return Ok(());
    }
    let is_published = |algorithm: Algorithm| {
        let successors = world.stored.successors(algorithm);
        successors.iter().any(|key| key.is_published(world.clock))
    };
    for algorithm in &world.stored.policy().algorithms {
        let wanted = world.wanted.iter().map(|wanted| wanted.algorithm);
        let claims = wanted.filter(|other| other != algorithm && !is_published(*other));
        let taken: Vec<_> = claims.chain([*algorithm]).collect();
        let room = has_room(&world.stored, &taken, world.ledger.decided_at);
        ensure(
            is_published(*algorithm) || is_wanted(world, *algorithm) || !room,
            || format!("no {algorithm} successor stands by"),
        )?;
    }
    Ok(())
}

/// Invariant 6, on the rows of the store.
pub(crate) fn private_halves_are_short_lived(world: &World) -> Result<(), String> {
    no_offence(world, 6)?;
    if !world.touched {
        return Ok(());
    }
    for row in world.rows().keys {
        let kid = &row.key.id;
        let key = world.stored.key(kid.parse().as_ref().unwrap());
        let state = key.map(|key| key.state());
        let needed = matches!(
            state,
            Some(State::Pending(_) | State::Canary(_) | State::Active(_))
        );
        let expected = needed.then(|| kid.clone().into_bytes());
        ensure(row.sealed == expected, || {
            format!("the private half of {kid} is {:?}", row.sealed)
        })?;
    }
    Ok(())
}

/// Invariant 7, as far as the set alone can keep it: a kid means one key and one algorithm for
/// ever, and a key has one kid.
pub(crate) fn kid_and_signature_are_one_act(world: &World) -> Result<(), String> {
    no_offence(world, 7)?;
    if !world.touched {
        return Ok(());
    }
    for token in &world.tokens {
        for set in [&world.stored, &world.view] {
            let key = set.key(&token.kid);
            ensure(key.is_some_and(|key| *key.jwk() == token.jwk), || {
                format!("{} now means {key:?}", token.kid)
            })?;
        }
    }
    let kids: BTreeSet<_> = world.stored.keys().iter().map(|key| key.kid()).collect();
    let materials: std::collections::HashSet<_> = (world.stored.keys().iter())
        .map(|key| key.jwk().public_key())
        .collect();
    let count = world.stored.keys().len();
    ensure(kids.len() == count && materials.len() == count, || {
        format!(
            "{count} keys, {} kids, {} key pairs",
            kids.len(),
            materials.len()
        )
    })
}

/// Invariant 8. The ledger follows every event along the state graph and every jump of the clock.
pub(crate) fn time_may_jump(world: &World) -> Result<(), String> {
    no_offence(world, 8)?;
    let wake = world.next_wake();
    ensure(wake.is_none_or(|wake| wake > world.clock), || {
        format!("woken at {wake:?}, which is not after {:?}", world.clock)
    })
}

/// Invariant 9. A history never stops between a commit and its swap, so that what is served must
/// be what is stored, and what a restart would read.
pub(crate) fn store_first_then_memory(world: &World) -> Result<(), String> {
    no_offence(world, 9)?;
    if !world.touched {
        return Ok(());
    }
    ensure(world.view == world.stored, || {
        format!(
            "serves {}, holds {}",
            world.view.version(),
            world.stored.version()
        )
    })?;
    ensure(world.stored.version() == world.ledger.commits, || {
        format!(
            "version {} after {} commits",
            world.stored.version(),
            world.ledger.commits
        )
    })?;
    let events = world.stored_events();
    ensure(events == world.ledger.events, || {
        format!(
            "{events} events in the store, {} happened",
            world.ledger.events
        )
    })?;
    // Reading a crontab line takes long; for those the restarts have to do.
    if matches!(world.stored.policy().rotation, Schedule::Cron(_)) {
        return Ok(());
    }
    let read = documents::key_set(&world.rows()).map_err(|error| error.to_string())?;
    ensure(read == world.stored, || {
        format!("{read:?} is not {:?}", world.stored)
    })
}

/// Invariant 10. With the clock set back as far as can be, a set is at its largest.
pub(crate) fn the_set_stays_small(world: &World) -> Result<(), String> {
    no_offence(world, 10)?;
    if !world.touched {
        return Ok(());
    }
    for set in [&world.stored, &world.view] {
        let keys = set.published(Timestamp::default()).count();
        ensure(keys <= MAX_PUBLISHED_KEYS, || {
            format!("{keys} keys are published")
        })?;
        let bytes = published_bytes(set, Timestamp::default());
        ensure(bytes < MAX_PUBLISHED_BYTES, || {
            format!("{bytes} bytes are published")
        })?;
    }
    Ok(())
}

/// For every token: it was signed a lead after its key's publication, unless that was excused, and
/// it expires within it, whatever the skew.
pub(crate) fn per_token_law(world: &World) -> Result<(), String> {
    let revoked = |kid| world.ledger.is_revoked(kid);
    for token in (world.tokens.iter()).filter(|token| !token.forgotten && !revoked(&token.kid)) {
        let facts = &world.ledger.keys[&token.kid];
        let activation = facts
            .activation
            .as_ref()
            .ok_or("signed without activation")?;
        let known_at = facts.published_at.after(activation.lead);
        let excused = activation.excused || facts.first_set;
        ensure(excused || known_at <= token.signed_at, || {
            format!(
                "{} signs at {:?}, known at {known_at:?}",
                token.kid, token.signed_at
            )
        })?;
        let until = token.expires_at.after(token.clock_skew);
        let published_until = facts.published_until;
        ensure(published_until.is_none_or(|end| until <= end), || {
            format!(
                "a token of {} outlives {published_until:?} at {until:?}",
                token.kid
            )
        })?;
    }
    Ok(())
}

fn is_wanted(world: &World, algorithm: Algorithm) -> bool {
    (world.wanted.iter()).any(|wanted| wanted.algorithm == algorithm)
}

/// Whether one more generated key of each of these would have fitted into the set published at `now`.
fn has_room(set: &KeySet, keys: &[Algorithm], now: Timestamp) -> bool {
    // A margin keeps this estimate from being the judge of the last byte.
    let members = keys.iter().map(|algorithm| match algorithm {
        Algorithm::Es256 => 210 + 32,
        Algorithm::Rs256 => 115 + 32 + usize::from(set.policy().rsa_bits / 6),
    });
    let bytes = published_bytes(set, now) + members.sum::<usize>();
    set.published(now).count() + keys.len() <= MAX_PUBLISHED_KEYS && bytes < MAX_PUBLISHED_BYTES
}

/// The size of the published set; more than any is allowed when two keys share a kid.
fn published_bytes(set: &KeySet, instant: Timestamp) -> usize {
    let keys: Vec<Jwk> = set
        .published(instant)
        .map(|key| key.jwk().clone())
        .collect();
    let kids: BTreeSet<_> = keys.iter().map(Jwk::kid).collect();
    if kids.len() < keys.len() {
        return usize::MAX;
    }
    JwkSet::new(keys).to_json().len()
}

/// What the records tell of every earlier moment is what was served then.
pub(crate) fn the_past_stays_told(world: &World) -> Result<(), String> {
    if !world.touched {
        return Ok(());
    }
    let stored = documents::key_set(&world.rows()).map_err(|error| error.to_string())?;
    world.recollection.compare(&stored)
}

/// An issuer that is deleted publishes nothing at any time, signs nothing, has no private half, and
/// never changes again.
pub(crate) fn deleted_is_final(world: &World) -> Result<(), String> {
    no_offence(world, 11)?;
    let Some(version) = world.ledger.deleted else {
        return Ok(());
    };
    for set in [&world.stored, &world.view] {
        let is_last = set.deleted_at().is_some() && set.version() == version;
        ensure(is_last, || format!("deleted in {version}, and now {set:?}"))?;
        for at in [Timestamp::default(), world.clock, world.latest_ever] {
            let published = set.published(at).next();
            ensure(published.is_none(), || {
                format!("{published:?} is published")
            })?;
        }
        let signs = Algorithm::ALL.iter().any(|one| set.active(*one).is_some());
        ensure(!signs, || "a key of a deleted issuer signs".to_owned())?;
    }
    let kept = world
        .rows()
        .keys
        .into_iter()
        .find(|row| row.sealed.is_some());
    ensure(kept.is_none(), || {
        format!("a private half is left: {kept:?}")
    })
}

/// A rotation under a gate happens when enough verifiers hold the successor or the time to wait for them is over,
/// and it waits no longer than that.
pub(crate) fn gates_open_in_time(world: &World) -> Result<(), String> {
    no_offence(world, 12)?;
    let policy = world.view.policy();
    for wait in world.plan().waits {
        let within = policy.adoption.map(|gate| gate.within.0);
        let within = within.ok_or("a rotation waits without a gate")?;
        let due = (world.ledger).rotation_due(&wait.kid, wait.algorithm, &world.view);
        // After a canary was stopped, the next successor waits for a lead.
        let stopped = world.clock.after(policy.lead);
        let latest = due.map(|due| due.max(stopped).after(within));
        ensure(latest.is_none_or(|latest| wait.until <= latest), || {
            format!("{} waits until {:?}, not {latest:?}", wait.kid, wait.until)
        })?;
        ensure(world.clock < wait.until, || {
            format!(
                "{} waits until {:?}, which has passed",
                wait.kid, wait.until
            )
        })?;
    }
    Ok(())
}

/// A canary begins by the schedule, becomes active when its time is over or in place of the active key, and signs no
/// more when it is taken back. Its lead and its tokens are what the laws of every key are about.
pub(crate) fn a_canary_has_its_time(world: &World) -> Result<(), String> {
    no_offence(world, 13)
}

fn no_offence(world: &World, invariant: u8) -> Result<(), String> {
    let offence = (world.ledger.offences.iter()).find(|(number, _)| *number == invariant);
    offence.map_or(Ok(()), |(_, text)| Err(text.clone()))
}

fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text()) }
}
