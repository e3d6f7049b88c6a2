//! The revocations of one issuer in memory: by identifier, in the order of the feed, and those that
//! matter to a signer.

mod status_lists;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use keywright_verifier::revocation::{
    Digest, Record as FeedRecord, Salt, SelectorKind, TokenSelectors,
};

use crate::lifecycle::Timestamp;
use crate::revocation::status_list::{StatusEntry, StatusKeys};
use crate::revocation::{Ban, LayoutRecord, Revocation, SigningVerdict, State, feed_hour, height};
use crate::store::Token;

pub(in crate::authority) use status_lists::Sought;
pub(super) use status_lists::StatusEntries;

/// A revocation as the store has it, or is about to.
#[derive(Debug, Clone)]
pub(in crate::authority) struct Entry {
    /// What it is.
    pub(in crate::authority) revocation: Arc<Revocation>,
    /// The token of its record.
    pub(in crate::authority) token: Token,
    /// The event up to which the log is known to this process since it knows of it: a replica that
    /// has that event knows of it, too.
    pub(in crate::authority) known_through: u64,
}

/// How long a signature may be under way that has looked at the time and not at the revocations yet.
const SIGNATURE_UNDER_WAY: Duration = Duration::from_secs(120);

/// The revocations of one issuer.
pub(super) struct Book {
    salt: Salt,
    entries: BTreeMap<String, Entry>,
    /// What the feed has, in its order: by the second in which each changed last.
    feed: BTreeMap<(u64, String), LayoutRecord>,
    /// The bounds of what is in the feed, by the digest of the selector.
    bounds: HashMap<Digest, Vec<Option<u64>>>,
    /// The bounds of all that are kept, in the feed or not, by the digest of the selector and by identifier:
    /// for grants, which outlive the tokens that the feed is about.
    at_grants: HashMap<Digest, BTreeMap<String, Option<u64>>>,
    /// The hour in which records last left it. They leave at the end of one.
    feed_hour: u64,
    /// Those that may keep a token from being signed, by the kind of their selector.
    at_signers: BTreeMap<SelectorKind, HashMap<Digest, BTreeSet<String>>>,
    /// When each of these does so no more, but for those that have no end.
    at_signers_until: BTreeSet<(Timestamp, String)>,
    /// How many of them are bans.
    bans: usize,
    /// Those whose records do not read: it is not known which tokens they are about.
    unreadable: BTreeSet<String>,
    /// Those that are open.
    open: BTreeSet<String>,
    /// The latest time before which one that is closed refuses tokens.
    latest_bound: u64,
    /// How many each client has asked for.
    of_clients: HashMap<String, usize>,
    /// What makes the `jti` of a token readable.
    status_keys: StatusKeys,
    /// The entries of status lists that each makes invalid: that of its `jti`, and those of tracked tokens
    /// that were found.
    status_entries: HashMap<String, BTreeSet<StatusEntry>>,
    /// The same by the list, with how many make each invalid.
    invalid: HashMap<u32, BTreeMap<u32, u32>>,
    /// Those whose tracked tokens were not looked for since they were put here, with what these are found by.
    to_find: BTreeMap<String, Digest>,
}

impl Book {
    pub(super) fn new(salt: Salt, status_keys: StatusKeys) -> Self {
        Self {
            salt,
            entries: BTreeMap::new(),
            feed: BTreeMap::new(),
            bounds: HashMap::new(),
            at_grants: HashMap::new(),
            feed_hour: 0,
            at_signers: BTreeMap::new(),
            at_signers_until: BTreeSet::new(),
            bans: 0,
            unreadable: BTreeSet::new(),
            open: BTreeSet::new(),
            latest_bound: 0,
            of_clients: HashMap::new(),
            status_keys,
            status_entries: HashMap::new(),
            invalid: HashMap::new(),
            to_find: BTreeMap::new(),
        }
    }

    /// The key of the feed's digests.
    pub(super) fn salt(&self) -> &Salt {
        &self.salt
    }

    /// Adds a revocation, or puts it in the place of what was known of it.
    pub(super) fn put(&mut self, entry: Entry, now: Timestamp) {
        let revocation = &entry.revocation;
        self.remove(&revocation.id);
        let id = revocation.id.clone();
        match revocation.issued_before() {
            None => {
                self.open.insert(id.clone());
            }
            Some(bound) => self.latest_bound = self.latest_bound.max(bound),
        }
        if revocation.is_in_feed(now) {
            let place = (revocation.changed_at.floor_seconds(), id.clone());
            let (kind, record) = revocation.record(&self.salt);
            let bounds = self.bounds.entry(record.digest).or_default();
            bounds.push(record.issued_before);
            let placed = LayoutRecord {
                record,
                kind,
                height: height(&id),
            };
            self.feed.insert(place, placed);
            let found_by = revocation.selector.tracked_by(&self.salt);
            self.to_find
                .extend(found_by.map(|found_by| (id.clone(), found_by)));
        }
        if revocation.may_match_grants() {
            let (_, record) = revocation.record(&self.salt);
            let bounds = self.at_grants.entry(record.digest).or_default();
            bounds.insert(id.clone(), record.issued_before);
        }
        let until = at_signers_until(revocation);
        if until.is_none_or(|until| now < until)
            && let Some((kind, digest)) = revocation.selector.digest(&self.salt)
        {
            let of_kind = self.at_signers.entry(kind);
            let of_selector = of_kind.or_default().entry(digest);
            of_selector.or_default().insert(id.clone());
            let ends = until.map(|until| (until, id.clone()));
            self.at_signers_until.extend(ends);
            self.bans += usize::from(revocation.ban.is_some());
        }
        if let Some(entry) = revocation.status_entry(&self.status_keys) {
            self.invalidate(&id, entry);
        }
        *self
            .of_clients
            .entry(revocation.client.clone())
            .or_default() += 1;
        self.entries.insert(id, entry);
    }

    /// Notes one whose record does not read.
    pub(super) fn put_unreadable(&mut self, id: String) {
        self.remove(&id);
        self.unreadable.insert(id);
    }

    /// Whether it is known of every revocation which tokens it is about.
    pub(super) fn is_whole(&self) -> bool {
        self.unreadable.is_empty()
    }

    /// Whether a token that is issued now may have to wait for one that is being made.
    pub(super) fn is_settling(&self, issued_at: u64) -> bool {
        !self.open.is_empty() || issued_at < self.latest_bound
    }

    /// Forgets a revocation.
    pub(super) fn remove(&mut self, id: &str) {
        self.unreadable.remove(id);
        let Some(Entry { revocation, .. }) = self.entries.remove(id) else {
            return;
        };
        self.open.remove(id);
        let place = (revocation.changed_at.floor_seconds(), id.to_owned());
        if let Some(placed) = self.feed.remove(&place) {
            remove_bound(&mut self.bounds, placed.record);
        }
        self.leave_signers(&revocation);
        let (_, record) = revocation.record(&self.salt);
        if let Some(bounds) = self.at_grants.get_mut(&record.digest) {
            bounds.remove(id);
            if bounds.is_empty() {
                self.at_grants.remove(&record.digest);
            }
        }
        self.leave_status_lists(id);
        if let Some(count) = self.of_clients.get_mut(&revocation.client) {
            *count -= 1;
            if *count == 0 {
                self.of_clients.remove(&revocation.client);
            }
        }
    }

    fn leave_signers(&mut self, revocation: &Revocation) {
        let Some((kind, digest)) = revocation.selector.digest(&self.salt) else {
            return;
        };
        let id = &revocation.id;
        let Some(of_kind) = self.at_signers.get_mut(&kind) else {
            return;
        };
        let Some(ids) = of_kind.get_mut(&digest) else {
            return;
        };
        if !ids.remove(id) {
            return;
        }
        if ids.is_empty() {
            of_kind.remove(&digest);
        }
        if of_kind.is_empty() {
            self.at_signers.remove(&kind);
        }
        self.bans -= usize::from(revocation.ban.is_some());
        if let Some(until) = at_signers_until(revocation) {
            self.at_signers_until.remove(&(until, id.clone()));
        }
    }

    /// Lets go of what matters no more, to signers or in the feed. It looks at that alone: once a second
    /// it is in the way of every signature.
    pub(super) fn tidy(&mut self, now: Timestamp) -> bool {
        while let Some((until, id)) = self.at_signers_until.first()
            && *until <= now
        {
            let entry = self.entries.get(id);
            let revocation = entry.map(|entry| Arc::clone(&entry.revocation));
            self.at_signers_until.pop_first();
            if let Some(revocation) = revocation {
                self.leave_signers(&revocation);
            }
        }
        let hour = feed_hour(now);
        if hour == self.feed_hour {
            return false;
        }
        self.feed_hour = hour;
        let before = self.feed.len();
        let (entries, bounds) = (&self.entries, &mut self.bounds);
        let mut past = Vec::new();
        self.feed.retain(|(_, id), placed| {
            let entry = entries.get(id);
            let stays = entry.is_some_and(|entry| entry.revocation.is_in_feed(now));
            if !stays {
                remove_bound(bounds, placed.record);
                past.push(id.clone());
            }
            stays
        });
        // Every token that it takes back has expired.
        past.iter().for_each(|id| self.leave_status_lists(id));
        self.feed.len() < before
    }

    /// Whether a revocation could keep a token from being signed that is issued at this second. What is
    /// past does not.
    pub(super) fn matters_to_signers(&self, issued_at: u64) -> bool {
        self.bans > 0 || self.is_settling(issued_at) || !self.is_whole()
    }

    /// What the revocations with these selectors say of a token.
    pub(super) fn judge(
        &self,
        selectors: &TokenSelectors<'_>,
        issued_at: u64,
        now: Timestamp,
    ) -> SigningVerdict {
        if !self.is_whole() {
            return SigningVerdict::Settling(None);
        }
        let matching = selectors.iter().filter_map(|one| {
            let of_kind = self.at_signers.get(&one.kind())?;
            of_kind.get(&one.digest(&self.salt))
        });
        let entries = matching.flatten().filter_map(|id| self.entries.get(id));
        entries
            .map(|entry| SigningVerdict::of(&entry.revocation, issued_at, now))
            .fold(SigningVerdict::Allowed, SigningVerdict::and)
    }

    /// Whether verifiers that know of everything refuse a token with these selectors and this `iat`.
    pub(super) fn refuses(&self, selectors: &TokenSelectors<'_>, issued_at: Option<u64>) -> bool {
        if self.bounds.is_empty() {
            return false;
        }
        let digests = selectors.iter().map(|selector| selector.digest(&self.salt));
        let mut bounds = digests
            .filter_map(|digest| self.bounds.get(&digest))
            .flatten();
        bounds.any(|bound| refuses(*bound, issued_at))
    }

    /// Whether a grant with these selectors that was opened at this Unix second is taken back, by any
    /// revocation that is kept. While one does not read, nothing is signed for any grant ([`Self::judge`]).
    pub(super) fn takes_back(&self, selectors: &TokenSelectors<'_>, opened_at: u64) -> bool {
        let digests = selectors.iter().map(|selector| selector.digest(&self.salt));
        let matching = digests.filter_map(|digest| self.at_grants.get(&digest));
        let mut bounds = matching.flat_map(BTreeMap::values);
        bounds.any(|bound| bound.is_none_or(|bound| opened_at < bound))
    }

    /// The revocation with this identifier.
    pub(super) fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// How many there are, also of those that do not read.
    pub(super) fn count(&self) -> usize {
        self.entries.len() + self.unreadable.len()
    }

    /// Those that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = &Entry> {
        self.open.iter().filter_map(|id| self.entries.get(id))
    }

    /// The identifiers of all, also of those that do not read.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        let ids = self.entries.keys().chain(&self.unreadable);
        ids.cloned().collect()
    }

    /// All of them after this identifier, in order.
    pub(super) fn after(&self, id: &str) -> impl Iterator<Item = &Entry> {
        use std::ops::Bound::{Excluded, Unbounded};
        let entries = self.entries.range::<str, _>((Excluded(id), Unbounded));
        entries.map(|(_, entry)| entry)
    }

    /// What the feed has, in its order.
    pub(super) fn feed(&self) -> Vec<LayoutRecord> {
        self.feed.values().copied().collect()
    }

    /// How many there are, of this client and of all.
    pub(super) fn counts(&self, client: &str) -> (usize, usize) {
        let own = self.of_clients.get(client).copied().unwrap_or_default();
        (own, self.entries.len())
    }
}

/// Whether tokens with this `iat` are refused where those with an earlier one than `bound` are, or all.
pub(super) fn refuses(bound: Option<u64>, issued_at: Option<u64>) -> bool {
    bound.zip(issued_at).is_none_or(|(bound, at)| at < bound)
}

fn remove_bound(bounds: &mut HashMap<Digest, Vec<Option<u64>>>, record: FeedRecord) {
    let Some(of_digest) = bounds.get_mut(&record.digest) else {
        return;
    };
    let place = of_digest
        .iter()
        .position(|bound| *bound == record.issued_before);
    if let Some(place) = place {
        of_digest.swap_remove(place);
    }
    if of_digest.is_empty() {
        bounds.remove(&record.digest);
    }
}

/// From when on a revocation keeps no token from being signed; `None` when it does so for now.
fn at_signers_until(revocation: &Revocation) -> Option<Timestamp> {
    let State::Closed { issued_before, .. } = revocation.state else {
        return None;
    };
    let settled = Timestamp::from_seconds(issued_before).after(SIGNATURE_UNDER_WAY);
    match revocation.ban {
        None => Some(settled),
        Some(Ban::Until(end)) => Some(settled.max(end)),
        Some(Ban::UntilLifted) => None,
    }
}

#[cfg(test)]
mod tests;
