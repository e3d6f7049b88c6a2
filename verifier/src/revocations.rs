//! Revocations that are followed: tokens that an issuer has taken back are refused.
//!
//! An issuer signs what it has revoked as a head ([`crate::revocation`]), which says when that was so.
//! A token is accepted if the newest head does not name it, and if head or token are not older than the
//! bound: within it, a revocation is in force also when nothing can be fetched. A token that is younger
//! than the head counts by its own age, because its signer knew what was revoked.

mod error;
#[cfg(feature = "remote")]
mod feed;
mod file;
#[cfg_attr(
    not(feature = "remote"),
    expect(dead_code, reason = "a feed asks for more than a file")
)]
mod heads;
mod identity;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::claims::numeric_date;
use crate::clock::{self, ClockReading};
use crate::json::Members;
use crate::keys::KeySource;
use crate::revocation::selectors_of;
use crate::verifier::VerificationTime;
use crate::{JwkSet, Rules, VerifyError};
use file::FollowedFile;
use heads::{AcceptedHead, Bound, Heads, Moment, TokenFacts};

pub use error::{InvalidRevocations, NoRevocations, RevocationsError};
#[cfg(feature = "remote")]
pub use feed::{InvalidCredential, RevocationFeed};
pub use file::RevocationFile;

/// The most records that are held unless the source says otherwise: two million, which take some
/// 150 MB.
pub const DEFAULT_MAX_RECORDS: u64 = 2_000_000;

/// Where a [`Verifier`](crate::Verifier) learns what its issuer has revoked.
///
/// Made with `into()` from a `RevocationFeed`, a [`RevocationFile`], or the [`Revocations`] of another
/// verifier of the same issuer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RevocationSource {
    /// The issuer itself.
    #[cfg(feature = "remote")]
    Feed(RevocationFeed),
    /// A file that is read again when it changes.
    File(RevocationFile),
    /// What another verifier follows already.
    Followed(Revocations),
}

#[cfg(feature = "remote")]
impl From<RevocationFeed> for RevocationSource {
    fn from(feed: RevocationFeed) -> Self {
        Self::Feed(feed)
    }
}

impl From<RevocationFile> for RevocationSource {
    fn from(file: RevocationFile) -> Self {
        Self::File(file)
    }
}

impl From<Revocations> for RevocationSource {
    fn from(revocations: Revocations) -> Self {
        Self::Followed(revocations)
    }
}

/// What a [`Verifier`](crate::Verifier) knows of an issuer's revocations: for a start that waits for
/// them, and for metrics.
///
/// Clones share it. When the last one is dropped, and the verifiers that use it, the following ends.
#[derive(Clone)]
pub struct Revocations {
    issuer: Arc<str>,
    keys: KeySource,
    bound: Bound,
    since: Instant,
    followed: Followed,
}

#[derive(Clone)]
enum Followed {
    File(Arc<FollowedFile>),
    #[cfg(feature = "remote")]
    Feed(feed::FollowedFeed),
}

impl Revocations {
    /// Follows `source` for the issuer of `rules`, whose heads are verified with `keys`.
    pub(crate) fn start(
        source: RevocationSource,
        rules: &Rules,
        keys: &KeySource,
    ) -> Result<Self, InvalidRevocations> {
        let since = clock::monotonic();
        let (bound, followed) = match source {
            RevocationSource::Followed(revocations) if *revocations.issuer == *rules.issuer() => {
                return Ok(revocations);
            }
            RevocationSource::Followed(revocations) => {
                return Err(InvalidRevocations::OtherIssuer {
                    issuer: revocations.issuer.as_ref().to_owned(),
                });
            }
            RevocationSource::File(file) => {
                let (bound, followed) = file.follow(rules, since);
                if let Ok(keys) = keys.cached() {
                    followed.heads(&keys);
                }
                (bound, Followed::File(Arc::new(followed)))
            }
            #[cfg(feature = "remote")]
            RevocationSource::Feed(feed) => {
                let (bound, followed) = feed.follow(rules, keys, since)?;
                (bound, Followed::Feed(followed))
            }
        };
        if bound == Bound::Own(Duration::ZERO) {
            return Err(InvalidRevocations::Bound);
        }
        Ok(Self {
            issuer: rules.issuer().into(),
            keys: keys.clone(),
            bound,
            since,
            followed,
        })
    }

    /// Waits until revocations are in force, or could not be had. For a start that is to be ready when
    /// it says so; verifying waits by itself.
    ///
    /// # Errors
    ///
    /// [`NoRevocations`]; [`Revocations::last_error`] says why. Following goes on.
    pub async fn ready(&self) -> Result<(), NoRevocations> {
        self.first_attempt().await;
        if self.has_head() {
            Ok(())
        } else {
            Err(NoRevocations)
        }
    }

    /// Whether a head is in force: it has come, and its key is in the issuer's set.
    pub fn has_head(&self) -> bool {
        self.with_newest(|_, _| ()).is_some()
    }

    /// How long ago what is known was true; `None` while nothing is. Beyond the bound, tokens that are
    /// as old are refused.
    pub fn head_age(&self) -> Option<Duration> {
        let now = Moment::Now(ClockReading::now(self.since));
        self.with_newest(|heads, head| head.age(heads.clock(), now))
    }

    /// Whether a token of any age is accepted unless it was taken back: a head is in force, and not older
    /// than the bound. Without a bound, the age does not count.
    pub fn is_fresh(&self) -> bool {
        let now = Moment::Now(ClockReading::now(self.since));
        let is_within_bound = |heads: &Heads, head: &AcceptedHead| {
            let age = head.age(heads.clock(), now);
            match self.bound {
                Bound::OfHead => age <= head.max_age(),
                Bound::Own(longest) => age <= longest,
                Bound::Without => true,
            }
        };
        self.with_newest(is_within_bound).unwrap_or_default()
    }

    /// How many records are in force; zero while nothing is known.
    pub fn record_count(&self) -> u64 {
        self.with_newest(|_, head| head.record_count())
            .unwrap_or_default()
    }

    /// Why no newer revocations are in force; `None` when the last attempt brought some.
    pub fn last_error(&self) -> Option<Arc<RevocationsError>> {
        match &self.followed {
            Followed::File(file) => file.last_error(),
            #[cfg(feature = "remote")]
            Followed::Feed(feed) => feed.last_error(),
        }
    }

    fn with_newest<T>(&self, read: impl FnOnce(&Heads, &AcceptedHead) -> T) -> Option<T> {
        let keys = self.keys.cached().ok()?;
        let heads = self.heads(&keys);
        let newest = heads.newest(&keys)?;
        Some(read(&heads, newest))
    }

    fn heads(&self, keys: &JwkSet) -> Arc<Heads> {
        match &self.followed {
            Followed::File(file) => file.heads(keys),
            #[cfg(feature = "remote")]
            Followed::Feed(feed) => feed.heads(),
        }
    }

    /// Waits until it is known what is revoked, or that it cannot be had.
    #[cfg_attr(
        not(feature = "remote"),
        expect(clippy::unused_async, reason = "only a feed is waited for")
    )]
    pub(crate) async fn first_attempt(&self) {
        match &self.followed {
            Followed::File(_) => {}
            #[cfg(feature = "remote")]
            Followed::Feed(feed) => feed.first_attempt().await,
        }
    }

    /// Judges a token whose signature and claims are good. The answer is up to when it is known that it
    /// was not revoked; `None` without a bound, when that is not known.
    pub(crate) fn judge(
        &self,
        claims: &Members<'_>,
        keys: &JwkSet,
        time: VerificationTime,
    ) -> Result<Option<SystemTime>, VerifyError> {
        let token = TokenFacts {
            selectors: selectors_of(|name| claims.get(name))?,
            issued_at: numeric_date(claims, "iat")?.map(duration),
        };
        let reading = ClockReading::now(self.since);
        let moment = match time {
            VerificationTime::Now => Moment::Now(reading),
            VerificationTime::At(wall) => Moment::Given(ClockReading { wall, ..reading }),
        };
        let vouched_at = self.heads(keys).judge(&token, keys, self.bound, moment)?;
        Ok(vouched_at.and_then(|vouched_at| UNIX_EPOCH.checked_add(vouched_at)))
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Revocations")
            .field("issuer", &self.issuer)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// Nanoseconds, the largest of which no clock will ever show.
fn duration(nanoseconds: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    match (
        u64::try_from(nanoseconds / SECOND),
        u32::try_from(nanoseconds % SECOND),
    ) {
        (Ok(seconds), Ok(nanoseconds)) => Duration::new(seconds, nanoseconds),
        _ => Duration::MAX,
    }
}
