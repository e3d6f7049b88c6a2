//! A policy in words.

use std::time::Duration;

use keywright_api as api;
use maud::{Markup, html};

use super::moment::length;

/// What a policy says, as terms and values.
pub(super) fn facts(policy: &api::Policy) -> Vec<(&'static str, Markup)> {
    let algorithms = policy.algorithms.iter().flatten();
    let algorithms: Vec<&str> = algorithms.map(|algorithm| algorithm.as_str()).collect();
    let lead = seconds(policy.lead.as_ref());
    vec![
        ("Signs with", html! { (algorithms.join(", ")) }),
        ("Rotates", html! { (rotation(policy.rotation.as_ref())) }),
        (
            "New key",
            html! {
                "published " (length(lead)) " before it signs "
                span.muted { "(needed: " (length(horizon(policy) + seconds(policy.clock_skew.as_ref()))) ")" }
            },
        ),
        (
            "Rotations wait",
            html! { (adoption(policy.adoption.as_ref())) },
        ),
        (
            "A new key signs",
            html! { (canary(policy.canary.as_ref())) },
        ),
        (
            "Caches",
            html! {
                "keep a set " (length(seconds(policy.jwks_max_age.as_ref())))
                @let stale = seconds(policy.stale_if_error.as_ref());
                @if stale > 0 { ", and " (length(stale)) " more while we do not answer" }
            },
        ),
        (
            "Tokens",
            html! {
                "live " (length(seconds(policy.default_token_ttl.as_ref())))
                ", at most " (length(seconds(policy.max_token_ttl.as_ref())))
            },
        ),
        ("Revocations", html! { (feed(policy)) }),
        ("Two people", html! { (two_people(policy.confirmation)) }),
    ]
}

/// For how long a cache may serve a set at the latest, in seconds: what is published now is not known
/// everywhere before.
pub(super) fn horizon(policy: &api::Policy) -> u64 {
    seconds(policy.jwks_max_age.as_ref()) + seconds(policy.stale_if_error.as_ref())
}

fn seconds(duration: Option<&api::DurationText>) -> u64 {
    duration
        .map_or(Duration::ZERO, |duration| duration.0)
        .as_secs()
}

fn rotation(rotation: Option<&api::Rotation>) -> String {
    let Some(rotation) = rotation else {
        return "as is usual".to_owned();
    };
    match (&rotation.every, &rotation.cron) {
        (Some(every), _) => format!("every {}", length(every.0.as_secs())),
        (None, Some(cron)) => {
            let zone = rotation.timezone.as_deref().unwrap_or("UTC");
            format!("at {cron} ({zone})")
        }
        (None, None) => "never by itself".to_owned(),
    }
}

fn adoption(gate: Option<&api::AdoptionGate>) -> String {
    match gate {
        Some(gate) => format!(
            "until {} of the known verifiers hold the new key, for {} at most",
            gate.share,
            length(gate.within.0.as_secs())
        ),
        None => "for no verifier".to_owned(),
    }
}

fn canary(phase: Option<&api::CanaryPhase>) -> String {
    match phase {
        Some(phase) => format!(
            "{} of the tokens for {}, then all",
            phase.share,
            length(phase.duration.0.as_secs())
        ),
        None => "all tokens at once".to_owned(),
    }
}

fn feed(policy: &api::Policy) -> String {
    let age = length(seconds(policy.revocation_max_age.as_ref()));
    match policy.revocation_feed {
        Some(api::RevocationFeed::Authenticated) => {
            format!("told to verifiers with a credential, which go by them for {age} at most")
        }
        Some(api::RevocationFeed::Off) => "told to no verifier".to_owned(),
        Some(api::RevocationFeed::Public) | None => {
            format!("told to all verifiers, which go by them for {age} at most")
        }
    }
}

fn two_people(confirmation: Option<api::Confirmation>) -> &'static str {
    match confirmation {
        Some(api::Confirmation::SecondPerson) => {
            "for forced rotation, discarded successors, whole audiences, deletion"
        }
        Some(api::Confirmation::None) | None => "for nothing",
    }
}
