//! Copies on their way: each issuer's to each target, in a task of its own, so that a target which does not
//! answer holds up no other.
//!
//! Of several processes on a store the one pushes that has written its claim into the record of the copy; a
//! claim ends by itself, and at once where no other process uses the store. The order of a push keeps an older set from taking the place of a newer one: first
//! the copy in place is looked at, then the set is read from the store, and then it is written if the copy is
//! still what was looked at. Whatever another process has put there since is newer, or makes the write fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::stored::StoredCopy;
use super::{CopyStatus, Found, PushError, PushTarget, copy_of};
use crate::authority::audit::Actor;
use crate::authority::issuer::Issuer;
use crate::authority::request::Request;
use crate::authority::webhooks::{Round, rounds};
use crate::authority::{Authority, ChangeError};
use crate::lifecycle::{Command, IssuerName, Key, PushedCopies, Timestamp};
use crate::push::{KeySetCopy, PushState, PushedContent, PushedCopy};
use crate::store::documents::read_public_set;

/// How long a push may take, from the look at the copy to the answer to the write.
pub const PUSHED_WITHIN: Duration = Duration::from_secs(15);

/// How long a process has a copy to itself: longer than a push may take.
const CLAIM: Duration = Duration::from_secs(20);

/// How often the records of copies are looked at: sooner where something is to be done.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);
const LOOKED_AT_SOON: Duration = Duration::from_secs(1);

/// How often a copy is looked at that is what it should be.
const VERIFIED_EVERY: Duration = Duration::from_secs(60);

/// What a task works on: a copy, or the confirmation of all copies of an issuer.
type Work = (IssuerName, Option<String>);

/// Pushes the key sets of all issuers.
pub struct CopyPusher {
    authority: Arc<Authority>,
    under_way: Mutex<BTreeSet<Work>>,
    /// When a copy was last found to be what it should be.
    verified: Mutex<BTreeMap<(IssuerName, String), Timestamp>>,
    /// Whether the store may have records of copies.
    has_records: AtomicBool,
    ended: Notify,
}

/// One copy, its target, and what is known of it.
struct CopyWork {
    issuer: Arc<Issuer>,
    name: String,
    stored: StoredCopy,
}

impl CopyPusher {
    /// Pushes those of this authority's store.
    pub fn new(authority: Arc<Authority>) -> Self {
        Self {
            authority,
            under_way: Mutex::default(),
            verified: Mutex::default(),
            has_records: AtomicBool::new(true),
            ended: Notify::new(),
        }
    }

    /// Pushes until it is dropped.
    pub async fn run(self: Arc<Self>) {
        // Each task says itself when it has ended: what is due next depends on what it has done.
        let round = || async {
            let due = Vec::new();
            let pause = Arc::clone(&self).round().await?;
            Ok(Round { pause, due })
        };
        rounds(&self.authority.services, &self.ended, "copies", round).await;
    }

    /// Begins what is due. Answers when to look again.
    async fn round(self: Arc<Self>) -> Result<Duration, ChangeError> {
        let authority = &self.authority;
        let mut issuers = authority.directory.with_deleted();
        issuers.retain(|issuer| !issuer.snapshot().set().policy().push.is_empty());
        if issuers.is_empty() && !self.has_records.load(Ordering::Relaxed) {
            authority.health.observe_copies(Vec::new());
            return Ok(LOOKED_AT_EVERY);
        }
        let mut records = authority.stored_copies().await?;
        let has_records = !issuers.is_empty() || !records.is_empty();
        self.has_records.store(has_records, Ordering::Relaxed);
        let mut statuses = Vec::new();
        let mut is_settled = true;
        let holds = authority.services.lease.holds();
        for issuer in issuers {
            let snapshot = issuer.snapshot();
            let set = snapshot.set();
            let now = authority.services.lease.time();
            let wanted = copy_of(set, now);
            let mut all_have = true;
            for name in &set.policy().push {
                let record = records.remove(&(issuer.name().clone(), name.clone()));
                let target = authority.services.push.target(issuer.name(), name);
                let stored = record.unwrap_or_else(|| {
                    let place = target.map(|target| target.place(issuer.name()));
                    StoredCopy::unknown(place.unwrap_or_default())
                });
                let has = target.is_some() && stored.copy.has(&wanted.mark.digest);
                all_have &= has;
                statuses.push(status(
                    issuer.name(),
                    name,
                    &stored.copy,
                    has,
                    set.latest(),
                    target,
                ));
                if target.is_some() && holds {
                    let (issuer, name) = (Arc::clone(&issuer), name.clone());
                    let work = CopyWork {
                        issuer,
                        name,
                        stored,
                    };
                    self.begin_copy(work, &wanted, now);
                }
            }
            let mut keys = set.keys().iter();
            let waits = keys.any(|key| key.unconfirmed_since().is_some());
            is_settled &= all_have && !waits;
            if all_have && waits && holds {
                self.begin_confirmation(issuer);
            }
        }
        for ((issuer, name), stored) in records.into_iter().filter(|_| holds) {
            authority.forget_copy(&issuer, &name, &stored).await?;
        }
        authority.health.observe_copies(statuses);
        Ok(match is_settled {
            true => LOOKED_AT_EVERY,
            false => LOOKED_AT_SOON,
        })
    }

    /// Begins to push a copy, or to look at it, if that is due.
    fn begin_copy(self: &Arc<Self>, work: CopyWork, wanted: &KeySetCopy, now: Timestamp) {
        let id = (work.issuer.name().clone(), work.name.clone());
        let target = (self.authority.services.push).target(work.issuer.name(), &work.name);
        let moved =
            target.is_some_and(|one| one.place(work.issuer.name()) != work.stored.copy.place);
        let copy = &work.stored.copy;
        let is_due = moved || copy.is_due(&wanted.mark.digest, now);
        let is_unverified = || {
            let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
            let at = verified.get(&id);
            let is_old = at.is_none_or(|at| at.after(VERIFIED_EVERY) <= now || now < *at);
            let is_alive = work.issuer.snapshot().set().deleted_at().is_none();
            is_old && is_alive && copy.claimed_until <= now && copy.has(&wanted.mark.digest)
        };
        if is_due || is_unverified() {
            let pusher = Arc::clone(self);
            let task = async move {
                let (issuer, target) = (work.issuer.name().clone(), work.name.clone());
                if let Err(error) = pusher.serve(work, is_due).await {
                    tracing::warn!(%issuer, push_target = target, %error, "a copy was not looked after");
                }
            };
            self.begin((id.0, Some(id.1)), task);
        }
    }

    /// Begins to look whether every copy has the successors that wait, and to confirm it.
    fn begin_confirmation(self: &Arc<Self>, issuer: Arc<Issuer>) {
        let pusher = Arc::clone(self);
        let id = (issuer.name().clone(), None);
        self.begin(id, async move {
            if let Err(error) = pusher.confirm(&issuer).await {
                let issuer = issuer.name();
                tracing::warn!(%issuer, %error, "the successors in every copy were not confirmed");
            }
        });
    }

    /// Begins work, unless it is under way.
    fn begin(self: &Arc<Self>, work: Work, task: impl Future<Output = ()> + Send + 'static) {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if under_way.insert(work.clone()) {
            let end = EndOfWork {
                pusher: Arc::clone(self),
                work,
            };
            tokio::spawn(async move {
                task.await;
                drop(end);
            });
        }
    }

    async fn serve(&self, work: CopyWork, is_due: bool) -> Result<(), ChangeError> {
        let authority = &self.authority;
        let issuer = work.issuer.name();
        let Some(target) = authority.services.push.target(issuer, &work.name) else {
            return Ok(());
        };
        let Ok(_permit) = target.permits.acquire().await else {
            return Ok(());
        };
        let place = target.place(issuer);
        if work.stored.copy.place != place && work.stored.copy.content.is_some() {
            tracing::warn!(%issuer, push_target = work.name, place, "a copy is at another place from now on");
            return self.doubt(&work, &place).await;
        }
        match is_due {
            true => self.push(&work, target, &place).await,
            false => self.verify(&work, target, &place).await,
        }
    }

    /// Pushes the set as the store has it.
    async fn push(
        &self,
        work: &CopyWork,
        target: &PushTarget,
        place: &str,
    ) -> Result<(), ChangeError> {
        let authority = &self.authority;
        let lease = &authority.services.lease;
        let (issuer, name) = (work.issuer.name(), work.name.as_str());
        let freshness = work.issuer.snapshot().set().policy().freshness();
        let before = work.stored.copy.freshness;
        let mut claimed = work
            .stored
            .copy
            .claimed(lease.time().after(CLAIM), freshness);
        place.clone_into(&mut claimed.place);
        let claim = authority.write_copy(issuer, name, &work.stored, &claimed);
        if !claim.await? {
            // Another process pushes.
            return Ok(());
        }
        let pushed = tokio::time::timeout(PUSHED_WITHIN, self.try_to_push(work, target)).await;
        let pushed = pushed.unwrap_or_else(|_| {
            let seconds = PUSHED_WITHIN.as_secs();
            Err(Attempt::Failed(PushError(format!(
                "no answer within {seconds} s"
            ))))
        });
        let digest = copy_of(work.issuer.snapshot().set(), lease.time())
            .mark
            .digest;
        let outcome = match &pushed {
            Ok(_) => "pushed",
            Err(_) => "failed",
        };
        authority.metrics().copies().count(name, outcome);
        match pushed {
            Ok((copy, freshness)) => {
                let version = copy.mark.version;
                let pushed = |known: &PushedCopy| {
                    let content = PushedContent {
                        digest: copy.mark.digest.clone(),
                        version,
                        pushed_at: lease.time(),
                    };
                    known.pushed(content, freshness, before.max(known.freshness))
                };
                self.is_verified(issuer, name);
                authority.change_copy(issuer, name, place, pushed).await?;
                tracing::info!(%issuer, push_target = name, place, version, "a key set was pushed");
                Ok(())
            }
            Err(Attempt::Doubted) => self.doubt(work, place).await,
            Err(Attempt::Failed(error)) => {
                tracing::warn!(%issuer, push_target = name, place, %error, "a key set was not pushed");
                let failed =
                    |known: &PushedCopy| known.failed(&digest, error.to_string(), lease.time());
                authority.change_copy(issuer, name, place, failed).await
            }
        }
    }

    async fn try_to_push(
        &self,
        work: &CopyWork,
        target: &PushTarget,
    ) -> Result<(KeySetCopy, Duration), Attempt> {
        let services = &self.authority.services;
        let issuer = work.issuer.name();
        let found = target.look(issuer, &services.clock).await?;
        let stored = services.store.key_set(issuer).await.ok().flatten();
        let set = stored.and_then(|stored| read_public_set(&stored).ok());
        let set = set.ok_or_else(|| PushError("the key set cannot be read".to_owned()))?;
        let copy = copy_of(&set, services.lease.time());
        let freshness = set.policy().freshness();
        if let Some(mark) = &found.mark
            && let Some(refusal) = mark.refuses(&copy.mark)
        {
            return Err(PushError(refusal).into());
        }
        if found.digest() == Some(copy.mark.digest.as_str()) {
            return Ok((copy, freshness));
        }
        if is_foreign(&work.stored.copy, &found) {
            return Err(Attempt::Doubted);
        }
        let precondition = found.precondition;
        let clock = &services.clock;
        let replaced = target.replace(issuer, precondition, copy.clone(), clock);
        replaced.await?;
        Ok((copy, freshness))
    }

    /// Looks whether a copy still is what was pushed.
    async fn verify(
        &self,
        work: &CopyWork,
        target: &PushTarget,
        place: &str,
    ) -> Result<(), ChangeError> {
        let authority = &self.authority;
        let (issuer, name) = (work.issuer.name(), work.name.as_str());
        let looked = target.look(issuer, &authority.services.clock);
        let found = match tokio::time::timeout(PUSHED_WITHIN, looked).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(%issuer, push_target = name, place, %error, "a copy cannot be looked at");
                self.is_verified(issuer, name);
                return Ok(());
            }
            Err(_) => {
                self.is_verified(issuer, name);
                return Ok(());
            }
        };
        let known = authority
            .stored_copy(issuer, name, place.to_owned())
            .await?;
        if known.copy != work.stored.copy {
            // It was pushed meanwhile, and will be looked at again.
            self.is_verified(issuer, name);
            return Ok(());
        }
        let is_as_pushed = found.digest().is_some_and(|digest| known.copy.has(digest));
        drop(found);
        if is_as_pushed {
            self.is_verified(issuer, name);
            return Ok(());
        }
        tracing::warn!(%issuer, push_target = name, place, "a copy is not what was pushed");
        self.doubt(work, place).await
    }

    /// Lets successors wait until a copy is there again, and then lets it be pushed.
    async fn doubt(&self, work: &CopyWork, place: &str) -> Result<(), ChangeError> {
        let request = Request::by(Actor::Scheduler).asks(Command::DoubtCopies);
        match self.authority.change(&work.issuer, request).await {
            // A deleted issuer has no successors.
            Ok(_) | Err(ChangeError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        let (issuer, name) = (work.issuer.name(), work.name.as_str());
        let lost = |known: &PushedCopy| PushedCopy {
            claimed_until: Timestamp::default(),
            ..known.lost(place.to_owned())
        };
        self.authority.change_copy(issuer, name, place, lost).await
    }

    fn is_verified(&self, issuer: &IssuerName, target: &str) {
        let now = self.authority.services.lease.time();
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.insert((issuer.clone(), target.to_owned()), now);
    }

    fn is_unverified(&self, issuer: &IssuerName, target: &str) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.remove(&(issuer.clone(), target.to_owned()));
    }

    /// Confirms the successors that every copy has. Each copy is looked at once more: what a record says may
    /// have ceased to be so.
    async fn confirm(&self, issuer: &Arc<Issuer>) -> Result<(), ChangeError> {
        let services = &self.authority.services;
        let snapshot = issuer.snapshot();
        let set = snapshot.set();
        let now = services.lease.time();
        let wanted = copy_of(set, now);
        let mut freshness = Duration::ZERO;
        for name in &set.policy().push {
            let Some(target) = services.push.target(issuer.name(), name) else {
                return Ok(());
            };
            let looked = target.look(issuer.name(), &services.clock);
            let found = tokio::time::timeout(PUSHED_WITHIN, looked).await;
            let is_there = found.is_ok_and(|found| {
                found.is_ok_and(|found| found.digest() == Some(wanted.mark.digest.as_str()))
            });
            if !is_there {
                // Why not, a closer look will tell.
                self.is_unverified(issuer.name(), name);
                return Ok(());
            }
            let place = target.place(issuer.name());
            let stored = self
                .authority
                .stored_copy(issuer.name(), name, place)
                .await?;
            if !stored.copy.has(&wanted.mark.digest) {
                return Ok(());
            }
            freshness = freshness.max(stored.copy.replaced_freshness(now));
        }
        let published = set.published(now);
        let pushed = PushedCopies {
            targets: set.policy().push.clone(),
            kids: published.map(Key::kid).cloned().collect(),
            delay: services.push.delay(issuer.name(), set.policy()),
            freshness,
        };
        let request = Request::by(Actor::Scheduler).asks(Command::ConfirmCopies(pushed));
        self.authority.change(issuer, request).await.map(drop)
    }
}

/// Why a push did not come about.
enum Attempt {
    Failed(PushError),
    /// Something else is there than what was pushed last.
    Doubted,
}

impl From<PushError> for Attempt {
    fn from(error: PushError) -> Self {
        Self::Failed(error)
    }
}

/// Whether something is in place that no push of this store has brought: a later push of ours, by a process
/// that could not say so any more, has a version no lower.
fn is_foreign(known: &PushedCopy, found: &Found) -> bool {
    let Some(content) = &known.content else {
        return false;
    };
    let mark = found.mark.as_ref().filter(|_| found.is_intact);
    mark.is_none_or(|mark| mark.digest != content.digest && mark.version < content.version)
}

/// What is told of a copy.
fn status(
    issuer: &IssuerName,
    name: &str,
    copy: &PushedCopy,
    has: bool,
    changed_at: Timestamp,
    target: Option<&PushTarget>,
) -> CopyStatus {
    let (since, reason) = match (&copy.state, target) {
        (_, None) => {
            let reason = "the configuration of this process has no such target for the issuer";
            (changed_at, Some(reason.to_owned()))
        }
        (PushState::Failing { since, reason, .. }, Some(_)) => (*since, Some(reason.clone())),
        (PushState::Succeeding, Some(_)) => (changed_at, None),
    };
    CopyStatus {
        issuer: issuer.clone(),
        target: name.to_owned(),
        behind_since: (!has).then_some(since),
        reason: reason.filter(|_| !has),
    }
}

/// Work that is under way, to the end of its task, however that ends.
struct EndOfWork {
    pusher: Arc<CopyPusher>,
    work: Work,
}

impl Drop for EndOfWork {
    fn drop(&mut self) {
        let under_way = self.pusher.under_way.lock();
        let mut under_way = under_way.unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.work);
        drop(under_way);
        // A confirmation that comes about is in the log, and one that does not is tried again soon.
        if self.work.1.is_some() {
            self.pusher.ended.notify_one();
        }
    }
}
