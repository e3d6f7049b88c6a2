//! The verifiers of this world, as they cache: the client defaults that each project documents.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use keywright::lifecycle::{KeySet, Timestamp};
use keywright_verifier::Kid;

use super::expected_state::Facts;

/// A JWKS response.
#[derive(Clone)]
pub(crate) struct Response {
    kids: Rc<BTreeSet<Kid>>,
    served_at: Timestamp,
    max_age: Duration,
    stale_if_error: Duration,
}

impl Response {
    pub(crate) fn of(view: &KeySet, now: Timestamp) -> Self {
        Self {
            kids: Rc::new(view.published(now).map(|key| key.kid().clone()).collect()),
            served_at: now,
            max_age: view.policy().jwks_max_age,
            stale_if_error: view.policy().stale_if_error,
        }
    }

    /// A copy with these keys, as it is given to a reader now.
    pub(crate) fn of_kids(kids: BTreeSet<Kid>, now: Timestamp, freshness: Duration) -> Self {
        Self {
            kids: Rc::new(kids),
            served_at: now,
            max_age: freshness,
            stale_if_error: Duration::ZERO,
        }
    }

    /// The same, given to another reader later.
    pub(crate) fn served_again(&self, now: Timestamp) -> Self {
        Self {
            served_at: now,
            ..self.clone()
        }
    }

    pub(crate) fn kids(&self) -> &BTreeSet<Kid> {
        &self.kids
    }

    pub(crate) fn freshness(&self) -> Duration {
        self.max_age + self.stale_if_error
    }

    /// Until when a cache that reads headers uses it.
    fn usable_until(&self, outage: bool) -> Timestamp {
        let window = if outage {
            self.freshness()
        } else {
            self.max_age
        };
        self.served_at.after(window)
    }
}

/// How long a verifier keeps a set.
#[derive(Clone, Copy)]
enum Keeps {
    /// As long as the headers allow, and at least so long.
    AsToldOrAtLeast(Duration),
    /// So long, whatever the headers say.
    For(Duration),
    /// Until it misses a key.
    UntilMiss,
}

/// What a verifier does with a `kid` that it does not hold.
#[derive(Clone, Copy)]
enum OnMiss {
    Refuses,
    /// Asks again, but not within so long of the last time that it asked.
    Refetches(Duration),
}

/// One verifier and what it holds.
pub(crate) struct Verifier {
    pub(crate) name: &'static str,
    keeps: Keeps,
    on_miss: OnMiss,
    /// Whether its requests pass a shared cache that reads headers.
    behind_cache: bool,
    held: Option<Held>,
}

struct Held {
    response: Response,
    fetched_at: Timestamp,
}

/// What verifiers can reach: the issuer, unless there is an outage, and a shared cache before it.
pub(crate) struct Network {
    pub(crate) outage: bool,
    pub(crate) cached: Option<Response>,
}

impl Network {
    /// What has gone stale does not come back when the clock is set back.
    pub(crate) fn evict_stale(&mut self, now: Timestamp) {
        self.cached
            .take_if(|cached| now >= cached.usable_until(true));
    }

    /// What was fetched in a future that was taken back and forgotten is lost.
    pub(crate) fn forget_after(&mut self, latest: Timestamp) {
        self.cached.take_if(|cached| cached.served_at > latest);
    }

    fn fetch(&mut self, origin: &Response, through_cache: bool) -> Option<Response> {
        if !through_cache {
            return (!self.outage).then(|| origin.clone());
        }
        let now = origin.served_at;
        let usable = |cached: &&Response| now < cached.usable_until(self.outage);
        if let Some(cached) = self.cached.as_ref().filter(usable) {
            return Some(cached.clone());
        }
        if !self.outage {
            self.cached = Some(origin.clone());
            return self.cached.clone();
        }
        None
    }
}

const SECOND: Duration = Duration::from_secs(1);

impl Verifier {
    /// The client table of the caching arithmetic.
    pub(crate) fn all() -> Vec<Self> {
        let minutes = |count: u32| SECOND * 60 * count;
        let verifier = |name, keeps, on_miss| Self {
            name,
            keeps,
            on_miss,
            behind_cache: false,
            held: None,
        };
        let behind_cache = |verifier| Self {
            behind_cache: true,
            ..verifier
        };
        use Keeps::{AsToldOrAtLeast, For, UntilMiss};
        use OnMiss::{Refetches, Refuses};
        vec![
            verifier("as told", AsToldOrAtLeast(Duration::ZERO), Refuses),
            verifier("go-oidc", UntilMiss, Refetches(Duration::ZERO)),
            verifier("PyJWT", For(minutes(5)), Refetches(Duration::ZERO)),
            verifier("Nimbus", For(minutes(5)), Refetches(SECOND * 30)),
            verifier("panva/jose", For(minutes(10)), Refetches(SECOND * 30)),
            verifier("Envoy", For(minutes(10)), Refuses),
            verifier("jwx", AsToldOrAtLeast(minutes(15)), Refuses),
            verifier("Istio", For(minutes(20)), Refuses),
            verifier("keyfunc", For(minutes(60)), Refetches(minutes(5))),
            verifier("AWS HTTP API", For(minutes(120)), Refuses),
            verifier("Microsoft", For(minutes(720)), Refetches(minutes(5))),
            behind_cache(verifier("Envoy, cached", For(minutes(10)), Refuses)),
            behind_cache(verifier("AWS, cached", For(minutes(120)), Refuses)),
            behind_cache(verifier(
                "panva, cached",
                For(minutes(10)),
                Refetches(SECOND * 30),
            )),
        ]
    }

    /// Those that read a copy alone: as long as it is fresh, or for ten minutes.
    pub(crate) fn of_copies() -> Vec<Self> {
        let all = Self::all().into_iter();
        let reads_copies = |verifier: &Self| ["as told", "Envoy"].contains(&verifier.name);
        all.filter(reads_copies).collect()
    }

    /// A new instance of it starts with an empty cache and fetches at once.
    pub(crate) fn starts(&mut self, network: &mut Network, origin: &Response) {
        self.held = None;
        self.fetch(network, origin);
    }

    /// Whether it finds the key of a token, fetching if that is its habit. `None` when it has no
    /// set at all, because of an outage.
    pub(crate) fn finds(
        &mut self,
        kid: &Kid,
        network: &mut Network,
        origin: &Response,
    ) -> Option<bool> {
        let now = origin.served_at;
        if !self.usable(now, false) {
            self.fetch(network, origin);
        }
        if !self.usable(now, network.outage) {
            return None;
        }
        let held = self.held.as_ref()?;
        if held.response.kids.contains(kid) {
            return Some(true);
        }
        if let OnMiss::Refetches(cool_down) = self.on_miss
            && now >= held.fetched_at.after(cool_down)
        {
            self.fetch(network, origin);
        }
        Some(self.held.as_ref()?.response.kids.contains(kid))
    }

    /// Whether the lead was long enough for this verifier to know the key: its own cache and the
    /// freshness of what it holds fit into it. Reading the headers alone always suffices.
    pub(crate) fn must_know(&self, facts: &Facts, overlap: Duration) -> bool {
        let Some((activation, held)) = facts.activation.as_ref().zip(self.held.as_ref()) else {
            return false;
        };
        if activation.excused {
            return false;
        }
        let shared = if self.behind_cache {
            held.response.freshness()
        } else {
            Duration::ZERO
        };
        match self.keeps {
            Keeps::UntilMiss => false,
            Keeps::AsToldOrAtLeast(least) if least <= held.response.freshness() => true,
            Keeps::AsToldOrAtLeast(own) | Keeps::For(own) => {
                own + shared + overlap <= activation.lead
            }
        }
    }

    /// What has gone stale does not come back when the clock is set back.
    pub(crate) fn evict_stale(&mut self, now: Timestamp) {
        if !self.usable(now, true) {
            self.held = None;
        }
    }

    /// What a verifier fetched in a future that was taken back and forgotten, it loses.
    pub(crate) fn forget_after(&mut self, latest: Timestamp) {
        self.held.take_if(|held| held.fetched_at > latest);
    }

    fn usable(&self, now: Timestamp, outage: bool) -> bool {
        self.held.as_ref().is_some_and(|held| match self.keeps {
            Keeps::UntilMiss => true,
            Keeps::For(own) => now < held.fetched_at.after(own),
            Keeps::AsToldOrAtLeast(least) => {
                let told = held.response.usable_until(outage);
                now < told.max(held.fetched_at.after(least))
            }
        })
    }

    fn fetch(&mut self, network: &mut Network, origin: &Response) {
        if let Some(response) = network.fetch(origin, self.behind_cache) {
            self.held = Some(Held {
                response,
                fetched_at: origin.served_at,
            });
        }
    }
}
