//! Keys from the issuer, kept fresh in the background.
//!
//! One task does all the fetching, so two fetches are never under way at once. A verifier only
//! reads the set that the task has published, and may request a fetch: when a token names a key that is
//! not in the set, the task fetches once more, at most once per cool-down, however many tokens ask.

mod cache;
mod fetch;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};

use crate::JwkSet;
use crate::background::{Task, jitter, supervised};
use crate::clock::{self, ClockReading};
use crate::http::{FetchError, HttpClient, InvalidAddress, Location, Roots};
use crate::keys::KeysUnavailable;
use cache::{Cache, Limits};
use fetch::{FetchResult, Fetcher};

/// An issuer's keys, fetched from the issuer and kept fresh in the background.
///
/// While the issuer answers, tokens are verified with a set that is never older than its
/// `Cache-Control` says. While it does not, they are verified with the last good set up to the stated
/// limit ([`RemoteKeysBuilder::stale_limit`]); a client does not notice a shorter outage. A response
/// that is not a JWK set replaces nothing.
///
/// Clones share one cache. When the last one is dropped, the fetching ends.
#[derive(Clone)]
pub struct RemoteKeys {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    _task: Arc<Task>,
}

/// The settings of [`RemoteKeys`] before it starts.
#[derive(Clone, Debug)]
#[must_use = "nothing is fetched before `start`"]
pub struct RemoteKeysBuilder {
    location: Result<Location, InvalidAddress>,
    limits: Limits,
    timeout: Duration,
    roots: Roots,
}

impl RemoteKeys {
    /// Finds the keys by the issuer's metadata (OpenID Connect Discovery §4, RFC 8414 §3), which must
    /// name exactly this issuer.
    ///
    /// `issuer` is an https URL without query and fragment, as the tokens have it; http is for this
    /// machine alone.
    pub fn of_issuer(issuer: &str) -> RemoteKeysBuilder {
        RemoteKeysBuilder::new(Location::of_issuer(issuer))
    }

    /// Fetches the keys from this address.
    ///
    /// `url` is an https URL; http is for this machine alone.
    pub fn at(url: &str) -> RemoteKeysBuilder {
        RemoteKeysBuilder::new(Location::at(url))
    }

    /// Waits until keys are there, or a fetch has failed. For a start that is to be ready when it says
    /// so; verifying waits by itself.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`]; [`RemoteKeys::last_error`] says why. Fetching goes on.
    pub async fn ready(&self) -> Result<(), KeysUnavailable> {
        match self.cached() {
            Ok(_) => Ok(()),
            Err(_) => self.refetched().await.map(drop),
        }
    }

    /// Whether there are keys that tokens are verified with now.
    pub fn has_keys(&self) -> bool {
        self.cached().is_ok()
    }

    /// How old the set at hand is; `None` before the first.
    pub fn age(&self) -> Option<Duration> {
        self.shared.cache().age(self.shared.now())
    }

    /// Why the last fetch failed; `None` when it did not.
    pub fn last_error(&self) -> Option<Arc<FetchError>> {
        self.shared.cache().last_error().cloned()
    }

    pub(super) fn cached(&self) -> Result<Arc<JwkSet>, KeysUnavailable> {
        // Before the cache, which is written before the number goes up.
        let ended = self.progress.borrow().ended;
        let cache = self.shared.cache();
        let now = self.shared.now();
        match cache.usable(now) {
            Some(usable) => {
                if !usable.is_fresh && cache.is_due(now) {
                    // The task may have slept through it with the machine.
                    self.shared.request_fetch(ended);
                }
                Ok(Arc::clone(usable.keys))
            }
            None if cache.was_never_filled() => Err(KeysUnavailable::NeverFetched),
            None => Err(KeysUnavailable::TooOld),
        }
    }

    /// The keys after a fetch that is under way, or that this causes when the cool-down allows it;
    /// without either, the keys at hand, which may have come since the caller looked.
    pub(super) async fn refetched(&self) -> Result<Arc<JwkSet>, KeysUnavailable> {
        let is_fetching = self.progress.borrow().is_fetching;
        if !is_fetching && !self.shared.cache().may_fetch(self.shared.now()) {
            return self.cached();
        }
        self.refetched_outside_cool_down().await
    }

    /// The keys after a fetch that is under way, or that this causes. How often is for the caller to
    /// limit.
    pub(crate) async fn refetched_outside_cool_down(&self) -> Result<Arc<JwkSet>, KeysUnavailable> {
        let mut progress = self.progress.clone();
        let seen = *progress.borrow_and_update();
        if !seen.is_fetching {
            self.shared.request_fetch(seen.ended);
        }
        // A requested fetch is made, unless it has ended already, so there is an end to wait for. It comes at the timeout at the latest. An error says that the task is gone, and
        // nothing will come.
        let _ = progress
            .wait_for(|progress| progress.ended > seen.ended)
            .await
            .map(drop);
        self.cached()
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RemoteKeys")
            .field("location", &self.shared.location)
            .finish_non_exhaustive()
    }
}

impl RemoteKeysBuilder {
    fn new(location: Result<Location, InvalidAddress>) -> Self {
        Self {
            location,
            limits: Limits {
                fresh: Duration::from_secs(10)..=Duration::from_secs(3600),
                stale: Duration::from_secs(3600),
                cool_down: Duration::from_secs(30),
            },
            timeout: Duration::from_secs(5),
            roots: Roots::default(),
        }
    }

    /// The bounds for what `Cache-Control` says. Default: 10 s to 1 h. Without `max-age` a set is fresh
    /// for 5 minutes. The lower bound is at least 1 s.
    ///
    /// A long freshness keeps a revoked key in use; a short one asks the issuer often.
    pub fn freshness(mut self, bounds: RangeInclusive<Duration>) -> Self {
        self.limits.fresh = bounds;
        self
    }

    /// How long a set stays in use after its freshness, when no newer one can be had. Default: 1 h.
    ///
    /// It is the longest outage of the issuer that users do not notice, and the longest time that an
    /// attacker who can cut the network keeps a revoked key in use.
    pub fn stale_limit(mut self, limit: Duration) -> Self {
        self.limits.stale = limit;
        self
    }

    /// How long after a fetch a token with an unknown `kid` causes no other. Default: 30 s.
    ///
    /// An issuer that signs with a key as soon as it publishes it needs this to be short; keywright
    /// publishes a key long before. An attacker who sends tokens can make this verifier fetch once
    /// per cool-down and no more often; with zero, all the time.
    pub fn cool_down(mut self, cool_down: Duration) -> Self {
        self.limits.cool_down = cool_down;
        self
    }

    /// How long a fetch may take, from the first name to the last byte. Default: 5 s. A token whose
    /// key is not at hand waits no longer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Trusts these certificate authorities in addition to those of the system. `pem` holds one or
    /// more.
    ///
    /// # Errors
    ///
    /// [`RemoteKeysError::Certificates`] when it holds none, or what it holds is garbled.
    pub fn trust_certificates(mut self, pem: &[u8]) -> Result<Self, RemoteKeysError> {
        self.roots.add(pem).ok_or(RemoteKeysError::Certificates)?;
        Ok(self)
    }

    /// Trusts these certificate authorities, and not those of the system. `pem` holds one or more.
    ///
    /// # Errors
    ///
    /// [`RemoteKeysError::Certificates`] when it holds none, or what it holds is garbled.
    pub fn trust_only_certificates(mut self, pem: &[u8]) -> Result<Self, RemoteKeysError> {
        self.roots = Roots::only(pem).ok_or(RemoteKeysError::Certificates)?;
        Ok(self)
    }

    /// Fetches the keys once, for a single check, in the tokio runtime that this is called in. Of the
    /// settings only the timeout and the certificates matter.
    ///
    /// # Errors
    ///
    /// [`RemoteKeysError::Fetch`] when no keys came, or as for [`RemoteKeysBuilder::start`].
    pub async fn fetch(self) -> Result<JwkSet, RemoteKeysError> {
        let mut fetcher = self.fetcher()?;
        let now = ClockReading::now(clock::monotonic());
        match fetcher.fetch(None, now).await? {
            FetchResult::Set { keys, .. } => Ok(keys),
            // No tag was sent that something could be unchanged since.
            FetchResult::Unchanged { .. } => Err(FetchError::Status(304).into()),
        }
    }

    fn fetcher(self) -> Result<Fetcher, RemoteKeysError> {
        let location = self.location?;
        if self.timeout.is_zero() {
            return Err(RemoteKeysError::Timeout);
        }
        let client = HttpClient::new(&location, self.roots)
            .map_err(|error| RemoteKeysError::Setup(Box::new(error)))?;
        Ok(Fetcher::new(client, location, self.timeout))
    }

    /// Starts fetching, in a task of the tokio runtime that this is called in, which must have its clock
    /// and its network enabled. Does not wait. When that runtime ends, so does the fetching: the keys at
    /// hand serve up to their limit.
    ///
    /// # Errors
    ///
    /// [`RemoteKeysError`]: an address that keys may not be fetched from, bounds that are none, a
    /// timeout of zero, no tokio runtime, or no trusted certificates on this machine.
    pub fn start(self) -> Result<RemoteKeys, RemoteKeysError> {
        let location = self.location.clone()?;
        let limits = self.limits.clone();
        if limits.fresh.is_empty() || *limits.fresh.start() < Duration::from_secs(1) {
            return Err(RemoteKeysError::Freshness);
        }
        let runtime = Handle::try_current().map_err(|_| RemoteKeysError::NoRuntime)?;
        let fetcher = self.fetcher()?;
        let shared = Arc::new(Shared {
            location,
            since: clock::monotonic(),
            cache: RwLock::new(Arc::new(Cache::new(limits))),
            requested: watch::Sender::new(0),
        });
        let (reporter, progress) = watch::channel(Progress::default());
        let fetcher = Arc::new(Mutex::new(fetcher));
        let to_keep_fresh = Arc::clone(&shared);
        let task = runtime.spawn(supervised(move || {
            keep_fresh(
                Arc::clone(&to_keep_fresh),
                Arc::clone(&fetcher),
                reporter.clone(),
            )
        }));
        Ok(RemoteKeys {
            shared,
            progress,
            _task: Arc::new(Task(task)),
        })
    }
}

/// Why keys cannot be fetched with these settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteKeysError {
    /// The address is refused.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The bounds of the freshness are empty, or start below 1 s.
    #[error("the freshness must be bounded from below by 1 s or more")]
    Freshness,
    /// Nothing can be fetched in no time.
    #[error("the timeout must be longer than zero")]
    Timeout,
    /// The PEM text holds no certificate, or a garbled one.
    #[error("no certificate could be read")]
    Certificates,
    /// There is no tokio runtime.
    #[error("keys are fetched in a tokio runtime, and this is none")]
    NoRuntime,
    /// TLS could not be set up: often, this machine has no trusted certificates.
    #[error("the HTTP client could not be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A single fetch brought no keys.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// What the task and the verifying share.
struct Shared {
    location: Location,
    since: Instant,
    /// Replaced whole after each fetch, by the task alone.
    cache: RwLock<Arc<Cache>>,
    /// The number of the fetch that was requested last, the first being 1. The request was allowed at
    /// that time: to decide again could skip it, because a clock was set back, while a caller waits.
    requested: watch::Sender<u64>,
}

impl Shared {
    fn cache(&self) -> Arc<Cache> {
        Arc::clone(&self.cache.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> ClockReading {
        ClockReading::now(self.since)
    }

    fn request_fetch(&self, ended: u64) {
        let number = ended.saturating_add(1);
        // Most of a thousand requests are for the same fetch, and reading is cheaper.
        if *self.requested.borrow() < number {
            self.requested.send_if_modified(|requested| {
                let is_later = *requested < number;
                *requested = number.max(*requested);
                is_later
            });
        }
    }
}

/// What the task is doing.
#[derive(Clone, Copy, Default)]
struct Progress {
    is_fetching: bool,
    /// How many fetches have ended.
    ended: u64,
}

/// Fetches when a fetch is due, or when a caller has requested one.
async fn keep_fresh(
    shared: Arc<Shared>,
    fetcher: Arc<Mutex<Fetcher>>,
    progress: watch::Sender<Progress>,
) {
    let mut fetcher = fetcher.lock().await;
    let mut requests = shared.requested.subscribe();
    loop {
        let cache = shared.cache();
        let ended = progress.borrow().ended;
        tokio::select! {
            () = tokio::time::sleep(cache.next_fetch_in(shared.now())) => {}
            Ok(()) = async { requests.wait_for(|requested| *requested > ended).await.map(drop) } => {}
        }
        progress.send_modify(|progress| progress.is_fetching = true);
        let asked_at = shared.now();
        let outcome = fetcher.fetch(cache.tag(), asked_at).await;
        let ended_at = shared.now();
        let next = match outcome {
            Ok(answer) => cache.after_fetch(answer, asked_at, ended_at, jitter()),
            Err(error) => {
                tracing::warn!(
                    place = ?shared.location,
                    error = &error as &dyn std::error::Error,
                    "the issuer's keys could not be fetched"
                );
                cache.after_failure(error, ended_at, jitter())
            }
        };
        *shared.cache.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        progress.send_modify(|progress| {
            progress.is_fetching = false;
            progress.ended += 1;
        });
    }
}

#[cfg(test)]
mod tests;
