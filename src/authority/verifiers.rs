//! Who verifies with what: the verifiers that fetch key sets from this process, and which set each of them
//! was served last.
//!
//! A verifier is told by its address, its `User-Agent` and its client certificate; those that share all
//! three are one. What is kept is bounded for each address, each issuer and all issuers together: what finds
//! no room is counted and not shown, so that invented verifiers push no other one out.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keywright_verifier::Kid;

use super::Authority;
use super::adoption::SeenHolders;
use super::issuer::Issuer;
use super::publication::ServedKeySet;
use super::throttle::network;
use crate::lifecycle::{IssuerName, Timestamp};

/// The most verifiers of an issuer.
const MOST_OF_AN_ISSUER: usize = 1024;
/// The most verifiers of one address that are told apart, for each issuer.
const MOST_OF_AN_ADDRESS: usize = 16;
/// The most verifiers of all issuers.
const MOST: usize = 65_536;
/// The longest `User-Agent` that is kept, in bytes. Of a longer one this much is.
const LONGEST_USER_AGENT: usize = 128;
/// A verifier that does not ask for so long is forgotten.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// What tells a verifier from others.
#[derive(Debug, Clone, Copy, Hash)]
pub struct Asking<'r> {
    /// The address that its connection comes from: a proxy's, if one is between.
    pub address: IpAddr,
    /// Its `User-Agent`; empty without one.
    pub user_agent: &'r [u8],
    /// The SHA-256 thumbprint of its client certificate.
    pub certificate: Option<&'r [u8; 32]>,
}

/// A verifier, and what it was served.
#[derive(Debug, Clone)]
pub struct ObservedVerifier {
    /// Its address, of IPv6 its network of 64 bits.
    pub address: IpAddr,
    /// Its `User-Agent`.
    pub user_agent: String,
    /// The SHA-256 thumbprint of its client certificate.
    pub certificate: Option<[u8; 32]>,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it asked last.
    pub seen_at: Timestamp,
    /// How often it has asked.
    pub requests: u64,
    /// The key set that it has: it was served these bytes, or has named their tag.
    pub holds: Arc<ServedKeySet>,
    /// Whether it has named the tag of that key set, so that it certainly has it.
    pub is_confirmed: bool,
}

/// Who fetches an issuer's key set.
#[derive(Debug, Clone, Default)]
pub struct ObservedVerifiers {
    /// The verifiers, those that asked last first.
    pub verifiers: Vec<ObservedVerifier>,
    /// Requests of verifiers that found no room.
    pub unrecorded_requests: u64,
}

#[derive(Default)]
struct OfIssuer {
    verifiers: HashMap<u64, ObservedVerifier>,
    unrecorded_requests: u64,
}

#[derive(Default)]
struct Known {
    issuers: HashMap<IssuerName, OfIssuer>,
    count: usize,
}

/// The verifiers that this process has seen, by issuer.
#[derive(Default)]
pub(super) struct VerifierLog {
    /// Since when it has looked.
    since: Timestamp,
    hasher: RandomState,
    known: Mutex<Known>,
}

impl VerifierLog {
    /// One that looks from now on.
    pub(super) fn beginning_at(now: Timestamp) -> Self {
        Self {
            since: now,
            ..Self::default()
        }
    }

    /// Since when it has looked.
    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(
        &self,
        issuer: &IssuerName,
        asking: Asking<'_>,
        served: &Arc<ServedKeySet>,
        is_confirmed: bool,
        now: Timestamp,
    ) {
        let user_agent = asking.user_agent;
        let user_agent = user_agent.get(..LONGEST_USER_AGENT).unwrap_or(user_agent);
        let asking = Asking {
            address: network(asking.address.to_canonical()),
            user_agent,
            ..asking
        };
        let id = self.hasher.hash_one(asking);
        let known = &mut *self.lock();
        if !known.issuers.contains_key(issuer) {
            known.issuers.insert(issuer.clone(), OfIssuer::default());
        }
        let Some(of_issuer) = known.issuers.get_mut(issuer) else {
            return;
        };
        if let Some(verifier) = of_issuer.verifiers.get_mut(&id) {
            verifier.seen_at = now;
            verifier.requests += 1;
            // What was confirmed stays so for as long as the same is served.
            verifier.is_confirmed =
                is_confirmed || (verifier.is_confirmed && verifier.holds.etag == served.etag);
            if !Arc::ptr_eq(&verifier.holds, served) {
                verifier.holds = Arc::clone(served);
            }
            return;
        }
        let beside = of_issuer.verifiers.values();
        let beside = beside.filter(|verifier| verifier.address == asking.address);
        if known.count >= MOST
            || of_issuer.verifiers.len() >= MOST_OF_AN_ISSUER
            || beside.count() >= MOST_OF_AN_ADDRESS
        {
            of_issuer.unrecorded_requests += 1;
            return;
        }
        known.count += 1;
        let verifier = ObservedVerifier {
            address: asking.address,
            user_agent: String::from_utf8_lossy(user_agent).into_owned(),
            certificate: asking.certificate.copied(),
            first_seen_at: now,
            seen_at: now,
            requests: 1,
            holds: Arc::clone(served),
            is_confirmed,
        };
        of_issuer.verifiers.insert(id, verifier);
    }

    /// Forgets those that have not asked for long, and issuers that are gone.
    fn forget(&self, is_there: impl Fn(&IssuerName) -> bool, now: Timestamp) {
        let known = &mut *self.lock();
        known.issuers.retain(|issuer, of_issuer| {
            let verifiers = &mut of_issuer.verifiers;
            verifiers.retain(|_, verifier| now.since(verifier.seen_at) < KEPT_FOR);
            is_there(issuer)
        });
        let issuers = known.issuers.values();
        known.count = issuers.map(|of_issuer| of_issuer.verifiers.len()).sum();
    }

    /// How many have the key set that is served now, and how many an earlier one.
    pub(super) fn count(&self, issuer: &IssuerName, served: &ServedKeySet) -> (usize, usize) {
        let known = self.lock();
        let Some(of_issuer) = known.issuers.get(issuer) else {
            return (0, 0);
        };
        let verifiers = of_issuer.verifiers.values();
        let current = verifiers.filter(|verifier| verifier.holds.etag == served.etag);
        let current = current.count();
        (current, of_issuer.verifiers.len() - current)
    }

    /// How many there are, and how many of them hold each of these keys.
    pub(super) fn holders<'k>(
        &self,
        issuer: &IssuerName,
        kids: impl Iterator<Item = &'k Kid>,
        now: Timestamp,
    ) -> SeenHolders {
        let known = self.lock();
        let of_issuer = known.issuers.get(issuer);
        let verifiers = || {
            let all = of_issuer.into_iter().flat_map(|one| one.verifiers.values());
            all.filter(|verifier| now.since(verifier.seen_at) < KEPT_FOR)
        };
        let holders = kids.map(|kid| {
            let holding = verifiers().filter(|verifier| verifier.holds.kids.contains(kid));
            (kid.clone(), holding.count() as u64)
        });
        SeenHolders {
            holders: holders.collect(),
            verifiers: verifiers().count() as u64,
        }
    }

    fn of(&self, issuer: &IssuerName) -> ObservedVerifiers {
        let known = self.lock();
        let Some(of_issuer) = known.issuers.get(issuer) else {
            return ObservedVerifiers::default();
        };
        let mut verifiers: Vec<_> = of_issuer.verifiers.values().cloned().collect();
        verifiers.sort_by(|one, other| {
            let by_time = other.seen_at.cmp(&one.seen_at);
            by_time.then_with(|| one.user_agent.cmp(&other.user_agent))
        });
        ObservedVerifiers {
            verifiers,
            unrecorded_requests: of_issuer.unrecorded_requests,
        }
    }
}

impl Authority {
    /// Remembers that a verifier was served the key set of this issuer: all of it, or that nothing is new
    /// since what it has.
    pub fn record_verifier(
        &self,
        issuer: &Issuer,
        asking: Asking<'_>,
        served: &Arc<ServedKeySet>,
        is_confirmed: bool,
    ) {
        let now = self.now();
        self.verifiers
            .record(issuer.name(), asking, served, is_confirmed, now);
    }

    /// Who has fetched this issuer's key set from this process in the last 24 hours.
    pub fn observed_verifiers(&self, issuer: &IssuerName) -> ObservedVerifiers {
        let mut observed = self.verifiers.of(issuer);
        let now = self.now();
        let verifiers = &mut observed.verifiers;
        verifiers.retain(|verifier| now.since(verifier.seen_at) < KEPT_FOR);
        observed
    }

    /// Forgets verifiers that have not asked for long.
    pub(super) fn forget_verifiers(&self) {
        let is_there = |issuer: &IssuerName| self.issuer(issuer.as_str()).is_ok();
        self.verifiers.forget(is_there, self.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(etag: &str) -> Arc<ServedKeySet> {
        Arc::new(ServedKeySet {
            etag: etag.to_owned(),
            kids: Vec::new(),
        })
    }

    fn asking(address: u32, user_agent: &str) -> Asking<'_> {
        Asking {
            address: IpAddr::from(address.to_be_bytes()),
            user_agent: user_agent.as_bytes(),
            certificate: None,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_verifier_holds_what_it_was_served_last() {
        let (log, shop) = (VerifierLog::default(), IssuerName::parse("shop").unwrap());
        let (old, new) = (served("old"), served("new"));
        log.record(&shop, asking(1, "a"), &old, false, at(10));
        log.record(&shop, asking(2, "a"), &old, false, at(11));
        log.record(&shop, asking(1, "a"), &old, true, at(12));
        log.record(&shop, asking(1, "a"), &old, false, at(13));
        let of = |address: [u8; 4]| {
            let mut verifiers = log.of(&shop).verifiers.into_iter();
            let found = verifiers.find(|verifier| verifier.address == IpAddr::from(address));
            found.unwrap()
        };
        assert!(of([0, 0, 0, 1]).is_confirmed, "as long as nothing is new");
        assert!(!of([0, 0, 0, 2]).is_confirmed);
        log.record(&shop, asking(1, "a"), &new, false, at(14));
        let first = of([0, 0, 0, 1]);
        assert_eq!((&*first.holds.etag, first.is_confirmed), ("new", false));
        assert_eq!((first.first_seen_at, first.seen_at), (at(10), at(14)));
        assert_eq!(first.requests, 4);
        assert_eq!(of([0, 0, 0, 2]).holds.etag, "old");
        let other = IssuerName::parse("other").unwrap();
        assert!(log.of(&other).verifiers.is_empty());
    }

    #[test]
    fn invented_verifiers_push_no_other_one_out_and_are_counted() {
        let (log, shop) = (VerifierLog::default(), IssuerName::parse("shop").unwrap());
        let set = served("set");
        log.record(&shop, asking(7, "real"), &set, false, at(1));
        for invented in 0..100 {
            let name = format!("invented {invented}");
            log.record(&shop, asking(9, &name), &set, false, at(2));
        }
        let known = log.of(&shop);
        assert_eq!(known.verifiers.len(), 1 + MOST_OF_AN_ADDRESS);
        assert_eq!(known.unrecorded_requests, 100 - 16);
        for address in 1000..3000 {
            log.record(&shop, asking(address, "bot"), &set, false, at(3));
        }
        let known = log.of(&shop);
        assert_eq!(known.verifiers.len(), MOST_OF_AN_ISSUER);
        let mut verifiers = known.verifiers.iter();
        assert!(verifiers.any(|verifier| verifier.user_agent == "real"));
        // One that is known is still seen.
        log.record(&shop, asking(7, "real"), &set, false, at(4));
        assert_eq!(log.of(&shop).verifiers[0].user_agent, "real");
        for number in 0..200 {
            let issuer = IssuerName::parse(&format!("issuer-{number}")).unwrap();
            for address in 0..1000 {
                log.record(&issuer, asking(address, "bot"), &set, false, at(5));
            }
        }
        assert_eq!(log.lock().count, MOST);
    }

    #[test]
    fn what_is_long_is_cut_and_networks_count_as_one() {
        let (log, shop) = (VerifierLog::default(), IssuerName::parse("shop").unwrap());
        let long = "x".repeat(1000);
        for address in [
            "2001:db8::1",
            "2001:db8::2",
            "::ffff:192.0.2.1",
            "192.0.2.1",
        ] {
            let asking = Asking {
                address: address.parse().unwrap(),
                ..asking(0, &long)
            };
            log.record(&shop, asking, &served("set"), false, at(1));
        }
        let known = log.of(&shop).verifiers;
        assert_eq!(known.len(), 2);
        assert!(
            known
                .iter()
                .all(|verifier| verifier.user_agent.len() == LONGEST_USER_AGENT)
        );
    }

    #[test]
    fn who_does_not_ask_for_a_day_is_forgotten_and_makes_room() {
        let (log, shop) = (VerifierLog::default(), IssuerName::parse("shop").unwrap());
        log.record(&shop, asking(1, "a"), &served("set"), false, at(0));
        log.record(&shop, asking(2, "a"), &served("set"), false, at(3600));
        log.forget(|_| true, at(24 * 3600));
        assert_eq!(log.of(&shop).verifiers.len(), 1);
        assert_eq!(log.lock().count, 1);
        log.forget(|_| false, at(24 * 3600));
        assert_eq!(log.lock().count, 0);
        assert!(log.lock().issuers.is_empty());
    }
}
