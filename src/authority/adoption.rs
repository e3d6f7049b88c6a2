//! Who holds the successors, added up over all replicas.
//!
//! Each replica has seen its own verifiers, and tells the others in its heartbeat how many of them hold which
//! successor. A verifier that reaches two replicas counts twice, and behind a CDN none is seen.
//!
//! A process that has just begun has seen none that holds an older set: whoever asks it is served the current one.
//! So it cannot tell until it has counted for as long as a set stays fresh, because by then each verifier that goes
//! by the headers has asked. Until then, and while a replica does not tell at all, gates stay shut for as long as
//! they may.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use keywright_verifier::Kid;
use serde::{Deserialize, Serialize};

use super::Authority;
use super::issuer::Issuer;
use crate::lifecycle::{
    Adoption, AdoptionWait, IssuerName, Key, KeySet, State, Timestamp, latest_rotation, plan,
};
use crate::store::replicas::ReplicaList;

/// The most issuers of which a heartbeat tells, those that rotate first: it is read by every replica.
const MOST_ISSUERS: usize = 256;

/// How many of the verifiers that one replica has seen hold which successor of an issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenHolders {
    pub(super) verifiers: u64,
    pub(super) holders: BTreeMap<Kid, u64>,
}

/// What a replica tells the others of the verifiers that it has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenByReplica {
    /// Since when it has counted, in milliseconds.
    since: u64,
    issuers: BTreeMap<IssuerName, SeenHolders>,
}

impl SeenByReplica {
    /// The member of a heartbeat's document.
    pub(super) const MEMBER: &str = "holders";

    /// What it has seen of an issuer, if it has counted for long enough to tell.
    fn of(&self, issuer: &IssuerName, counting_before: Timestamp) -> Option<&SeenHolders> {
        let is_old = Timestamp::from_millis(self.since) <= counting_before;
        self.issuers.get(issuer).filter(|_| is_old)
    }
}

/// What the other live replicas have told; `None` of one that does not tell.
#[derive(Default)]
pub(super) struct OtherReplicas(Mutex<Vec<Option<SeenByReplica>>>);

impl OtherReplicas {
    /// Takes over what the replicas that live have told, but for one.
    pub(super) fn update(&self, list: &ReplicaList, but_for: &str) {
        #[derive(Deserialize)]
        struct Told {
            holders: SeenByReplica,
        }
        let others = list
            .live()
            .filter(|one| one.heartbeat.replica != but_for)
            .map(|one| {
                let told = serde_json::from_str(&one.heartbeat.document);
                told.ok().map(|Told { holders }| holders)
            });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = others.collect();
    }

    /// What each has seen of an issuer.
    fn of(&self, issuer: &IssuerName, counting_before: Timestamp) -> Vec<Option<SeenHolders>> {
        let others = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = |other: &Option<SeenByReplica>| {
            let seen = other.as_ref()?.of(issuer, counting_before);
            seen.cloned()
        };
        others.iter().map(seen).collect()
    }
}

/// Adds up what replicas have seen.
fn added_up(replicas: impl IntoIterator<Item = Option<SeenHolders>>) -> Adoption {
    let (mut verifiers, mut uncounted) = (0_u64, 0_u64);
    let mut holders: BTreeMap<Kid, u64> = BTreeMap::new();
    for seen in replicas {
        let Some(seen) = seen else {
            uncounted += 1;
            continue;
        };
        verifiers = verifiers.saturating_add(seen.verifiers);
        for (kid, count) in seen.holders {
            let sum = holders.entry(kid).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    Adoption::observed(verifiers, holders, uncounted)
}

fn pending(set: &KeySet) -> impl Iterator<Item = &Kid> {
    let keys = set.keys().iter();
    keys.filter(|key| matches!(key.state(), State::Pending(_)))
        .map(Key::kid)
}

impl Authority {
    /// What the replicas know of who holds the successors of an issuer whose policy has a gate.
    pub(super) fn adoption(&self, issuer: &Issuer) -> Adoption {
        let snapshot = issuer.snapshot();
        let set = snapshot.set();
        if set.policy().adoption.is_none() {
            return Adoption::default();
        }
        let counting_before = self.now().before(set.policy().freshness());
        let own = self.seen_holders(issuer.name(), set);
        let own = (self.verifiers.since() <= counting_before).then_some(own);
        let others = self.replica.as_ref().map(|replica| {
            let others = replica.others();
            others.of(issuer.name(), counting_before)
        });
        added_up(others.into_iter().flatten().chain([own]))
    }

    /// The rotations of an issuer that are due and wait for verifiers.
    pub fn waiting_rotations(&self, issuer: &Issuer) -> Vec<AdoptionWait> {
        let adoption = self.adoption(issuer);
        plan(issuer.snapshot().set(), self.now(), &adoption).waits
    }

    fn seen_holders(&self, issuer: &IssuerName, set: &KeySet) -> SeenHolders {
        self.verifiers.holders(issuer, pending(set), self.now())
    }

    /// What this process tells the others of the verifiers that it has seen.
    pub(super) fn seen_by_this_replica(&self) -> SeenByReplica {
        let snapshots = self.issuers().into_iter().map(|issuer| issuer.snapshot());
        let mut gated: Vec<_> = snapshots
            .filter(|snapshot| snapshot.set().policy().adoption.is_some())
            .map(|snapshot| {
                let set = snapshot.set();
                let algorithms = set.policy().algorithms.iter();
                let rotates = algorithms.filter_map(|algorithm| latest_rotation(set, *algorithm));
                (rotates.min(), snapshot)
            })
            .collect();
        gated.sort_by_key(|(rotates, _)| *rotates);
        let issuers = gated.iter().take(MOST_ISSUERS).map(|(_, snapshot)| {
            let set = snapshot.set();
            let seen = self.seen_holders(set.issuer(), set);
            (set.issuer().clone(), seen)
        });
        SeenByReplica {
            since: self.verifiers.since().millis(),
            issuers: issuers.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::chain::LogHead;
    use crate::store::replicas::{Heartbeat, ReplicaRecord};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn replica(name: &str, document: String, seen_at: Timestamp) -> ReplicaRecord {
        ReplicaRecord {
            heartbeat: Heartbeat {
                replica: name.to_owned(),
                through: LogHead::BEGINNING,
                document,
            },
            is_on_log: true,
            seen_at,
        }
    }

    fn seen(since: u64, verifiers: u64, holders: u64) -> String {
        let holders = serde_json::json!({"successor": holders});
        let shop = serde_json::json!({"verifiers": verifiers, "holders": holders});
        serde_json::json!({
            "time": 1, SeenByReplica::MEMBER: {"since": since * 1000, "issuers": {"shop": shop}}
        })
        .to_string()
    }

    #[test]
    fn what_live_replicas_have_seen_is_added_up_and_one_that_does_not_tell_is_counted() {
        let list = ReplicaList {
            now: at(1000),
            head: LogHead::BEGINNING,
            max_staleness: Some(Duration::from_secs(30)),
            since: at(0),
            replicas: vec![
                replica("ours", seen(0, 50, 0), at(999)),
                replica("one", seen(0, 10, 9), at(999)),
                replica("two", seen(800, 5, 5), at(999)),
                replica("late", seen(950, 7, 7), at(999)),
                replica("old build", "{\"time\":1}".to_owned(), at(999)),
                replica("dead", seen(0, 70, 0), at(900)),
            ],
        };
        let others = OtherReplicas::default();
        others.update(&list, "ours");
        let shop = IssuerName::parse("shop").unwrap();
        let adoption = added_up(others.of(&shop, at(900)));
        let holders = adoption.of(&Kid::parse("successor").unwrap());
        assert_eq!((holders.holders, holders.verifiers), (14, 15));
        assert_eq!(
            holders.uncounted_replicas, 2,
            "the late one and the old build"
        );
        let other = IssuerName::parse("other").unwrap();
        let adoption = added_up(others.of(&other, at(900)));
        let holders = adoption.of(&Kid::parse("successor").unwrap());
        assert_eq!((holders.verifiers, holders.uncounted_replicas), (0, 4));
    }
}
