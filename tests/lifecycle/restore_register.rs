//! What was served at every earlier moment, written down then, to be held against what the records
//! tell about it afterwards.

use std::collections::BTreeMap;

use keywright::lifecycle::{KeySet, Timestamp};
use keywright_verifier::Kid;

/// What was so at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ServedState {
    published: Vec<Kid>,
    states: Vec<(Kid, &'static str)>,
}

/// The moments of a life, by the instants that the clock showed.
#[derive(Default)]
pub(crate) struct Recollection(BTreeMap<Timestamp, ServedState>);

/// What is told later of a state: that a canary signed.
fn told_later(state: &'static str) -> &'static str {
    match state {
        "canary" => "active",
        state => state,
    }
}

impl Recollection {
    /// Writes down what is served when the clock shows `now`.
    pub(crate) fn note(&mut self, view: &KeySet, now: Timestamp) {
        let states = view
            .keys()
            .iter()
            .map(|key| (key.kid().clone(), told_later(key.state().name())));
        let time = ServedState {
            published: view.published(now).map(|key| key.kid().clone()).collect(),
            states: states.collect(),
        };
        self.0.insert(now, time);
    }

    /// A clock that was set back made a change while it showed `now`: whatever it showed from then
    /// on happens anew.
    pub(crate) fn forget_from(&mut self, now: Timestamp) {
        self.0.split_off(&now);
    }

    /// What was served is not known from the records any more.
    pub(crate) fn forget_all(&mut self) {
        self.0.clear();
    }

    /// Asks the records about every moment.
    pub(crate) fn compare(&self, set: &KeySet) -> Result<(), String> {
        for (at, noted) in &self.0 {
            let keys = set
                .keys_at(*at)
                .ok_or_else(|| format!("nothing is known of {at:?}"))?;
            let published = keys.iter().filter(|past| past.was_published);
            let told = ServedState {
                published: published.map(|past| past.key.kid().clone()).collect(),
                states: keys
                    .iter()
                    .map(|past| (past.key.kid().clone(), past.state.as_str()))
                    .collect(),
            };
            if told != *noted {
                return Err(format!("of {at:?} is told {told:?}, but it was {noted:?}"));
            }
        }
        Ok(())
    }
}
