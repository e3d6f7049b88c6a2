//! Tokens that are taken back: the revocations of an issuer, and how they come and go.
//!
//! A revocation is committed open, and refuses what was issued until now. Each process that knows of it
//! signs none either. When all know of it, it is closed: it refuses what was issued before then, and
//! what is issued after is signed by those that knew, and stays. A process that has its store for
//! itself does both in one commit. The order in which a signature is made
//! ([`LeasedSnapshot`]) is the other half of the argument:
//! `docs/revocation.md` has the whole.

mod book;
mod closing;
mod erasing;
pub mod feed;
mod lifting;
mod loading;
mod opening;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use keywright_verifier::json::{AnyValue, Members};
use keywright_verifier::revocation::{Salt, Selector, TooManySelectors, selectors_of};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::Authority;
use super::audit::Subject;
use super::issuer::Issuer;
use super::snapshot::LeasedSnapshot;
use super::status_lists;
use crate::lifecycle::{IssuerName, Timestamp};
use crate::revocation::status_list::{StatusEntry, StatusKeys, TrackedToken};
use crate::revocation::{FOLLOW_INTERVAL, Revocation, SigningVerdict, State};
use crate::store::{BatchId, Kind, RecordKey, Token};
use book::{Book, Entry, StatusEntries};

pub(super) use book::Sought;
pub use closing::run;
pub use feed::{FeedRefusal, FeedRequest, SignedHead};
pub use loading::RevocationSecret;
pub(super) use loading::{by_issuer, load_secret};
pub use opening::{MOST_OF_A_CLIENT, MOST_OF_AN_ISSUER, RevocationDraft};

/// The revocations of one issuer.
pub struct Revocations {
    book: RwLock<Book>,
    /// Grows when the feed has changed.
    changes: watch::Sender<u64>,
    feed: feed::Feed,
    /// Commits whose outcome the store could not tell, with what they were to write.
    unsettled: Mutex<Vec<(BatchId, Vec<String>)>>,
}

/// A revocation, and from when on it is in force where.
#[derive(Debug, Clone)]
pub struct RevocationInForce {
    /// The revocation.
    pub revocation: Arc<Revocation>,
    /// From when on no process signs what verifiers would refuse.
    pub at_signers: Timestamp,
    /// From when on verifiers that follow the feed refuse it: while everything works, and whatever
    /// fails. `None` without a feed.
    pub at_verifiers: Option<(Timestamp, Timestamp)>,
    /// From when on verifiers that fetch status lists as often as these say refuse it. `None` where the
    /// entries of its tokens are not known: it names none by its `jti`, or one without a status, and no
    /// subject or session whose tokens are all tracked.
    pub at_status_lists: Option<Timestamp>,
    /// When the last token that it takes back has expired.
    pub tokens_until: Timestamp,
}

/// Which revocations are asked for.
#[derive(Debug, Clone, Default)]
pub struct RevocationFilter {
    /// Those with this selector.
    pub selector: Option<Selector>,
    /// Those alone that are still in force.
    pub live: bool,
    /// Those after this identifier.
    pub after: String,
    /// At most so many.
    pub limit: usize,
}

impl Revocations {
    pub(super) fn new(salt: Salt, status: StatusKeys) -> Self {
        Self {
            book: RwLock::new(Book::new(salt, status)),
            changes: watch::Sender::new(0),
            feed: feed::Feed::default(),
            unsettled: Mutex::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsettled(&self) -> MutexGuard<'_, Vec<(BatchId, Vec<String>)>> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the book, and tells those that wait.
    fn edit<T>(&self, edit: impl FnOnce(&mut Book) -> T) -> T {
        let answer = edit(&mut self.write());
        self.notify();
        answer
    }

    /// Lets those that wait for a change look again.
    pub(super) fn notify(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// What is said of a token with these claims that is issued at this Unix second. It is asked after
    /// the time was read.
    ///
    /// # Errors
    /// [`TooManySelectors`].
    pub fn judge<'c, V: AnyValue + 'c>(
        &self,
        claim: impl Fn(&str) -> Option<&'c V>,
        issued_at: u64,
        now: Timestamp,
    ) -> Result<SigningVerdict, TooManySelectors> {
        let book = self.read();
        if !book.matters_to_signers(issued_at) {
            return Ok(SigningVerdict::Allowed);
        }
        Ok(book.judge(&selectors_of(claim)?, issued_at, now))
    }

    /// Whether a token that is issued now may have to wait for one that is being made.
    fn is_settling(&self, issued_at: Timestamp) -> bool {
        self.read().is_settling(issued_at.floor_seconds())
    }

    /// Whether verifiers that know of everything refuse a token with these claims. A token of which not
    /// all selectors can be looked at is refused.
    pub fn refuses(&self, claims: &Map<String, Value>) -> bool {
        let issued_at = claims.get("iat").and_then(Value::as_f64);
        // Rounded down, as verifiers do; a negative time is before every bound.
        let issued_at = issued_at.map(|at| at as u64);
        let selectors = selectors_of(|name| claims.get(name));
        selectors.map_or(true, |selectors| self.read().refuses(&selectors, issued_at))
    }

    /// Whether a grant whose tokens have these claims is taken back, if it was opened at this Unix second.
    /// One of which not all selectors can be looked at is.
    pub fn takes_back(&self, claims: &Map<String, Value>, opened_at: u64) -> bool {
        let selectors = selectors_of(|name| claims.get(name));
        selectors.map_or(true, |selectors| {
            self.read().takes_back(&selectors, opened_at)
        })
    }

    /// Which entries of status lists a revocation makes invalid.
    fn status_entries_of(&self, id: &str) -> StatusEntries {
        self.read().status_entries_of(id)
    }

    /// What is written down of a token with these claims that is tracked.
    ///
    /// # Errors
    /// [`TooManySelectors`].
    pub(super) fn tracked<'c, V: AnyValue + 'c>(
        &self,
        claim: impl Fn(&str) -> Option<&'c V>,
        entry: StatusEntry,
        issued_at: u64,
    ) -> Result<Vec<TrackedToken>, TooManySelectors> {
        let selectors = selectors_of(claim)?;
        let salt = self.read().salt().clone();
        Ok(TrackedToken::of(&selectors, &salt, entry, issued_at))
    }

    /// The revocations whose tracked tokens are still to be looked for.
    pub(super) fn sought(&self) -> Sought {
        self.read().sought()
    }

    /// Makes the entries of those tracked tokens invalid that a revocation refuses which was looked for.
    pub(super) fn found(&self, sought: &Sought, tokens: &[TrackedToken]) {
        self.write().found(sought, tokens);
    }

    /// All tokens were found of these, unless they have changed since.
    pub(super) fn all_found<'s>(&self, looked_for: impl IntoIterator<Item = &'s (String, Token)>) {
        self.write().all_found(looked_for);
    }

    /// The invalid entries of a status list; `None` while it is not known of every revocation which tokens it
    /// is about.
    pub(super) fn invalid_entries(&self, list: u32) -> Option<BTreeSet<u32>> {
        let book = self.read();
        book.is_whole().then(|| book.invalid_entries(list))
    }

    /// How often they have changed. What is said of a token holds as long as this does not grow.
    pub(super) fn change(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Is told of every change, from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How many are kept.
    pub(super) fn count(&self) -> usize {
        self.read().count()
    }

    /// The revocation with this identifier.
    pub fn find(&self, id: &str) -> Option<Arc<Revocation>> {
        let book = self.read();
        book.get(id).map(|entry| Arc::clone(&entry.revocation))
    }

    /// Those that a filter asks for, in the order of their identifiers.
    pub fn list(&self, filter: &RevocationFilter, now: Timestamp) -> Vec<Arc<Revocation>> {
        let is_meant = |entry: &&Entry| {
            let revocation = &entry.revocation;
            let is_selected = |selector| revocation.selector.known() == Some(selector);
            filter.selector.as_ref().is_none_or(is_selected)
                && !(filter.live && revocation.is_over(now))
        };
        let book = self.read();
        let meant = book.after(&filter.after).filter(is_meant);
        let shown = meant.take(filter.limit);
        shown.map(|entry| Arc::clone(&entry.revocation)).collect()
    }

    /// Entries that a predicate takes.
    fn entries(&self, takes: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let book = self.read();
        let taken = book.after("").filter(|entry| takes(entry));
        taken.cloned().collect()
    }

    /// Open ones that a predicate takes.
    fn open_entries(&self, takes: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let book = self.read();
        let taken = book.open().filter(|entry| takes(entry));
        taken.cloned().collect()
    }
}

fn record_key(issuer: &IssuerName, id: &str) -> RecordKey {
    RecordKey::owned(Kind::Revocation, issuer, id)
}

impl Authority {
    /// From when on a revocation is in force where.
    pub fn in_force(&self, issuer: &Issuer, revocation: Arc<Revocation>) -> RevocationInForce {
        let timing = self.services.lease.timing();
        let snapshot = issuer.snapshot();
        let set = snapshot.set();
        let (closing, tokens_until) = match revocation.state {
            State::Closed { expires_at, .. } => (revocation.changed_at, expires_at),
            State::Open => {
                let closing = revocation.closes_by(&timing).after(CLOSES_WITHIN);
                (closing, set.tokens_expire_by(closing))
            }
        };
        let policy = set.policy();
        let has_feed = policy.revocation_feed != crate::lifecycle::RevocationFeed::Off;
        let guaranteed = set.heads_expire_by(closing).after(timing.clock_tolerance);
        let entries_known_from = match issuer.revocations().status_entries_of(&revocation.id) {
            StatusEntries::OfItsJti => Some(closing),
            StatusEntries::OfTrackedTokens => set.all_tracked_from(self.services.lease.time()),
            StatusEntries::Unknown => None,
        };
        RevocationInForce {
            at_status_lists: entries_known_from
                .map(|from| from.max(closing.after(status_lists::IN_FORCE_WITHIN))),
            at_signers: closing,
            at_verifiers: has_feed.then(|| (closing.after(FOLLOW_INTERVAL * 2), guaranteed)),
            tokens_until,
            revocation,
        }
    }
}

/// The longest that a signature waits for a revocation that is being made.
const LONGEST_HOLD: Duration = Duration::from_secs(2);

impl Issuer {
    /// A snapshot that may sign a token with these claims, as far as revocations say that are being
    /// made. It waits for them, for two seconds at most; then signing will say that it must not.
    pub async fn settled_snapshot(&self, claims: &Members<'_>) -> LeasedSnapshot {
        let until = self.lease().clock().now().after(LONGEST_HOLD);
        self.settled_until(claims, until).await
    }

    /// The same for many tokens, for two seconds together. The claims are asked for only while something
    /// is being made.
    pub async fn settled_for_all<'t>(
        &self,
        claims: impl Iterator<Item = Members<'t>>,
    ) -> LeasedSnapshot {
        let lease = self.lease();
        if self.revocations().is_settling(lease.issue_time()) {
            let until = lease.clock().now().after(LONGEST_HOLD);
            for claims in claims {
                self.settled_until(&claims, until).await;
                tokio::task::yield_now().await;
            }
        }
        self.leased_snapshot()
    }

    async fn settled_until(&self, claims: &Members<'_>, until: Timestamp) -> LeasedSnapshot {
        let lease = self.lease();
        let clock = lease.clock();
        loop {
            let mut changes = self.revocations().subscribe();
            let view = self.leased_snapshot();
            let Ok(SigningVerdict::Settling(bound)) = view.judge(|name| claims.get(name)) else {
                return view;
            };
            if clock.now() >= until {
                return view;
            }
            // The bound is one of the time by which tokens are issued, which may not be this clock's.
            let wake = bound.map_or(until, |bound| {
                let rest = Timestamp::from_seconds(bound).since(lease.issue_time());
                clock.now().after(rest).min(until)
            });
            tokio::select! {
                _ = changes.changed() => {}
                () = clock.sleep_until(wake) => {}
            }
        }
    }
}

/// How much later than it may be a revocation is closed by a replica that lives.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);

fn subject(issuer: &Issuer) -> Subject<'_> {
    Subject {
        issuer: Some(issuer.name()),
        version: None,
    }
}
