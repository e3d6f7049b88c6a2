//! Revocations from the issuer, followed in the background.
//!
//! One task does all the fetching. It keeps a request open that the issuer answers as soon as something
//! is revoked, or after a while in any case: each answer is signed anew, so that it says how fresh it is.

mod poll;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};

use super::DEFAULT_MAX_RECORDS;
use super::error::{InvalidRevocations, RevocationsError};
use super::heads::{AcceptedHead, Bound, Heads};
use super::identity::Identity;
use crate::background::{Task, jitter, supervised};
use crate::clock::{self, ClockReading};
use crate::http::{HttpClient, InvalidAddress, Location, Roots};
use crate::keys::KeySource;
use crate::{RemoteKeysError, Rules};
use poll::{KEY_CHECK_INTERVAL, Poller};

/// The shortest time between the starts of two requests.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The longest time for which a feed holds a request.
const LONGEST_WAIT_SECONDS: u64 = 25;

/// The first wait after a failure, which doubles up to a part of the bound. Of each, a random half may
/// be left out.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// Within what time a head must come while none has said its own `max_age`.
const DEFAULT_BOUND: Duration = Duration::from_secs(60);

/// An issuer's feed of revocations, which a verifier follows.
///
/// What is revoked is refused within about 2 seconds. When the feed cannot be had, or is kept away by
/// an attacker, a revoked token is accepted for at most the bound: the `max_age` of the issuer's head,
/// 60 s unless the issuer says otherwise, or [`RevocationFeed::bound`]. Then every token that is as old
/// is refused, until the feed is there again.
#[derive(Clone, Debug)]
#[must_use = "nothing is followed before a verifier has it"]
pub struct RevocationFeed {
    location: Result<Location, InvalidAddress>,
    bound: Bound,
    timeout: Duration,
    max_records: u64,
    roots: Roots,
    credential: Option<HeaderValue>,
}

impl RevocationFeed {
    /// Finds the feed by `revocations_uri` of the issuer's metadata (OpenID Connect Discovery §4,
    /// RFC 8414 §3), which must name exactly this issuer, and be at its origin.
    ///
    /// `issuer` is the issuer of the rules: an https URL without query and fragment; http is for this
    /// machine alone.
    pub fn of_issuer(issuer: &str) -> Self {
        Self::new(Location::of_issuer(issuer))
    }

    /// Follows the feed at this address, which its heads must have as their `sub`.
    ///
    /// `url` is an https URL; http is for this machine alone.
    pub fn at(url: &str) -> Self {
        Self::new(Location::at(url))
    }

    fn new(location: Result<Location, InvalidAddress>) -> Self {
        Self {
            location,
            bound: Bound::OfHead,
            timeout: Duration::from_secs(5),
            max_records: DEFAULT_MAX_RECORDS,
            roots: Roots::default(),
            credential: None,
        }
    }

    /// Asks the feed with this credential, as `Authorization: Bearer`: for an issuer whose policy shows
    /// the feed to its clients alone. It is sent to the feed and nowhere else, and is in no log.
    ///
    /// # Errors
    ///
    /// [`InvalidCredential`] when it is empty, or has a character that no header has.
    pub fn credential(mut self, credential: &str) -> Result<Self, InvalidCredential> {
        let value = HeaderValue::from_str(&format!("Bearer {credential}"));
        let mut value = value.map_err(|_| InvalidCredential)?;
        if credential.is_empty() {
            return Err(InvalidCredential);
        }
        value.set_sensitive(true);
        self.credential = Some(value);
        Ok(self)
    }

    /// Accepts a token for so long after the head or the token was signed, whatever the issuer says.
    /// Default: the head's `max_age`.
    ///
    /// It is the longest time that a revoked token is accepted, and the longest outage of the feed in
    /// which tokens of any age are. The feed is asked at least twice in it. Below 5 s good tokens may be
    /// refused, because a head is a second or two old when it comes.
    pub const fn bound(mut self, bound: Duration) -> Self {
        self.bound = Bound::Own(bound);
        self
    }

    /// Accepts tokens that are not known to be revoked however long ago the feed was reached, and before
    /// it ever was.
    ///
    /// An attacker who can cut the network then keeps a revoked token in use until it expires.
    pub const fn danger_without_bound(mut self) -> Self {
        self.bound = Bound::Without;
        self
    }

    /// How long a request may take, from the first name to the last byte, beyond the time for which the
    /// issuer is asked to hold it. Default: 5 s. A segment may take longer, by its size.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most records that are held. Default: [`DEFAULT_MAX_RECORDS`]. A head with more is refused, so
    /// that after the bound tokens are too.
    pub const fn max_records(mut self, max_records: u64) -> Self {
        self.max_records = max_records;
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

    /// Starts following, in a task of the tokio runtime that this is called in.
    pub(super) fn follow(
        self,
        rules: &Rules,
        keys: &KeySource,
        since: Instant,
    ) -> Result<(Bound, FollowedFeed), InvalidRevocations> {
        let location = self.location?;
        if let Location::Issuer { issuer, .. } = &location
            && issuer != rules.issuer()
        {
            return Err(InvalidRevocations::OtherIssuer {
                issuer: issuer.clone(),
            });
        }
        if self.timeout.is_zero() {
            return Err(RemoteKeysError::Timeout.into());
        }
        let runtime = Handle::try_current().map_err(|_| RemoteKeysError::NoRuntime)?;
        let client = HttpClient::new(&location, self.roots)
            .map_err(|error| RemoteKeysError::Setup(Box::new(error)))?;
        let identity = Identity::new(rules, self.max_records);
        let poller = Poller::new(
            client,
            location,
            self.timeout,
            identity,
            keys.clone(),
            self.bound,
            since,
        )
        .with_credential(self.credential);
        let (publish, state) = watch::channel(State {
            heads: Arc::new(Heads::none(ClockReading::now(since))),
            error: None,
            attempts: 0,
        });
        let poller = Arc::new(Mutex::new(poller));
        let (bound, keys) = (self.bound, keys.clone());
        let task = runtime.spawn(supervised(move || {
            follow(Arc::clone(&poller), bound, keys.clone(), publish.clone())
        }));
        let followed = FollowedFeed {
            state,
            timeout: self.timeout,
            _task: Arc::new(Task(task)),
        };
        Ok((self.bound, followed))
    }
}

/// A credential that cannot be sent.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the credential of the feed is empty, or has a character that no header has")]
pub struct InvalidCredential;

/// A feed that a task follows.
#[derive(Clone)]
pub(super) struct FollowedFeed {
    state: watch::Receiver<State>,
    timeout: Duration,
    _task: Arc<Task>,
}

/// What the task has found out. Written by the task alone.
struct State {
    heads: Arc<Heads>,
    error: Option<Arc<RevocationsError>>,
    /// How many requests have ended.
    attempts: u64,
}

impl FollowedFeed {
    pub(super) fn heads(&self) -> Arc<Heads> {
        Arc::clone(&self.state.borrow().heads)
    }

    pub(super) fn last_error(&self) -> Option<Arc<RevocationsError>> {
        self.state.borrow().error.clone()
    }

    pub(super) async fn first_attempt(&self) {
        if self.state.borrow().attempts > 0 {
            return;
        }
        let mut state = self.state.clone();
        let waiting = state.wait_for(|state| state.attempts > 0);
        // Segments may take longer than a token can wait. An error says that the task is gone.
        let _ = tokio::time::timeout(self.timeout, waiting).await.map(drop);
    }
}

/// Asks again and again.
async fn follow(
    poller: Arc<Mutex<Poller>>,
    bound: Bound,
    keys: KeySource,
    publish: watch::Sender<State>,
) {
    let mut poller = poller.lock().await;
    let mut failures: u32 = 0;
    loop {
        let started_at = clock::monotonic();
        let heads = Arc::clone(&publish.borrow().heads);
        let outcome = tokio::select! {
            outcome = poller.poll(&heads) => outcome,
            // Its key was revoked: what the issuer has signed with another one must not wait.
            () = head_is_dropped(&heads, &keys) => continue,
        };
        let error = match outcome {
            Ok(newer) => {
                failures = 0;
                publish.send_modify(|state| {
                    state.heads = Arc::new(newer);
                    state.error = None;
                    state.attempts = state.attempts.saturating_add(1);
                });
                pause(POLL_INTERVAL, started_at).await;
                continue;
            }
            Err(error) => error,
        };
        let is_failure = !matches!(error, RevocationsError::Older);
        if is_failure {
            failures = failures.saturating_add(1);
            tracing::warn!(
                issuer = poller.issuer(),
                error = &error as &dyn std::error::Error,
                "the issuer's revocations could not be refreshed"
            );
        }
        publish.send_modify(|state| {
            state.error = Some(Arc::new(error));
            state.attempts = state.attempts.saturating_add(1);
        });
        if is_failure {
            poller.start_over();
            let longest = keys.cached().map_or(FIRST_BACKOFF, |keys| {
                bound_in_force(bound, heads.newest(&keys).map(AsRef::as_ref)) / 4
            });
            tokio::time::sleep(backoff(failures, longest, jitter())).await;
        } else {
            pause(POLL_INTERVAL, started_at).await;
        }
    }
}

/// Waits until so long after `started_at`.
async fn pause(interval: Duration, started_at: Instant) {
    let elapsed = clock::monotonic().saturating_duration_since(started_at);
    tokio::time::sleep(interval.saturating_sub(elapsed)).await;
}

/// Ends when the key of the newest head leaves the issuer's set; without a head, never.
async fn head_is_dropped(heads: &Heads, keys: &KeySource) {
    let newest = |heads: &Heads| {
        let keys = keys.cached().ok()?;
        heads.newest(&keys).map(|head| head.issued_at())
    };
    let Some(known) = newest(heads) else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(KEY_CHECK_INTERVAL).await;
        if newest(heads) != Some(known) {
            return;
        }
    }
}

/// Within what time a head must come.
fn bound_in_force(bound: Bound, newest: Option<&AcceptedHead>) -> Duration {
    match bound {
        Bound::Own(bound) => bound,
        Bound::OfHead | Bound::Without => newest.map_or(DEFAULT_BOUND, |newest| newest.max_age()),
    }
}

/// For how long an issuer is asked to hold a request while nothing changes, in whole seconds: less than
/// half of the time within which the answer must come, so that one may fail.
fn wait(bound_in_force: Duration) -> Duration {
    let seconds = (bound_in_force.as_secs().saturating_mul(5) / 12).clamp(1, LONGEST_WAIT_SECONDS);
    Duration::from_secs(seconds)
}

/// How long to wait after so many failures in a row. `jitter`, from 0 to 1, spreads what many verifiers
/// do.
fn backoff(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_BACKOFF
        .saturating_mul(doubled)
        .min(longest)
        .max(FIRST_BACKOFF)
        .mul_f64(0.5 + 0.5 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn request_is_held_for_less_than_half_of_the_bound() {
        let waits = [1, 2, 3, 8, 12, 60, 86_400].map(|bound| wait(seconds(bound)).as_secs());
        assert_eq!(waits, [1, 1, 1, 3, 5, 25, 25]);
    }

    #[test]
    fn wait_after_a_failure_doubles_up_to_a_quarter_of_the_bound() {
        let waits: Vec<_> = (1..=7)
            .map(|failures| backoff(failures, seconds(15), 1.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(backoff(u32::MAX, seconds(15), 1.0), seconds(15));
        assert_eq!(backoff(1, seconds(15), 0.0), Duration::from_millis(500));
        assert_eq!(backoff(5, Duration::ZERO, 1.0), seconds(1));
    }
}
