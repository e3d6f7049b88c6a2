//! The records of a content, to be looked up.

use std::collections::HashMap;
use std::sync::Arc;

use super::record::segment_hash;
use super::{Content, Digest, Record, Salt, SegmentReference, Selector, SelectorKind};

/// What is revoked, in a form that a token is looked up in. Clones share it.
#[derive(Clone, Debug)]
pub struct RevocationTable {
    salt: Salt,
    /// That of [`Selector::Issuer`], which every token has.
    issuer: Digest,
    /// The greatest time of each digest; `u64::MAX` for an open one.
    recent: HashMap<Digest, u64>,
    segments: Arc<Segments>,
}

/// What rarely changes.
#[derive(Debug)]
struct Segments {
    references: Vec<SegmentReference>,
    records: HashMap<Digest, u64>,
}

impl RevocationTable {
    /// Takes the records of `content`, and those of `segments`, which are the bytes of its segments in
    /// the same order.
    ///
    /// # Errors
    ///
    /// [`SegmentMismatch`] when these are other segments.
    pub fn new(content: &Content, segments: &[&[u8]]) -> Result<Self, SegmentMismatch> {
        if segments.len() != content.segments.len() {
            return Err(SegmentMismatch);
        }
        let mut records = HashMap::new();
        for (reference, bytes) in content.segments.iter().zip(segments) {
            if !reference.names(bytes) {
                return Err(SegmentMismatch);
            }
            add(
                &mut records,
                Record::read_all(bytes).ok_or(SegmentMismatch)?,
            );
        }
        let segments = Arc::new(Segments {
            references: content.segments.clone(),
            records,
        });
        Ok(Self::of(content, segments))
    }

    /// The table of another content that has the same segments; `None` when it has others.
    pub fn with_content(&self, content: &Content) -> Option<Self> {
        (self.segments.references == content.segments)
            .then(|| Self::of(content, Arc::clone(&self.segments)))
    }

    fn of(content: &Content, segments: Arc<Segments>) -> Self {
        let mut recent = HashMap::with_capacity(content.recent.len());
        add(&mut recent, content.recent.iter().copied());
        Self {
            salt: content.salt.clone(),
            issuer: Selector::Issuer.digest(&content.salt),
            recent,
            segments,
        }
    }

    /// The kind of a selector that takes a token back; `None` when none of `selectors` does.
    ///
    /// `selectors` are all of the token ([`selectors_of`](super::selectors_of)), and `issued_at` is its
    /// `iat` in whole seconds, rounded down.
    pub fn find(&self, selectors: &[Selector], issued_at: Option<u64>) -> Option<SelectorKind> {
        if self.recent.is_empty() && self.segments.records.is_empty() {
            return None;
        }
        let revoked = selectors
            .iter()
            .find(|selector| self.is_revoked(&self.digest(selector), issued_at));
        revoked.map(Selector::kind)
    }

    fn digest(&self, selector: &Selector) -> Digest {
        match selector {
            Selector::Issuer => self.issuer,
            _ => selector.digest(&self.salt),
        }
    }

    fn is_revoked(&self, digest: &Digest, issued_at: Option<u64>) -> bool {
        [&self.recent, &self.segments.records]
            .into_iter()
            .filter_map(|records| records.get(digest))
            .any(|issued_before| {
                issued_at.is_none_or(|issued_at| {
                    *issued_before == u64::MAX || issued_at < *issued_before
                })
            })
    }
}

impl SegmentReference {
    /// Whether these are the bytes of the segment.
    pub fn names(&self, bytes: &[u8]) -> bool {
        u64::try_from(bytes.len()).is_ok_and(|length| length == self.bytes())
            && segment_hash(bytes) == self.hash
    }
}

/// Of several times of one digest the greatest counts.
fn add(table: &mut HashMap<Digest, u64>, records: impl ExactSizeIterator<Item = Record>) {
    table.reserve(records.len());
    for record in records {
        let issued_before = record.issued_before.unwrap_or(u64::MAX);
        let known = table.entry(record.digest).or_insert(issued_before);
        *known = issued_before.max(*known);
    }
}

/// Bytes are not the segments that a content names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a segment is not the one that is named")]
pub struct SegmentMismatch;

#[cfg(test)]
mod tests;
