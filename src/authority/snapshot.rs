//! One immutable snapshot of an issuer: what is signed with, and what is published.
//!
//! A request takes the snapshot once and has kid, algorithm and key from one entry of it, so that
//! no rotation can fall between them.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keywright_verifier::{Algorithm, Kid};

use super::lease::{Lease, Term};
use super::publication::Publication;
use super::signing;
use crate::engine::Signer;
use crate::lifecycle::{KeySet, SWITCH_OVER, Timestamp, plan};
use crate::telemetry::{Metrics, SigningMetrics};

/// A snapshot of one issuer.
pub struct Snapshot {
    set: KeySet,
    signers: Vec<SigningEntry>,
    publication: Publication,
    /// Until when this snapshot may sign, in milliseconds. It has no end until a commit begins
    /// that may replace it.
    sign_until: AtomicU64,
}

/// What signs for one algorithm.
pub struct SigningEntry {
    /// The key's name.
    pub kid: Kid,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The encoded header of a token of type `JWT`.
    pub header: String,
    /// The length of an encoded signature, in characters.
    pub signature_length: usize,
    /// The private key.
    pub signer: Arc<dyn Signer>,
    /// What counts its tokens.
    pub metrics: SigningMetrics,
}

impl Snapshot {
    /// Puts a snapshot together as of `now`. `signers` has one entry for each active key.
    pub fn new(
        set: KeySet,
        signers: Vec<(Kid, Arc<dyn Signer>)>,
        metrics: &Metrics,
        now: Timestamp,
    ) -> Self {
        let signers = signers
            .into_iter()
            .filter_map(|(kid, signer)| {
                let key = set.key(&kid)?;
                Some(SigningEntry {
                    algorithm: key.algorithm(),
                    header: signing::encode_header(key.algorithm(), &kid, signing::DEFAULT_TYP),
                    signature_length: signing::signature_length(key.jwk()),
                    metrics: metrics.signing(set.issuer().as_str(), key.algorithm()),
                    kid,
                    signer,
                })
            })
            .collect();
        let plan = plan(&set, now);
        let publication = Publication::of(&set, plan.next_publication, now);
        let sign_until = AtomicU64::new(u64::MAX);
        Self {
            set,
            signers,
            publication,
            sign_until,
        }
    }

    /// The same snapshot, with what is published decided anew for `now`.
    pub fn republished(&self, metrics: &Metrics, now: Timestamp) -> Self {
        let signers = self
            .signers
            .iter()
            .map(|entry| (entry.kid.clone(), Arc::clone(&entry.signer)))
            .collect();
        let snapshot = Self::new(self.set.clone(), signers, metrics, now);
        snapshot
            .sign_until
            .store(self.sign_until.load(Ordering::Acquire), Ordering::Release);
        snapshot
    }

    /// The key set.
    pub fn set(&self) -> &KeySet {
        &self.set
    }

    /// What verifiers are served.
    pub fn publication(&self) -> &Publication {
        &self.publication
    }

    /// The entry that signs for `algorithm`.
    pub fn signer(&self, algorithm: Algorithm) -> Option<&SigningEntry> {
        self.signers
            .iter()
            .find(|entry| entry.algorithm == algorithm)
    }

    /// The private key of this snapshot with the name `kid`.
    pub fn opened(&self, kid: &Kid) -> Option<Arc<dyn Signer>> {
        self.signers
            .iter()
            .find(|entry| entry.kid == *kid)
            .map(|entry| Arc::clone(&entry.signer))
    }

    /// A commit that may replace this snapshot begins at `instant`: it signs on for
    /// [`SWITCH_OVER`], which the retention of the keys that retire allows for, and no longer.
    pub fn begin_switch_over(&self, instant: Timestamp) {
        self.sign_until
            .store(instant.after(SWITCH_OVER).millis(), Ordering::Release);
    }

    /// A key that this snapshot signs with has been revoked: it signs no more, also what is being
    /// signed with it now.
    pub fn leave_office(&self) {
        self.sign_until.store(0, Ordering::Release);
    }

    /// The commit did not happen: this snapshot goes on.
    pub fn cancel_switch_over(&self) {
        self.sign_until.store(u64::MAX, Ordering::Release);
    }

    /// Whether no commit has begun so long ago that another snapshot must sign at `now`.
    fn is_in_office(&self, now: Timestamp) -> bool {
        now.millis() <= self.sign_until.load(Ordering::Acquire)
    }
}

/// What is said of a document that nobody may keep, because it may be out of date.
const DO_NOT_KEEP: &str = "no-cache";

/// A snapshot together with the term of the lease under which it was taken. What it signs or says
/// holds no longer than that term, also when the process was frozen in between and has renewed the
/// lease on waking.
pub struct LeasedSnapshot {
    snapshot: Arc<Snapshot>,
    lease: Arc<Lease>,
    term: Term,
}

impl LeasedSnapshot {
    /// Takes what `snapshot` hands out, after the term: it is no older than the term says.
    pub(super) fn take(lease: &Arc<Lease>, snapshot: impl FnOnce() -> Arc<Snapshot>) -> Self {
        let term = lease.term();
        Self {
            snapshot: snapshot(),
            lease: Arc::clone(lease),
            term,
        }
    }

    /// Whether it may sign at `now`.
    pub fn may_sign(&self, now: Timestamp) -> bool {
        self.snapshot.is_in_office(now) && self.lease.is_within(self.term)
    }

    /// Whether what it has signed may be handed out now: time may have passed since
    /// [`may_sign`](Self::may_sign).
    pub fn may_hand_out(&self) -> bool {
        self.may_sign(self.lease.now())
    }

    /// The `Cache-Control` of a document that is served at `now`.
    pub fn cache_control(&self, now: Timestamp) -> Cow<'_, str> {
        if self.lease.is_within(self.term) {
            self.publication.cache_control(now)
        } else {
            DO_NOT_KEEP.into()
        }
    }
}

impl Deref for LeasedSnapshot {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}
