//! Which entries of status lists are invalid: those of the tokens that a `jti` names, and those of tracked
//! tokens that were found in the store.
//!
//! Tracked tokens are looked for once when a revocation comes, and once more when it is closed, which is put
//! here like a new one. The second look finds all: a token was written down before it was handed out, and a
//! revocation is closed when no process hands out a token any more that it refuses.

use std::collections::{BTreeSet, HashMap};

use keywright_verifier::revocation::{Digest, Record};

use super::{Book, refuses};
use crate::revocation::status_list::{StatusEntry, TrackedToken};
use crate::store::Token;

/// Revocations whose tracked tokens are looked for: by what these are found by, the identifiers and the
/// states that their records are in.
pub(in crate::authority) type Sought = HashMap<Digest, Vec<(String, Token)>>;

/// Which entries of status lists a revocation makes invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::authority::revocations) enum StatusEntries {
    /// The one that its `jti` names.
    OfItsJti,
    /// Those of tracked tokens.
    OfTrackedTokens,
    /// Those of its tokens are not known.
    Unknown,
}

impl Book {
    /// Which entries of status lists a revocation makes invalid.
    pub(in crate::authority::revocations) fn status_entries_of(&self, id: &str) -> StatusEntries {
        let selector = self.get(id).map(|entry| &entry.revocation.selector);
        match selector.and_then(|selector| selector.tracked_by(&self.salt)) {
            Some(_) => StatusEntries::OfTrackedTokens,
            None if self.status_entry(id).is_some() => StatusEntries::OfItsJti,
            None => StatusEntries::Unknown,
        }
    }

    /// The entry of a status list that the `jti` of a revocation names.
    pub(in crate::authority::revocations) fn status_entry(&self, id: &str) -> Option<StatusEntry> {
        let revocation = &self.get(id)?.revocation;
        revocation.status_entry(&self.status_keys)
    }

    /// The invalid entries of a status list.
    pub(in crate::authority::revocations) fn invalid_entries(&self, list: u32) -> BTreeSet<u32> {
        let of_list = self.invalid.get(&list).into_iter();
        of_list
            .flat_map(|entries| entries.keys())
            .copied()
            .collect()
    }

    /// The revocations whose tracked tokens are still to be looked for.
    pub(in crate::authority::revocations) fn sought(&self) -> Sought {
        let mut sought = Sought::new();
        for (id, found_by) in &self.to_find {
            if let Some(entry) = self.entries.get(id) {
                let of_digest = sought.entry(*found_by).or_default();
                of_digest.push((id.clone(), entry.token));
            }
        }
        sought
    }

    /// Makes the entries of those tracked tokens invalid that a revocation refuses which was looked for.
    pub(in crate::authority::revocations) fn found(
        &mut self,
        sought: &Sought,
        tokens: &[TrackedToken],
    ) {
        let record = |(id, _): &(String, Token)| {
            let entry = self.entries.get(id)?;
            let (_, record) = entry.revocation.record(&self.salt);
            Some((id.clone(), record))
        };
        let records: HashMap<Digest, Vec<(String, Record)>> = sought
            .iter()
            .map(|(found_by, of_digest)| (*found_by, of_digest.iter().filter_map(record).collect()))
            .collect();
        for token in tokens {
            for (id, record) in records.get(&token.found_by).into_iter().flatten() {
                let is_refused = refuses(record.issued_before, Some(token.issued_at));
                if is_refused && token.has(&record.digest) {
                    self.invalidate(id, token.entry);
                }
            }
        }
    }

    /// All tokens were found of these, unless they have changed since.
    pub(in crate::authority::revocations) fn all_found<'s>(
        &mut self,
        looked_for: impl IntoIterator<Item = &'s (String, Token)>,
    ) {
        for (id, token) in looked_for {
            let is_same = |entry: &super::Entry| entry.token == *token;
            if self.entries.get(id).is_some_and(is_same) {
                self.to_find.remove(id);
            }
        }
    }

    pub(super) fn invalidate(&mut self, id: &str, entry: StatusEntry) {
        let of_revocation = self.status_entries.entry(id.to_owned()).or_default();
        if of_revocation.insert(entry) {
            let of_list = self.invalid.entry(entry.list).or_default();
            *of_list.entry(entry.index).or_default() += 1;
        }
    }

    /// Makes the entries of a revocation valid again, unless another one has them, too.
    pub(super) fn leave_status_lists(&mut self, id: &str) {
        self.to_find.remove(id);
        let entries = self.status_entries.remove(id);
        for StatusEntry { list, index } in entries.into_iter().flatten() {
            let Some(of_list) = self.invalid.get_mut(&list) else {
                continue;
            };
            if let Some(count) = of_list.get_mut(&index) {
                *count -= 1;
                if *count == 0 {
                    of_list.remove(&index);
                }
            }
            if of_list.is_empty() {
                self.invalid.remove(&list);
            }
        }
    }
}
