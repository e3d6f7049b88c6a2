//! What will happen to keys, in words.

use keywright_api as api;
use maud::{Markup, html};

use super::elements::short_kid;
use super::moment;

/// What happens at one moment.
pub(super) struct Moment<'p> {
    /// When, in Unix seconds.
    pub(super) at: u64,
    /// What happens then.
    pub(super) occurrences: Vec<&'p api::Occurrence>,
}

/// The moments of a plan, in order.
pub(super) fn moments(plan: &api::Plan) -> Vec<Moment<'_>> {
    let mut moments: Vec<Moment<'_>> = Vec::new();
    for occurrence in &plan.occurrences {
        match moments.last_mut().filter(|last| last.at == occurrence.at.0) {
            Some(last) => last.occurrences.push(occurrence),
            None => moments.push(Moment {
                at: occurrence.at.0,
                occurrences: vec![occurrence],
            }),
        }
    }
    moments
}

impl Moment<'_> {
    /// In a few words: what it means for the issuer.
    pub(super) fn title(&self) -> String {
        let of = |event| {
            let of_event = self
                .occurrences
                .iter()
                .filter(move |one| one.event == event);
            let algorithms = of_event.filter_map(|one| one.members.algorithm);
            algorithms
                .map(|algorithm| algorithm.as_str())
                .collect::<Vec<_>>()
        };
        let (activated, published, removed) = (
            of(api::KeyEvent::KeyActivated),
            of(api::KeyEvent::KeyPublished),
            of(api::KeyEvent::KeyRemoved),
        );
        if !activated.is_empty() {
            return format!("rotates {}", activated.join(", "));
        }
        if !published.is_empty() {
            return format!("publishes the next {}", published.join(", "));
        }
        match removed.is_empty() {
            true => "changes".to_owned(),
            false => format!("an old {} leaves the set", removed.join(", ")),
        }
    }

    /// Whether a key begins to sign then.
    pub(super) fn is_rotation(&self) -> bool {
        let mut occurrences = self.occurrences.iter();
        occurrences.any(|one| one.event == api::KeyEvent::KeyActivated)
    }

    /// In whole sentences.
    pub(super) fn sentences(&self) -> Markup {
        html! { @for occurrence in &self.occurrences { (sentence(occurrence)) " " } }
    }
}

fn sentence(occurrence: &api::Occurrence) -> Markup {
    let api::Occurrence { at, event, members } = occurrence;
    let kid = members.kid.as_ref().map_or("", |kid| kid.as_str());
    html! {
        @match event {
            api::KeyEvent::KeyPublished => {
                (short_kid(kid)) " is published"
                @match members.ready_at.filter(|ready_at| ready_at.0 > at.0) {
                    Some(ready_at) => { "; it may sign " (moment::length(ready_at.0 - at.0)) " later." },
                    None if members.ready_at.is_none() => { " and waits until every copy has it." },
                    None => { " and may sign at once." },
                }
            },
            api::KeyEvent::AdoptionMissed => {
                "The rotation waits no longer for the verifiers that lack " (short_kid(kid)) "."
            },
            api::KeyEvent::KeyCanaryStarted => {
                (short_kid(kid)) " begins to sign a share of the tokens, as a canary"
                @if let Some(until) = members.until { ", for " (moment::length(until.0.saturating_sub(at.0))) } "."
            },
            api::KeyEvent::KeyCanaryStopped => { "The canary " (short_kid(kid)) " is taken back." },
            api::KeyEvent::KeyConfirmed => {
                "Every copy has " (short_kid(kid))
                @match members.ready_at.filter(|ready_at| ready_at.0 > at.0) {
                    Some(ready_at) => { "; it may sign " (moment::length(ready_at.0 - at.0)) " later." },
                    None => { ", and it may sign at once." },
                }
            },
            api::KeyEvent::KeyUnconfirmed => { (short_kid(kid)) " waits until every copy has it." },
            api::KeyEvent::KeyActivated if members.forced == Some(true) => {
                (short_kid(kid)) " begins to sign, before verifiers can know it."
            },
            api::KeyEvent::KeyActivated => { (short_kid(kid)) " begins to sign." },
            api::KeyEvent::KeyRetired => {
                (short_kid(kid)) " stops signing"
                @match members.published_until.filter(|until| until.0 > at.0) {
                    Some(until) => { " and stays in the set for " (moment::length(until.0 - at.0)) "." },
                    None => { "." },
                }
            },
            api::KeyEvent::KeyRemoved => { (short_kid(kid)) " leaves the set. Its last tokens have expired." },
            api::KeyEvent::KeyRevoked => { (short_kid(kid)) " is revoked." },
            api::KeyEvent::IssuerCreated => { "The issuer is created." },
            api::KeyEvent::IssuerDeleted => { "The issuer is deleted." },
            api::KeyEvent::PolicyChanged => { "The policy changes." },
        }
    }
}
