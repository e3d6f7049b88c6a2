//! The feed: one small signed head that says all that is revoked, and the segments that it names.
//!
//! A head says of which moment it is: what was committed before is in it. That is never later than
//! when the store was asked for the lease that is running, so that a process which is cut off cannot
//! freshen. It is signed on request, once a second at most, and shared by all who ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use keywright_verifier::revocation::{
    Content, Head, HeadKind, Record, RevocationDocument, Salt, SegmentReference, feed_url,
    segment_bytes, segment_hash,
};
use keywright_verifier::{Algorithm, Kid};

use super::Revocations;
use crate::authority::issuer::Issuer;
use crate::authority::signing::{SignRefusal, sign_document};
use crate::authority::snapshot::{LeasedSnapshot, SigningEntry};
use crate::authority::{Authority, Services};
use crate::lifecycle::{Policy, RevocationFeed, Timestamp};
use crate::revocation::{Layout, LayoutRecord};

/// What a verifier asks for.
#[derive(Debug, Clone, Default)]
pub struct FeedRequest {
    /// What the head is signed with; the policy's default when absent.
    pub algorithm: Option<Algorithm>,
    /// The root that it knows. While that is the feed's, it waits.
    pub known: Option<[u8; 32]>,
    /// For how long it waits.
    pub wait: Duration,
    /// Repeated in the head.
    pub nonce: Option<String>,
}

/// A head.
#[derive(Clone)]
pub struct SignedHead {
    /// The compact JWS.
    pub jws: String,
    /// What it is of.
    root: [u8; 32],
    signed_at: Timestamp,
    kid: Kid,
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedRefusal {
    /// The policy has no feed.
    #[error("the issuer publishes no revocations")]
    Off,
    /// This process cannot say what is revoked now.
    #[error("this process has not heard from the store for too long to say what is revoked")]
    Stale,
    /// Nothing signs with this algorithm.
    #[error("no {0} key is active for this issuer")]
    AlgorithmNotActive(Algorithm),
    /// Too many verifiers want a head of their own.
    #[error("too many ask for a head with a nonce")]
    Busy,
    /// The signature failed.
    #[error("the head could not be signed")]
    Unsigned,
}

/// A head is shared by all who ask within this time.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// How many heads with a nonce are signed in that time.
const MOST_WITH_NONCE: u32 = 400;

/// For how long segments are kept that no head names any longer: a verifier may be fetching them.
const SEGMENTS_KEPT_FOR: Duration = Duration::from_secs(120);

/// From so many records on the content is put together off the threads that serve requests.
const MANY: usize = 4096;

/// What an issuer's feed has in memory.
#[derive(Default)]
pub(super) struct Feed {
    built: Mutex<Option<Arc<Built>>>,
    /// Held by the request that builds the content: all others wait for it.
    building: tokio::sync::Mutex<()>,
    heads: tokio::sync::Mutex<Heads>,
    segments: Mutex<HashMap<[u8; 32], Segment>>,
}

/// The content as of one change.
struct Built {
    change: u64,
    content: Content,
    root: [u8; 32],
    /// The records of each segment of the content, in its order.
    segments: Vec<Vec<LayoutRecord>>,
}

#[derive(Default)]
struct Heads {
    shared: HashMap<Algorithm, SignedHead>,
    /// When heads with a nonce were counted last, and how many there were since.
    with_nonce: (Timestamp, u32),
}

struct Segment {
    bytes: Bytes,
    named_at: Timestamp,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Revocations {
    /// A segment, if a head of this or another process names it or has named it lately.
    async fn find_segment(self: &Arc<Self>, hash: &[u8; 32], now: Timestamp) -> Option<Bytes> {
        match self.segment(hash) {
            Some(bytes) => Some(bytes),
            None => {
                self.built(now).await.ok()?;
                self.segment(hash)
            }
        }
    }

    fn segment(&self, hash: &[u8; 32]) -> Option<Bytes> {
        let segments = lock(&self.feed.segments);
        segments.get(hash).map(|segment| segment.bytes.clone())
    }

    /// The content, if it has been put together since this change.
    fn built_since(&self, change: u64) -> Option<Arc<Built>> {
        let known = lock(&self.feed.built).clone();
        known.filter(|known| known.change >= change)
    }

    /// The content as it is now.
    async fn built(self: &Arc<Self>, now: Timestamp) -> Result<Arc<Built>, FeedRefusal> {
        if let Some(known) = self.built_since(self.change()) {
            return Ok(known);
        }
        let _building = self.feed.building.lock().await;
        // Later changes are in it as well.
        let change = self.change();
        if let Some(known) = self.built_since(change) {
            return Ok(known);
        }
        let (salt, records) = {
            let book = self.read();
            if !book.is_whole() {
                return Err(FeedRefusal::Stale);
            }
            (book.salt().clone(), book.feed())
        };
        let before = lock(&self.feed.built).clone();
        let is_long = records.len() >= MANY;
        let layout = {
            let before = before.clone();
            move || lay_out(change, salt, &records, before.as_deref())
        };
        let laid_out = match is_long {
            true => tokio::task::spawn_blocking(layout).await,
            false => Ok(layout()),
        };
        // A head of nothing would say that nothing is revoked: without a content there is none.
        let (built, segments) = laid_out.map_err(|_| FeedRefusal::Unsigned)?;
        let mut kept = lock(&self.feed.segments);
        for (hash, bytes) in segments {
            kept.entry(hash).or_insert(Segment {
                bytes: bytes.into(),
                named_at: now,
            });
        }
        // Until now heads have named those of before.
        let named = before.iter().flat_map(|before| &before.content.segments);
        for segment in named.chain(&built.content.segments) {
            if let Some(kept) = kept.get_mut(&segment.hash) {
                kept.named_at = now;
            }
        }
        let is_named = |hash: &[u8; 32]| {
            let mut named = built.content.segments.iter();
            named.any(|one| one.hash == *hash)
        };
        kept.retain(|hash, segment| {
            is_named(hash) || now.since(segment.named_at) < SEGMENTS_KEPT_FOR
        });
        drop(kept);
        let built = Arc::new(built);
        *lock(&self.feed.built) = Some(Arc::clone(&built));
        Ok(built)
    }
}

/// The bytes of segments, each with its hash.
type NamedSegments = Vec<([u8; 32], Vec<u8>)>;

/// The content as of a change, and the segments that the one of before has not.
fn lay_out(
    change: u64,
    salt: Salt,
    records: &[LayoutRecord],
    before: Option<&Built>,
) -> (Built, NamedSegments) {
    let layout = Layout::of(records);
    let known = |segment: &[LayoutRecord]| {
        let before = before?;
        let mut segments = before.segments.iter().zip(&before.content.segments);
        let found = segments.find(|(known, _)| *known == segment);
        found.map(|(_, reference)| *reference)
    };
    let (mut references, mut segments, mut named) = (Vec::new(), Vec::new(), Vec::new());
    for segment in layout.segments {
        let reference = known(segment).unwrap_or_else(|| {
            let bytes = segment_bytes(records_of(segment));
            let hash = segment_hash(&bytes);
            named.push((hash, bytes));
            let count = u32::try_from(segment.len()).unwrap_or(u32::MAX);
            SegmentReference { hash, count }
        });
        // What is taken back twice may make two segments of the same records. A head names one.
        if !references.contains(&reference) {
            references.push(reference);
            segments.push(segment.to_vec());
        }
    }
    let content = Content {
        salt,
        kinds: records.iter().map(|placed| placed.kind).collect(),
        recent: records_of(layout.recent),
        segments: references,
    };
    let built = Built {
        change,
        root: content.root(),
        content,
        segments,
    };
    (built, named)
}

fn records_of(part: &[LayoutRecord]) -> Vec<Record> {
    part.iter().map(|placed| placed.record).collect()
}

impl Authority {
    /// The head of an issuer's feed, as soon as it says something else than the caller knows, or when
    /// that has waited long enough. It ends when the process does.
    ///
    /// # Errors
    /// [`FeedRefusal`].
    pub async fn revocation_head(
        &self,
        issuer: &Issuer,
        request: &FeedRequest,
    ) -> Result<SignedHead, FeedRefusal> {
        let services = &self.services;
        let until = services.clock.now().after(request.wait);
        let mut passed_over = None;
        let mut changes = issuer.revocations().subscribe();
        loop {
            changes.borrow_and_update();
            let view = issuer.leased_snapshot();
            if view.set().policy().revocation_feed == RevocationFeed::Off {
                return Err(FeedRefusal::Off);
            }
            let vouched_at = services.feed_vouched_at(&view)?;
            let now = services.lease.time();
            let built = issuer.revocations().built(now).await?;
            let is_known = request.known == Some(built.root);
            if is_known && services.clock.now() < until && !self.is_draining() {
                tokio::select! {
                    _ = changes.changed() => {}
                    () = services.clock.sleep_until(until) => {}
                }
                continue;
            }
            let signed = sign(services, issuer, &view, &built, vouched_at, request).await?;
            // Under constant changes no request waits for one head that says them all.
            let now = services.clock.now();
            let since = *passed_over.get_or_insert(now);
            let is_news = ![signed.root, built.root].map(Some).contains(&request.known);
            if signed.root == built.root || is_news && now.since(since) >= SHARED_FOR {
                return Ok(signed);
            }
            // Another one was signed less than a second ago, and said something else.
            let next = services.clock.now().after(SHARED_FOR / 10);
            services.clock.sleep_until(next).await;
        }
    }

    /// The segment of an issuer's feed with this hash.
    pub async fn revocation_segment(&self, issuer: &Issuer, hash: &[u8; 32]) -> Option<Bytes> {
        let now = self.services.lease.time();
        issuer.revocations().find_segment(hash, now).await
    }

    /// What an issuer has revoked, signed for a file: for verifiers that cannot reach the feed, for so long.
    /// An issuer has it whether or not it has a feed.
    ///
    /// # Errors
    /// [`FeedRefusal`].
    pub async fn revocation_file(
        &self,
        issuer: &Issuer,
        algorithm: Option<Algorithm>,
        max_age: Duration,
    ) -> Result<RevocationDocument, FeedRefusal> {
        let services = &self.services;
        let view = issuer.leased_snapshot();
        let vouched_at = services.feed_vouched_at(&view)?;
        let built = issuer.revocations().built(services.lease.time()).await?;
        let policy = view.set().policy();
        let algorithm = algorithm.unwrap_or(policy.default_algorithm);
        let head = Head {
            max_age_seconds: max_age.as_secs(),
            ..head_of(policy, vouched_at, &built.content)
        };
        let segments = built.content.segments.iter();
        let segments = segments.map(|segment| issuer.revocations().segment(&segment.hash));
        let segments: Option<Vec<Bytes>> = segments.collect();
        let segments = segments.ok_or(FeedRefusal::Unsigned)?;
        let entry = view
            .signer(algorithm)
            .ok_or(FeedRefusal::AlgorithmNotActive(algorithm))?;
        Ok(RevocationDocument {
            head: sign_head(&view, entry, &head, HeadKind::File).await?,
            segments: segments.into_iter().map(Vec::from).collect(),
        })
    }

    /// Lets those that wait for a change of any feed go: the process ends.
    pub(in crate::authority) fn end_waiting_for_revocations(&self) {
        for issuer in self.issuers() {
            issuer.revocations().notify();
        }
    }
}

impl Services {
    /// The moment up to which this process knows what is revoked. One that is cut off says so in time
    /// for its verifiers to ask another one.
    fn feed_vouched_at(&self, view: &LeasedSnapshot) -> Result<Timestamp, FeedRefusal> {
        self.vouched_at(view, view.set().policy().revocation_max_age / 2)
    }

    /// The same for a document that is to be that much younger at least than it counts for.
    pub(in crate::authority) fn vouched_at(
        &self,
        view: &LeasedSnapshot,
        most: Duration,
    ) -> Result<Timestamp, FeedRefusal> {
        let confirmed = self.lease.confirmed_at().ok_or(FeedRefusal::Stale)?;
        if self.lease.time().since(confirmed) > most || !view.may_sign() {
            return Err(FeedRefusal::Stale);
        }
        Ok(confirmed)
    }
}

/// A head of this content, or of another one if that was signed less than a second ago.
async fn sign(
    services: &Services,
    issuer: &Issuer,
    view: &LeasedSnapshot,
    built: &Built,
    vouched_at: Timestamp,
    request: &FeedRequest,
) -> Result<SignedHead, FeedRefusal> {
    let policy = view.set().policy();
    let algorithm = request.algorithm.unwrap_or(policy.default_algorithm);
    let entry = view
        .signer(algorithm)
        .ok_or(FeedRefusal::AlgorithmNotActive(algorithm))?;
    let mut heads = issuer.revocations().feed.heads.lock().await;
    let now = services.lease.time();
    let signed = async |nonce: Option<&String>| {
        let head = Head {
            nonce: nonce.cloned(),
            ..head_of(policy, vouched_at, &built.content)
        };
        Ok(SignedHead {
            jws: sign_head(view, entry, &head, HeadKind::Feed).await?,
            root: built.root,
            signed_at: now,
            kid: entry.kid.clone(),
        })
    };
    if let Some(nonce) = &request.nonce {
        if !heads.may_sign_nonce(now) {
            return Err(FeedRefusal::Busy);
        }
        // It is for one caller alone, so that no other waits for it.
        drop(heads);
        return signed(Some(nonce)).await;
    }
    if let Some(shared) = heads.shared.get(&algorithm)
        && shared.kid == entry.kid
        && now.since(shared.signed_at) < SHARED_FOR
    {
        return Ok(shared.clone());
    }
    let head = signed(None).await?;
    heads.shared.insert(algorithm, head.clone());
    Ok(head)
}

/// The head of a feed. Its time is in whole seconds: nothing may be said of the rest of the one that is
/// running.
fn head_of(policy: &Policy, vouched_at: Timestamp, content: &Content) -> Head {
    Head {
        issuer: policy.url.as_str().to_owned(),
        feed: feed_url(policy.url.as_str()),
        issued_at_milliseconds: Timestamp::from_seconds(vouched_at.floor_seconds()).millis(),
        max_age_seconds: policy.revocation_max_age.as_secs(),
        nonce: None,
        content: content.clone(),
    }
}

async fn sign_head(
    view: &LeasedSnapshot,
    entry: &SigningEntry,
    head: &Head,
    kind: HeadKind,
) -> Result<String, FeedRefusal> {
    let signed = sign_document(view, entry, kind.typ(), &head.claims()).await;
    signed.map_err(|refusal| match refusal {
        SignRefusal::SnapshotStale => FeedRefusal::Stale,
        _ => FeedRefusal::Unsigned,
    })
}

impl Heads {
    /// Whether a head is signed for one caller alone.
    fn may_sign_nonce(&mut self, now: Timestamp) -> bool {
        let (since, count) = &mut self.with_nonce;
        if now.since(*since) >= SHARED_FOR {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= MOST_WITH_NONCE
    }
}

#[cfg(test)]
mod tests {
    use keywright_verifier::revocation::{Digest, SelectorKind};

    use super::*;

    /// So many records of one selector and one time, of these heights.
    fn same(heights: &[u8]) -> Vec<LayoutRecord> {
        let record = Record {
            digest: Digest::new([7; 16]),
            issued_before: Some(1),
        };
        let kind = SelectorKind::Subject;
        let placed = |height: &u8| LayoutRecord {
            record,
            kind,
            height: *height,
        };
        heights.iter().map(placed).collect()
    }

    #[test]
    fn segments_of_the_same_records_are_named_once_and_those_that_stay_are_not_made_again() {
        let salt = || Salt::new([1; 32]);
        let mut records = same(&[5, 3]);
        records.extend(same(&[0; 32]));
        assert_eq!(Layout::of(&records).segments.len(), 2);
        let (built, named) = lay_out(1, salt(), &records, None);
        assert_eq!(
            built.content.segments.len(),
            1,
            "a head with two is refused"
        );
        assert_eq!(built.content.segments[0].hash, named[0].0);
        let (next, named) = lay_out(2, salt(), &records[1..], Some(&built));
        assert_eq!(next.content.segments, built.content.segments);
        assert_eq!(named.len(), 1, "it is another one until it is made");
        let (next, named) = lay_out(3, salt(), &records[1..], Some(&next));
        assert_eq!(next.content.segments, built.content.segments);
        assert!(named.is_empty());
        let kinds: Vec<_> = next.content.kinds.iter().collect();
        assert_eq!(kinds, [SelectorKind::Subject]);
    }
}
