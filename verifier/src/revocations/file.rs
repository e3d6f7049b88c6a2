//! Revocations in a file, for a verifier that cannot reach the issuer.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::DEFAULT_MAX_RECORDS;
use super::error::RevocationsError;
use super::heads::{AcceptedHead, Bound, Heads, IssuerClock};
use super::identity::{Identity, check_time};
use crate::clock::{self, ClockReading};
use crate::file::{self, ReadError};
use crate::revocation::{
    HeadKind, Record, RevocationDocument, RevocationTable, SegmentMismatch, feed_url, segment_hash,
};
use crate::{JwkSet, Rules};

/// How often the file is looked at, unless [`RevocationFile::check_every`] says otherwise.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// How many bytes a file may have in addition to its records.
const MAX_OTHER_BYTES: u64 = 131_072;

/// An issuer's revocations in a file that may be replaced while it is in use: for a verifier that cannot
/// reach the issuer.
///
/// The file is a copy that the issuer has signed. It says itself for how long it counts, hours or days;
/// after that, tokens that are older than this are refused until a newer one has come. Replace it by
/// renaming another file over it. A content that is older, or that cannot be read or verified, replaces
/// nothing; [`Revocations::last_error`](super::Revocations::last_error) says why, and a warning is
/// logged.
#[derive(Clone, Debug)]
#[must_use = "nothing is followed before a verifier has it"]
pub struct RevocationFile {
    path: PathBuf,
    bound: Bound,
    check_every: Duration,
    max_records: u64,
}

impl RevocationFile {
    /// Reads the file once, so that one that is missing or garbled is found at the start. Whether it is
    /// the issuer's is seen when the issuer's keys are there.
    ///
    /// # Errors
    ///
    /// [`RevocationsError`]: it cannot be read, or holds no document of revocations.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, RevocationsError> {
        let path = path.into();
        RevocationDocument::parse(&read(&path, DEFAULT_MAX_RECORDS)?)?;
        Ok(Self {
            path,
            bound: Bound::OfHead,
            check_every: CHECK_EVERY,
            max_records: DEFAULT_MAX_RECORDS,
        })
    }

    /// Accepts a token for so long after the file or the token was signed, whatever the file says.
    /// Default: its `max_age`.
    ///
    /// It is the longest time that a revoked token is accepted.
    pub const fn bound(mut self, bound: Duration) -> Self {
        self.bound = Bound::Own(bound);
        self
    }

    /// Accepts tokens that the file does not name however old it is, and without one.
    ///
    /// An attacker who keeps newer files away, or a job that has stopped bringing them, then keeps
    /// revoked tokens in use until they expire.
    pub const fn danger_without_bound(mut self) -> Self {
        self.bound = Bound::Without;
        self
    }

    /// Looks at the file this often while tokens are verified, and reads it whole. Default: every 10 s.
    /// With [`Duration::ZERO`] it is read for each token.
    pub const fn check_every(mut self, interval: Duration) -> Self {
        self.check_every = interval;
        self
    }

    /// The most records that are held. Default: [`DEFAULT_MAX_RECORDS`]. A file with more is refused.
    pub const fn max_records(mut self, max_records: u64) -> Self {
        self.max_records = max_records;
        self
    }

    pub(super) fn follow(self, rules: &Rules, since: Instant) -> (Bound, FollowedFile) {
        let followed = FollowedFile {
            identity: Identity::new(rules, self.max_records),
            path: self.path,
            check_every: self.check_every,
            since,
            state: RwLock::new(State {
                checked_at: None,
                hash: None,
                heads: Arc::new(Heads::none(ClockReading::now(since))),
                error: None,
            }),
            reading: Mutex::new(()),
        };
        (self.bound, followed)
    }
}

/// A file that is read again while tokens are verified.
pub(super) struct FollowedFile {
    identity: Identity,
    path: PathBuf,
    check_every: Duration,
    since: Instant,
    state: RwLock<State>,
    /// Locked by the one that reads the file; the others go on with what there is.
    reading: Mutex<()>,
}

#[derive(Clone)]
struct State {
    checked_at: Option<Instant>,
    /// Of the content that is in force.
    hash: Option<[u8; 32]>,
    heads: Arc<Heads>,
    error: Option<Arc<RevocationsError>>,
}

impl FollowedFile {
    pub(super) fn last_error(&self) -> Option<Arc<RevocationsError>> {
        self.state().error
    }

    /// What the file says, once it was looked at if that is due.
    pub(super) fn heads(&self, keys: &JwkSet) -> Arc<Heads> {
        let state = self.state();
        if !self.is_due(&state) {
            return state.heads;
        }
        let reading = match state.checked_at {
            // The first time there is nothing to go on with.
            None => self.reading.lock().unwrap_or_else(PoisonError::into_inner),
            Some(_) => match self.reading.try_lock() {
                Ok(reading) => reading,
                Err(_) => return state.heads,
            },
        };
        // Anew: another thread may have read the file since.
        let state = self.state();
        if !self.is_due(&state) {
            return state.heads;
        }
        let next = self.after(state, keys);
        let heads = Arc::clone(&next.heads);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = next;
        drop(reading);
        heads
    }

    fn is_due(&self, state: &State) -> bool {
        state.checked_at.is_none_or(|checked_at| {
            clock::monotonic().saturating_duration_since(checked_at) >= self.check_every
        })
    }

    fn state(&self) -> State {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The state once the file has been looked at.
    fn after(&self, state: State, keys: &JwkSet) -> State {
        let checked_at = Some(clock::monotonic());
        match self.read_newer(&state, keys) {
            Ok(next) => State { checked_at, ..next },
            Err(error) => {
                let is_new = state
                    .error
                    .as_ref()
                    .is_none_or(|known| known.to_string() != error.to_string());
                if is_new {
                    tracing::warn!(
                        path = %self.path.display(),
                        error = &error as &dyn std::error::Error,
                        "the file of revocations is not in use, what was read before is"
                    );
                }
                State {
                    checked_at,
                    error: Some(Arc::new(error)),
                    ..state
                }
            }
        }
    }

    fn read_newer(&self, state: &State, keys: &JwkSet) -> Result<State, RevocationsError> {
        let content = read(&self.path, self.identity.max_records)?;
        let hash = segment_hash(&content);
        if state.hash == Some(hash) && state.heads.newest(keys).is_some() {
            return Ok(State {
                error: None,
                ..state.clone()
            });
        }
        let document = RevocationDocument::parse(&content)?;
        let feed = feed_url(&self.identity.issuer);
        let (head, key) = self
            .identity
            .verify(&document.head, HeadKind::File, keys, |sub| sub == feed)?;
        let received_at = ClockReading::now(self.since);
        let clock = IssuerClock::starting(received_at);
        check_time(&head, &clock, received_at)?;
        let by_hash: HashMap<[u8; 32], &[u8]> = document
            .segments
            .iter()
            .map(|bytes| (segment_hash(bytes), bytes.as_slice()))
            .collect();
        let segments: Vec<&[u8]> = head
            .content
            .segments
            .iter()
            .map(|reference| by_hash.get(&reference.hash).copied())
            .collect::<Option<_>>()
            .ok_or(SegmentMismatch)?;
        let table = RevocationTable::new(&head.content, &segments)?;
        let accepted = AcceptedHead::new(&head, key, table, received_at, &clock);
        let is_older = state
            .heads
            .newest(keys)
            .is_some_and(|newest| newest.issued_at() > accepted.issued_at());
        if is_older {
            return Err(RevocationsError::Older);
        }
        Ok(State {
            checked_at: None,
            hash: Some(hash),
            heads: Arc::new(state.heads.with(accepted, clock, keys)),
            error: None,
        })
    }
}

fn read(path: &Path, max_records: u64) -> Result<Vec<u8>, RevocationsError> {
    // Base64url takes 4 bytes for 3.
    let limit = max_records
        .saturating_mul(Record::BYTES as u64 / 3 * 4)
        .saturating_add(MAX_OTHER_BYTES);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let content = file::read(path, limit).map_err(|error| match error {
        ReadError::Unreadable(source) => RevocationsError::Unreadable {
            path: path.to_owned(),
            source,
        },
        ReadError::NoFile => RevocationsError::NoFile {
            path: path.to_owned(),
        },
    })?;
    if content.len() > limit {
        return Err(RevocationsError::TooLarge { limit });
    }
    Ok(content)
}
