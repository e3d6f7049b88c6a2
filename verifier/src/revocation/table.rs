//! The records of a content, to be looked up.

use std::collections::HashMap;
use std::sync::Arc;

use super::record::segment_hash;
use super::{
    Content, Digest, Record, Salt, SegmentReference, SelectorKind, SelectorKinds, SelectorRef,
};

/// What is revoked, in a form that a token is looked up in. Clones share it.
#[derive(Clone, Debug)]
pub struct RevocationTable {
    salt: Salt,
    /// Those that have a record.
    kinds: SelectorKinds,
    /// That of `Selector::Issuer`, which every token has.
    issuer: Digest,
    recent: HashMap<Digest, Bound>,
    segments: Arc<Segments>,
    /// What no record exceeds.
    greatest: Bound,
}

/// What rarely changes.
#[derive(Debug)]
struct Segments {
    references: Vec<SegmentReference>,
    records: HashMap<Digest, Bound>,
    greatest: Bound,
}

/// Which tokens the records of one digest refuse.
#[derive(Clone, Copy, Default, Debug)]
struct Bound {
    /// Those that were issued before; the greatest time of all records.
    issued_before: u64,
    /// Those that were issued until the head was: a process may have signed them that did not know.
    is_open: bool,
}

impl Bound {
    fn refuses(self, issued_at: Option<u64>, head_issued_at: u64) -> bool {
        issued_at.is_none_or(|issued_at| {
            issued_at < self.issued_before || (self.is_open && issued_at <= head_issued_at)
        })
    }

    fn add(&mut self, other: Self) {
        self.issued_before = self.issued_before.max(other.issued_before);
        self.is_open |= other.is_open;
    }
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
            greatest: greatest(&records),
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
        let mut greatest = greatest(&recent);
        greatest.add(segments.greatest);
        Self {
            greatest,
            salt: content.salt.clone(),
            kinds: content.kinds,
            issuer: SelectorRef::ISSUER.digest(&content.salt),
            recent,
            segments,
        }
    }

    /// The kind of a selector that takes a token back; `None` when none of `selectors` does.
    ///
    /// `selectors` are all of the token ([`selectors_of`](super::selectors_of)), `issued_at` is its `iat`
    /// in whole seconds, rounded down, and `head_issued_at` that of the head. An open record refuses what
    /// was issued until then: what is issued later may have been signed by a process that knew of it and
    /// has waited, and stays.
    pub fn find<'t>(
        &self,
        selectors: impl IntoIterator<Item = SelectorRef<'t>>,
        issued_at: Option<u64>,
        head_issued_at: u64,
    ) -> Option<SelectorKind> {
        let is_empty = self.recent.is_empty() && self.segments.records.is_empty();
        if is_empty || !self.greatest.refuses(issued_at, head_issued_at) {
            return None;
        }
        let kinds = selectors
            .into_iter()
            .map(|selector| (selector.kind(), selector));
        let mut revoked = kinds
            .filter(|(kind, _)| self.kinds.contains(*kind))
            .filter(|(_, one)| self.is_revoked(&self.digest(*one), issued_at, head_issued_at));
        revoked.next().map(|(kind, _)| kind)
    }

    fn digest(&self, selector: SelectorRef<'_>) -> Digest {
        match selector.kind() {
            SelectorKind::Issuer => self.issuer,
            _ => selector.digest(&self.salt),
        }
    }

    fn is_revoked(&self, digest: &Digest, issued_at: Option<u64>, head_issued_at: u64) -> bool {
        [&self.recent, &self.segments.records]
            .into_iter()
            .filter_map(|records| records.get(digest))
            .any(|bound| bound.refuses(issued_at, head_issued_at))
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
fn add(table: &mut HashMap<Digest, Bound>, records: impl ExactSizeIterator<Item = Record>) {
    table.reserve(records.len());
    for record in records {
        table.entry(record.digest).or_default().add(Bound {
            issued_before: record.issued_before.unwrap_or_default(),
            is_open: record.issued_before.is_none(),
        });
    }
}

fn greatest(table: &HashMap<Digest, Bound>) -> Bound {
    let mut greatest = Bound::default();
    table.values().for_each(|bound| greatest.add(*bound));
    greatest
}

/// Bytes are not the segments that a content names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a segment is not the one that is named")]
pub struct SegmentMismatch;

#[cfg(test)]
mod tests;
