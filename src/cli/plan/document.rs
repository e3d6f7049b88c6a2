//! What will happen, in words: one line a moment.

use keywright_api::{Key, KeyEvent, Occurrence, Plan, UnixSeconds, WaitingRotation};
use keywright_verifier::Kid;

use crate::cli::moment::{length, rfc3339, seen_from};
use crate::cli::short_names::ShortNames;
use crate::cli::table::columns;

/// The short names of every key that the plan or `keys` mention.
pub(super) fn names(plan: &Plan, keys: &[Key]) -> ShortNames {
    let planned = plan.occurrences.iter();
    let planned = planned.filter_map(|occurrence| occurrence.members.kid.as_ref());
    let all = planned.chain(keys.iter().map(|key| &key.kid));
    ShortNames::of(all.map(Kid::as_str))
}

/// One line for each moment and algorithm.
pub(super) fn event_list(plan: &Plan, names: &ShortNames) -> String {
    let mut moments: Vec<(u64, &str, Vec<String>)> = Vec::new();
    for occurrence in &plan.occurrences {
        let algorithm = occurrence.members.algorithm;
        let algorithm = algorithm.map_or("-", |algorithm| algorithm.as_str());
        let words = words(occurrence, names);
        match moments
            .iter_mut()
            .rev()
            .take_while(|(at, _, _)| *at == occurrence.at.0)
            .find(|(_, other, _)| *other == algorithm)
        {
            Some((_, _, told)) => told.push(words),
            None => moments.push((occurrence.at.0, algorithm, vec![words])),
        }
    }
    if moments.is_empty() {
        return format!("nothing happens until {}", rfc3339(plan.until.0));
    }
    let rows = moments.into_iter().map(|(at, algorithm, told)| {
        [
            seen_from(plan.now.0, at),
            rfc3339(at),
            algorithm.to_owned(),
            told.join("; "),
        ]
    });
    columns(["when", "at", "algorithm", "what happens"], rows)
}

/// For whom a rotation waits, and until when.
pub(in crate::cli) fn waiting(waiting: &WaitingRotation, now: UnixSeconds) -> String {
    let replicas = match waiting.uncounted_replicas {
        0 => String::new(),
        1 => ", and 1 replica cannot tell yet".to_owned(),
        count => format!(", and {count} replicas cannot tell yet"),
    };
    format!(
        "the {} rotation waits: {} of {} verifiers hold the successor {}, and the policy wants {}{replicas}. It happens \
         at {} ({}) at the latest",
        waiting.algorithm,
        waiting.holders,
        waiting.verifiers,
        waiting.kid,
        waiting.share,
        rfc3339(waiting.until.0),
        seen_from(now.0, waiting.until.0)
    )
}

fn words(occurrence: &Occurrence, names: &ShortNames) -> String {
    let Occurrence { at, event, members } = occurrence;
    let kid = members
        .kid
        .as_ref()
        .map_or("", |kid| names.short(kid.as_str()));
    match event {
        KeyEvent::IssuerCreated => "the issuer is created".to_owned(),
        KeyEvent::IssuerDeleted => "the issuer is deleted".to_owned(),
        KeyEvent::PolicyChanged => "the policy changes".to_owned(),
        KeyEvent::KeyPublished => match members.ready_at {
            Some(ready_at) if ready_at > *at => format!(
                "{kid} is published, ready after {}",
                length(ready_at.0.saturating_sub(at.0))
            ),
            Some(_) => format!("{kid} is published, ready at once"),
            None => format!("{kid} is published, and waits until every copy has it"),
        },
        KeyEvent::AdoptionMissed => {
            format!("the rotation waits no longer for the verifiers that lack {kid}")
        }
        KeyEvent::KeyCanaryStarted => {
            let share = members
                .share
                .map_or_else(String::new, |share| format!(" {share} of the tokens"));
            let until = members.until.unwrap_or(*at);
            let time = length(until.0.saturating_sub(at.0));
            format!("{kid} begins to sign{share} as a canary, for {time}")
        }
        KeyEvent::KeyCanaryStopped => format!("the canary {kid} is taken back"),
        KeyEvent::KeyConfirmed => format!(
            "every copy has {kid}, ready after {}",
            length(members.ready_at.unwrap_or(*at).0.saturating_sub(at.0))
        ),
        KeyEvent::KeyUnconfirmed => format!("{kid} waits until every copy has it"),
        KeyEvent::KeyActivated if members.forced == Some(true) => {
            format!("{kid} begins to sign, before verifiers can know it")
        }
        KeyEvent::KeyActivated => format!("{kid} begins to sign"),
        KeyEvent::KeyRetired => {
            let stays = members.published_until.unwrap_or(*at);
            format!(
                "{kid} stops signing, stays published for {}",
                length(stays.0.saturating_sub(at.0))
            )
        }
        KeyEvent::KeyRemoved => format!("{kid} leaves the set"),
        KeyEvent::KeyRevoked => format!("{kid} is revoked"),
    }
}
