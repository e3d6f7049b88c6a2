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
pub mod feed;
mod loading;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use keywright_verifier::revocation::{Salt, Selector, TooManySelectors, selectors_of};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::audit::{self, Actor, Attribution, RevocationEvent, Subject, log_event};
use super::issuer::Issuer;
use super::snapshot::LeasedSnapshot;
use super::{Authority, ChangeError, run_to_completion};
use crate::lifecycle::{IssuerName, RuleViolation, Timestamp};
use crate::revocation::{Ban, FOLLOW_INTERVAL, Revocation, SigningVerdict, State};
use crate::store::{
    Batch, BatchId, CommitError, Content, Kind, RecordKey, Token, WhenDiskFull, Write,
};
use book::{Book, Entry};

pub use closing::run;
pub use feed::{FeedRefusal, FeedRequest, SignedHead};
pub use loading::RevocationSecret;
pub(super) use loading::{by_issuer, load_secret};
pub use token::InvalidToken;

/// The most revocations of one client that an issuer keeps.
pub const MOST_OF_A_CLIENT: usize = 50_000;

/// The most revocations that an issuer keeps.
pub const MOST_OF_AN_ISSUER: usize = 400_000;

/// How many of them are kept for clients with the role security.
const KEPT_FOR_SECURITY: usize = 50_000;

/// The revocations of one issuer.
pub struct Revocations {
    book: RwLock<Book>,
    /// Grows when the feed has changed.
    changes: watch::Sender<u64>,
    feed: feed::Feed,
    /// Commits whose outcome the store could not tell, with what they were to write.
    unsettled: Mutex<Vec<(BatchId, Vec<String>)>>,
}

/// What is asked to be taken back.
pub struct RevocationDraft {
    /// Which tokens.
    pub selector: Selector,
    /// Whether matching tokens are signed from now on.
    pub ban: Option<Ban>,
    /// Why.
    pub reason: Option<String>,
}

/// Who asks.
pub struct RevocationAsker {
    /// As the audit log names it.
    pub actor: Actor,
    /// The client whose quota counts.
    pub client: String,
    /// Whether it has the role security, for which a share is kept.
    pub is_security: bool,
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
    pub(super) fn new(salt: Salt) -> Self {
        Self {
            book: RwLock::new(Book::new(salt)),
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
    pub fn judge(
        &self,
        claims: &Map<String, Value>,
        issued_at: u64,
        now: Timestamp,
    ) -> Result<SigningVerdict, TooManySelectors> {
        let book = self.read();
        if !book.matters_to_signers() {
            return Ok(SigningVerdict::Allowed);
        }
        let selectors = selectors_of(|name| claims.get(name))?;
        Ok(book.judge(&selectors, issued_at, now))
    }

    /// How often they have changed. What is said of a token holds as long as this does not grow.
    pub(super) fn change(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Is told of every change, from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
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
            let is_selected = |selector: &Selector| *selector == revocation.selector;
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
        book.after("")
            .filter(|entry| takes(entry))
            .cloned()
            .collect()
    }
}

fn record_key(issuer: &IssuerName, id: &str) -> RecordKey {
    RecordKey::owned(Kind::Revocation, issuer, id)
}

impl Authority {
    /// Takes tokens back: all that are asked for, or none. On a shared store it waits, for a second at
    /// most, until every process that lives knows of it.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then, unless it says that this is not known.
    pub async fn take_tokens_back(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        drafts: Vec<RevocationDraft>,
        asker: RevocationAsker,
    ) -> Result<Vec<RevocationInForce>, ChangeError> {
        let (authority, issuer) = (Arc::clone(self), Arc::clone(issuer));
        run_to_completion(async move {
            let ids = authority.open_in_time(&issuer, &drafts, &asker).await?;
            if authority.has_shared_store() {
                authority.close_soon(&issuer, &ids).await;
            }
            let all = ids.iter().filter_map(|id| issuer.revocations().find(id));
            Ok(all.map(|one| authority.in_force(&issuer, one)).collect())
        })
        .await
    }

    /// Commits revocations, again when the commit came too late for what it said of the time.
    async fn open_in_time(
        &self,
        issuer: &Issuer,
        drafts: &[RevocationDraft],
        asker: &RevocationAsker,
    ) -> Result<Vec<String>, ChangeError> {
        for _ in 0..super::issuer::MAX_ATTEMPTS {
            match self.open(issuer, drafts, asker).await {
                Err(ChangeError::Contended) => {}
                outcome => return outcome,
            }
        }
        Err(ChangeError::Contended)
    }

    /// Commits revocations; closed at once where no other process can miss them.
    async fn open(
        &self,
        issuer: &Issuer,
        drafts: &[RevocationDraft],
        asker: &RevocationAsker,
    ) -> Result<Vec<String>, ChangeError> {
        let (services, book) = (&self.services, issuer.revocations());
        if issuer.snapshot().set().deleted_at().is_some() {
            return Err(ChangeError::Refused(RuleViolation::IssuerDeleted));
        }
        book.check_quota(asker, drafts.len())?;
        let writer = services.store.writer().await?;
        let now = services.lease.time();
        let mut revocations = Vec::with_capacity(drafts.len());
        for draft in drafts {
            revocations.push(Revocation {
                id: services.entropy.name::<8>()?,
                selector: draft.selector.clone(),
                state: State::Open,
                ban: draft.ban,
                reason: draft.reason.clone(),
                by: serde_json::to_value(&asker.actor).unwrap_or_default(),
                client: asker.client.clone(),
                created_at: now,
                changed_at: now,
            });
        }
        let ids: Vec<String> = revocations.iter().map(|one| one.id.clone()).collect();
        if !self.has_shared_store() {
            // What is signed without knowing of them was issued before the stamp that follows.
            book.hold(&revocations, now);
            let (set, stamp) = (issuer.snapshot(), services.lease.time());
            let close = |one: Revocation| one.closed(set.set(), stamp);
            revocations = revocations.into_iter().map(close).collect();
        }
        // The lease is looked at last: what is stamped with a time that nobody shares is not said.
        let believed = services.require_believed_time();
        let batch = believed.and_then(|()| self.opening(issuer, &revocations, asker, now));
        let batch = batch.inspect_err(|_| book.release(&ids))?;
        let batch_id = batch.id;
        let token = Token::UNWRITTEN.followed_by(batch_id);
        match services.commit_with(writer, batch).await {
            Ok(head) => {
                let attribution = Attribution::from(asker.actor.clone());
                for revocation in &revocations {
                    let event = RevocationEvent::opened(revocation, &services.revocation_secret);
                    log_event("tokens taken back", subject(issuer), &attribution, &event);
                }
                let entries = revocations.into_iter().map(|revocation| Entry {
                    revocation: Arc::new(revocation),
                    token,
                    known_through: head.sequence,
                });
                book.edit(|book| entries.for_each(|entry| book.put(entry, now)));
                Ok(ids)
            }
            // They may come to stand: signers go on refusing until the store says so.
            Err(error @ CommitError::Unknown(_)) => {
                book.unsettled().push((batch_id, ids));
                Err(error.into())
            }
            Err(error) => {
                book.release(&ids);
                Err(error.into())
            }
        }
    }

    /// The batch that writes new revocations.
    fn opening(
        &self,
        issuer: &Issuer,
        revocations: &[Revocation],
        asker: &RevocationAsker,
        now: Timestamp,
    ) -> Result<Batch, ChangeError> {
        let services = &self.services;
        let attribution = Attribution::from(asker.actor.clone());
        let mut batch = services.new_batch()?;
        batch.when_disk_full = WhenDiskFull::UseReserve;
        // What is closed already says of a time that has not come what it refuses.
        let bound = revocations.first().and_then(Revocation::issued_before);
        let deadline = services.lease.timing().commit_deadline(now);
        let deadline = bound.map_or(deadline, |bound| {
            deadline.min(Timestamp::from_seconds(bound))
        });
        batch.not_after = Some(deadline);
        for revocation in revocations {
            let event = RevocationEvent::opened(revocation, &services.revocation_secret);
            let reason = revocation.reason.as_deref();
            let row = audit::row(&event, now, Some(issuer.name()), &attribution, reason);
            batch.events.push(row);
            batch.writes.push(Write::Create(
                record_key(issuer.name(), &revocation.id),
                Content::of(revocation.to_document()),
            ));
        }
        Ok(batch)
    }

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
        let guaranteed = closing.after(policy.revocation_max_age + timing.clock_tolerance);
        RevocationInForce {
            at_signers: closing,
            at_verifiers: has_feed.then(|| (closing.after(FOLLOW_INTERVAL * 2), guaranteed)),
            tokens_until,
            revocation,
        }
    }

    /// Ends a ban. What was issued before the revocation stays refused.
    ///
    /// # Errors
    /// [`ChangeError::UnknownRevocation`], [`ChangeError::NotABan`], or why nothing was written.
    pub async fn lift_ban(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        id: &str,
        actor: Actor,
    ) -> Result<(), ChangeError> {
        let (authority, issuer, id) = (Arc::clone(self), Arc::clone(issuer), id.to_owned());
        run_to_completion(async move {
            for _ in 0..super::issuer::MAX_ATTEMPTS {
                if authority.try_to_lift(&issuer, &id, &actor).await? {
                    return Ok(());
                }
            }
            Err(ChangeError::Contended)
        })
        .await
    }

    /// Ends a ban, if its record is the one that is known here.
    async fn try_to_lift(
        &self,
        issuer: &Issuer,
        id: &str,
        actor: &Actor,
    ) -> Result<bool, ChangeError> {
        let (services, book) = (&self.services, issuer.revocations());
        let shown: String = id.chars().take(64).collect();
        let entry = book.read().get(id).cloned();
        let entry = entry.ok_or(ChangeError::UnknownRevocation(shown.clone()))?;
        let writer = services.store.writer().await?;
        let now = services.lease.time();
        if !entry.revocation.ban.is_some_and(|ban| ban.holds(now)) {
            return Err(ChangeError::NotABan(shown));
        }
        services.require_believed_time()?;
        let lifted = Revocation {
            ban: None,
            ..Revocation::clone(&entry.revocation)
        };
        let event = RevocationEvent::lifted(&lifted, &services.revocation_secret);
        let attribution = Attribution::from(actor.clone());
        let mut batch = services.new_batch()?;
        batch.not_after = Some(services.lease.timing().commit_deadline(now));
        let row = audit::row(&event, now, Some(issuer.name()), &attribution, None);
        batch.events.push(row);
        let content = Content::of(lifted.to_document());
        let key = record_key(issuer.name(), id);
        batch.writes.push(Write::Replace(key, entry.token, content));
        let token = entry.token.followed_by(batch.id);
        match services.commit_with(writer, batch).await {
            Ok(head) => {
                log_event("ban lifted", subject(issuer), &attribution, &event);
                let entry = Entry {
                    revocation: Arc::new(lifted),
                    token,
                    known_through: head.sequence,
                };
                book.edit(|book| book.put(entry, now));
                Ok(true)
            }
            Err(CommitError::Conflict | CommitError::Late) => {
                self.reload_revocations(issuer, &[id.to_owned()]).await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The longest that a signature waits for a revocation that is being made.
const LONGEST_HOLD: Duration = Duration::from_secs(2);

impl Issuer {
    /// A snapshot that may sign a token with these claims, as far as revocations say that are being
    /// made. It waits for them, for two seconds at most; then signing will say that it must not.
    pub async fn settled_snapshot(&self, claims: &Map<String, Value>) -> LeasedSnapshot {
        let lease = self.lease();
        let clock = lease.clock();
        let until = clock.now().after(LONGEST_HOLD);
        loop {
            let mut changes = self.revocations().subscribe();
            let view = self.leased_snapshot();
            let Ok(SigningVerdict::Settling(bound)) = view.judge(claims) else {
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

/// How much later than it may be a revocation is closed by whoever lives.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);

fn subject(issuer: &Issuer) -> Subject<'_> {
    Subject {
        issuer: Some(issuer.name()),
        version: None,
    }
}

impl Revocations {
    /// Refuses more revocations than a client, or all clients, may have.
    fn check_quota(&self, asker: &RevocationAsker, more: usize) -> Result<(), ChangeError> {
        let (own, all) = self.read().counts(&asker.client);
        let most = match asker.is_security {
            true => MOST_OF_AN_ISSUER,
            false => MOST_OF_AN_ISSUER - KEPT_FOR_SECURITY,
        };
        if own + more > MOST_OF_A_CLIENT && !asker.is_security || all + more > most {
            return Err(ChangeError::TooManyRevocations);
        }
        Ok(())
    }

    /// Lets no matching token be signed while the commit is under way.
    fn hold(&self, revocations: &[Revocation], now: Timestamp) {
        let entries = revocations.iter().map(|revocation| Entry {
            revocation: Arc::new(revocation.clone()),
            token: Token::UNWRITTEN,
            known_through: u64::MAX,
        });
        self.edit(|book| entries.for_each(|entry| book.put(entry, now)));
    }

    fn unsettled(&self) -> MutexGuard<'_, Vec<(BatchId, Vec<String>)>> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was held and has not been written.
    fn release(&self, ids: &[String]) {
        self.edit(|book| ids.iter().for_each(|id| book.remove(id)));
    }
}
