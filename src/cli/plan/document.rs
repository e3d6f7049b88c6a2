//! What will happen, in words: one line a moment.

use serde::Deserialize;

use super::timelines::CurrentKey;
use crate::cli::moment::{length, rfc3339, seen_from};
use crate::cli::short_names::ShortNames;
use crate::cli::table::columns;

/// A plan as the service answers it.
#[derive(Deserialize)]
pub(super) struct PlanDocument {
    pub(super) now: u64,
    pub(super) until: u64,
    pub(super) occurrences: Vec<PlannedEvent>,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// One event to come.
#[derive(Deserialize)]
pub(super) struct PlannedEvent {
    pub(super) at: u64,
    pub(super) event: String,
    pub(super) kid: Option<String>,
    pub(super) algorithm: Option<String>,
    ready_at: Option<u64>,
    published_until: Option<u64>,
    #[serde(default)]
    forced: bool,
}

impl PlanDocument {
    /// The short names of every key that the plan or `keys` mention.
    pub(super) fn names(&self, keys: &[CurrentKey]) -> ShortNames {
        let planned = self.occurrences.iter();
        let planned = planned.filter_map(|occurrence| occurrence.kid.as_deref());
        ShortNames::of(planned.chain(keys.iter().map(|key| key.kid.as_str())))
    }

    /// One line for each moment and algorithm.
    pub(super) fn event_list(&self, names: &ShortNames) -> String {
        let mut moments: Vec<(u64, &str, Vec<String>)> = Vec::new();
        for occurrence in &self.occurrences {
            let algorithm = occurrence.algorithm.as_deref().unwrap_or("-");
            let words = occurrence.words(names);
            match moments
                .iter_mut()
                .rev()
                .take_while(|(at, _, _)| *at == occurrence.at)
                .find(|(_, other, _)| *other == algorithm)
            {
                Some((_, _, told)) => told.push(words),
                None => moments.push((occurrence.at, algorithm, vec![words])),
            }
        }
        if moments.is_empty() {
            return format!("nothing happens until {}", rfc3339(self.until));
        }
        let rows = moments.into_iter().map(|(at, algorithm, told)| {
            [
                seen_from(self.now, at),
                rfc3339(at),
                algorithm.to_owned(),
                told.join("; "),
            ]
        });
        columns(["when", "at", "algorithm", "what happens"], rows)
    }
}

impl PlannedEvent {
    fn words(&self, names: &ShortNames) -> String {
        let kid = self.kid.as_deref().map_or("", |kid| names.short(kid));
        match self.event.as_str() {
            "issuer-created" => "the issuer is created".to_owned(),
            "policy-changed" => "the policy changes".to_owned(),
            "key-published" => match self.ready_at {
                Some(ready_at) if ready_at > self.at => format!(
                    "{kid} is published, ready after {}",
                    length(ready_at.saturating_sub(self.at))
                ),
                _ => format!("{kid} is published, ready at once"),
            },
            "key-activated" if self.forced => {
                format!("{kid} begins to sign, before verifiers can know it")
            }
            "key-activated" => format!("{kid} begins to sign"),
            "key-retired" => {
                let stays = self.published_until.unwrap_or(self.at);
                format!(
                    "{kid} stops signing, stays published for {}",
                    length(stays.saturating_sub(self.at))
                )
            }
            "key-removed" => format!("{kid} leaves the set"),
            "key-revoked" => format!("{kid} is revoked"),
            other => format!("{other} {kid}"),
        }
    }
}
