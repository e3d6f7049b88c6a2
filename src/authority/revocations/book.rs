//! The revocations of one issuer in memory: by identifier, in the order of the feed, and those that
//! matter to a signer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use keywright_verifier::revocation::{Digest, Record as FeedRecord, Salt, Selector};

use crate::lifecycle::Timestamp;
use crate::revocation::{LayoutRecord, Revocation, SigningVerdict, State, height};
use crate::store::Token;

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
    /// Those that may keep a token from being signed.
    at_signers: HashMap<Selector, BTreeSet<String>>,
    /// Those whose records do not read: nobody knows which tokens they are about.
    unreadable: BTreeSet<String>,
    /// How many are open.
    open: usize,
    /// The latest time before which one that is closed refuses tokens.
    latest_bound: u64,
    /// How many each client has asked for.
    of_clients: HashMap<String, usize>,
}

impl Book {
    pub(super) fn new(salt: Salt) -> Self {
        Self {
            salt,
            entries: BTreeMap::new(),
            feed: BTreeMap::new(),
            bounds: HashMap::new(),
            at_signers: HashMap::new(),
            unreadable: BTreeSet::new(),
            open: 0,
            latest_bound: 0,
            of_clients: HashMap::new(),
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
            None => self.open += 1,
            Some(bound) => self.latest_bound = self.latest_bound.max(bound),
        }
        if revocation.is_in_feed(now) {
            let place = (revocation.changed_at.floor_seconds(), id.clone());
            let record = revocation.record(&self.salt);
            let bounds = self.bounds.entry(record.digest).or_default();
            bounds.push(record.issued_before);
            let height = height(&id);
            self.feed.insert(place, LayoutRecord { record, height });
        }
        if matters_to_signers(revocation, now) {
            let selector = revocation.selector.clone();
            self.at_signers
                .entry(selector)
                .or_default()
                .insert(id.clone());
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
        self.open > 0 || issued_at < self.latest_bound
    }

    /// Forgets a revocation.
    pub(super) fn remove(&mut self, id: &str) {
        self.unreadable.remove(id);
        let Some(Entry { revocation, .. }) = self.entries.remove(id) else {
            return;
        };
        if revocation.issued_before().is_none() {
            self.open -= 1;
        }
        let place = (revocation.changed_at.floor_seconds(), id.to_owned());
        if let Some(placed) = self.feed.remove(&place) {
            remove_bound(&mut self.bounds, placed.record);
        }
        self.leave_signers(&revocation);
        if let Some(count) = self.of_clients.get_mut(&revocation.client) {
            *count -= 1;
            if *count == 0 {
                self.of_clients.remove(&revocation.client);
            }
        }
    }

    fn leave_signers(&mut self, revocation: &Revocation) {
        if let Some(ids) = self.at_signers.get_mut(&revocation.selector) {
            ids.remove(&revocation.id);
            if ids.is_empty() {
                self.at_signers.remove(&revocation.selector);
            }
        }
    }

    /// Lets go of what matters no more, to signers or in the feed.
    pub(super) fn tidy(&mut self, now: Timestamp) -> bool {
        let ids = self.at_signers.values().flatten();
        let past: Vec<Arc<Revocation>> = ids
            .filter_map(|id| self.entries.get(id))
            .filter(|entry| !matters_to_signers(&entry.revocation, now))
            .map(|entry| Arc::clone(&entry.revocation))
            .collect();
        past.iter()
            .for_each(|revocation| self.leave_signers(revocation));
        let before = self.feed.len();
        let (entries, bounds) = (&self.entries, &mut self.bounds);
        self.feed.retain(|(_, id), placed| {
            let entry = entries.get(id);
            let stays = entry.is_some_and(|entry| entry.revocation.is_in_feed(now));
            if !stays {
                remove_bound(bounds, placed.record);
            }
            stays
        });
        self.feed.len() < before
    }

    /// Whether any revocation could keep a token from being signed.
    pub(super) fn matters_to_signers(&self) -> bool {
        !self.at_signers.is_empty() || !self.is_whole()
    }

    /// What the revocations with these selectors say of a token.
    pub(super) fn judge(
        &self,
        selectors: &[Selector],
        issued_at: u64,
        now: Timestamp,
    ) -> SigningVerdict {
        if !self.is_whole() {
            return SigningVerdict::Settling(None);
        }
        let matching = selectors.iter().filter_map(|one| self.at_signers.get(one));
        let entries = matching.flatten().filter_map(|id| self.entries.get(id));
        entries
            .map(|entry| SigningVerdict::of(&entry.revocation, issued_at, now))
            .fold(SigningVerdict::Allowed, SigningVerdict::and)
    }

    /// Whether verifiers that know of everything refuse a token with these selectors and this `iat`.
    pub(super) fn refuses(&self, selectors: &[Selector], issued_at: Option<u64>) -> bool {
        if self.bounds.is_empty() {
            return false;
        }
        let digests = selectors.iter().map(|selector| selector.digest(&self.salt));
        let mut bounds = digests
            .filter_map(|digest| self.bounds.get(&digest))
            .flatten();
        bounds.any(|bound| bound.zip(issued_at).is_none_or(|(bound, at)| at < bound))
    }

    /// The revocation with this identifier.
    pub(super) fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
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

fn matters_to_signers(revocation: &Revocation, now: Timestamp) -> bool {
    let is_settling = match revocation.state {
        State::Open => true,
        State::Closed { issued_before, .. } => {
            let until = Timestamp::from_seconds(issued_before).after(SIGNATURE_UNDER_WAY);
            now < until
        }
    };
    is_settling || revocation.ban.is_some_and(|ban| ban.holds(now))
}

#[cfg(test)]
mod tests {
    use keywright_verifier::revocation::SelectorKind;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn subject(value: &str) -> Selector {
        Selector::new(SelectorKind::Subject, &[value]).unwrap()
    }

    fn entry(id: &str, subject_value: &str, state: State) -> Entry {
        let revocation = Revocation {
            id: id.to_owned(),
            selector: subject(subject_value),
            state,
            ban: None,
            reason: None,
            by: serde_json::Value::Null,
            client: "c".to_owned(),
            created_at: NOW,
            changed_at: NOW,
        };
        Entry {
            revocation: Arc::new(revocation),
            token: Token::UNWRITTEN,
            known_through: 0,
        }
    }

    fn closed(issued_before: u64) -> State {
        State::Closed {
            issued_before,
            expires_at: NOW.after(Duration::from_secs(60)),
        }
    }

    #[test]
    fn a_token_is_refused_by_any_revocation_that_is_in_the_feed() {
        let mut book = Book::new(Salt::new([7; 32]));
        let selectors = [subject("a"), subject("b")];
        let refuses = |book: &Book, at| book.refuses(&selectors, at);
        assert!(!refuses(&book, Some(1)));
        book.put(entry("1", "a", State::Open), NOW);
        assert!(refuses(&book, Some(u64::MAX)), "an open one refuses all");
        book.put(entry("1", "a", closed(100)), NOW);
        book.put(entry("2", "a", closed(200)), NOW);
        book.put(entry("3", "a", closed(200)), NOW);
        book.put(entry("4", "c", State::Open), NOW);
        for (at, refused) in [
            (Some(99), true),
            (Some(199), true),
            (Some(200), false),
            (None, true),
        ] {
            assert_eq!(refuses(&book, at), refused, "{at:?}");
        }
        book.remove("2");
        assert!(
            refuses(&book, Some(199)),
            "another one with the same bound stays"
        );
        book.remove("3");
        assert!(!refuses(&book, Some(150)));
        assert!(refuses(&book, Some(99)));
        // What every token has outlived is forgotten, here as in the feed.
        book.tidy(NOW.after(Duration::from_secs(7200)));
        assert!(!refuses(&book, Some(99)));
        assert_eq!(book.bounds.len(), 1, "the open one of another subject");
    }
}
