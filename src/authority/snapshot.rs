//! One immutable snapshot of an issuer: what is signed with, and what is published.
//!
//! A request takes the snapshot once and has kid, algorithm and key from one entry of it, so that
//! no rotation can fall between them.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use keywright_api::Share;
use keywright_verifier::json::AnyValue;
use keywright_verifier::revocation::TooManySelectors;
use keywright_verifier::{Algorithm, Kid};
use serde_json::{Map, Value};

use super::lease::{Lease, Term};
use super::permit::SigningPermit;
use super::publication::Publication;
use super::revocations::Revocations;
use super::signing;
use super::status_lists::StatusLists;
use crate::engine::Signer;
use crate::lifecycle::{Adoption, Key, KeySet, State, Timestamp, plan};
use crate::oauth::Endpoints;
use crate::revocation::SigningVerdict;
use crate::revocation::status_list::StatusEntry;
use crate::store::{SetTokens, Write};
use crate::telemetry::{Metrics, SigningMetrics};

/// A snapshot of one issuer.
pub struct Snapshot {
    set: KeySet,
    signers: Vec<SigningEntry>,
    publication: Publication,
    /// What the metadata names beside documents.
    endpoints: Endpoints,
    /// The tokens of the records that the set was read from, or written to.
    tokens: SetTokens,
    permit: Arc<SigningPermit>,
}

/// What signs for one algorithm.
pub struct SigningEntry {
    /// The key's name.
    pub kid: Kid,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The encoded headers of the types that most tokens have ([`signing::COMMON_TYPES`]).
    headers: [String; signing::COMMON_TYPES.len()],
    /// The length of an encoded signature, in characters.
    pub signature_length: usize,
    /// Of how many ten thousandths of the tokens it signs, beside the active key; `None` of the active key.
    canary_share: Option<u16>,
    /// The private key.
    pub signer: Arc<dyn Signer>,
    /// What counts its tokens.
    pub metrics: SigningMetrics,
}

impl SigningEntry {
    /// The encoded header of a token of this type.
    pub fn header(&self, typ: &str) -> Cow<'_, str> {
        let mut common = signing::COMMON_TYPES.iter().zip(&self.headers);
        match common.find(|(known, _)| **known == typ) {
            Some((_, header)) => Cow::Borrowed(header),
            None => Cow::Owned(signing::encode_header(self.algorithm, &self.kid, typ)),
        }
    }
}

impl Snapshot {
    /// Puts a snapshot together as of `now`. `signers` has one entry for each key that signs.
    pub fn new(
        set: KeySet,
        tokens: SetTokens,
        signers: Vec<(Kid, Arc<dyn Signer>)>,
        metrics: &Metrics,
        endpoints: Endpoints,
        now: Timestamp,
    ) -> Self {
        let signers = signers
            .into_iter()
            .filter_map(|(kid, signer)| {
                let key = set.key(&kid)?;
                Some(SigningEntry {
                    algorithm: key.algorithm(),
                    headers: signing::COMMON_TYPES
                        .map(|typ| signing::encode_header(key.algorithm(), &kid, typ)),
                    canary_share: canary_share(&set, key),
                    signature_length: signing::signature_length(key.jwk()),
                    metrics: metrics.signing(set.issuer().as_str(), key.algorithm()),
                    kid,
                    signer,
                })
            })
            .collect();
        let plan = plan(&set, now, &Adoption::default());
        let publication = Publication::of(&set, plan.next_publication, &endpoints, now);
        Self {
            set,
            signers,
            publication,
            endpoints,
            tokens,
            permit: Arc::default(),
        }
    }

    /// Whether tokens that count once can be used up: at an endpoint that the metadata names.
    pub fn consumes_tokens(&self) -> bool {
        self.endpoints != Endpoints::Off
    }

    /// The same snapshot, with what is published decided anew for `now`.
    pub fn republished(&self, metrics: &Metrics, now: Timestamp) -> Self {
        let signers = self
            .signers
            .iter()
            .map(|entry| (entry.kid.clone(), Arc::clone(&entry.signer)))
            .collect();
        Self {
            permit: Arc::clone(&self.permit),
            ..Self::new(
                self.set.clone(),
                self.tokens.clone(),
                signers,
                metrics,
                self.endpoints.clone(),
                now,
            )
        }
    }

    /// The key set.
    pub fn set(&self) -> &KeySet {
        &self.set
    }

    /// What verifiers are served.
    pub fn publication(&self) -> &Publication {
        &self.publication
    }

    /// The entry of the active key of `algorithm`.
    pub fn signer(&self, algorithm: Algorithm) -> Option<&SigningEntry> {
        let mut entries = self.signers.iter();
        entries.find(|entry| entry.algorithm == algorithm && entry.canary_share.is_none())
    }

    /// The entry that signs one token of `algorithm`: the canary's for its share of random numbers, else that of
    /// the active key.
    pub fn signer_by_chance(&self, algorithm: Algorithm, random: u32) -> Option<&SigningEntry> {
        let drawn = (u64::from(random) * u64::from(Share::WHOLE)) >> 32;
        let is_drawn = |entry: &&SigningEntry| {
            let share = entry.canary_share.unwrap_or_default();
            entry.algorithm == algorithm && drawn < u64::from(share)
        };
        let canary = self.signers.iter().find(is_drawn);
        canary.or_else(|| self.signer(algorithm))
    }

    /// What signs.
    pub fn signers(&self) -> &[SigningEntry] {
        &self.signers
    }

    /// The private key of this snapshot with the name `kid`.
    pub fn opened(&self, kid: &Kid) -> Option<Arc<dyn Signer>> {
        self.signers
            .iter()
            .find(|entry| entry.kid == *kid)
            .map(|entry| Arc::clone(&entry.signer))
    }

    /// The tokens of the records that the set was read from, or written to.
    pub fn tokens(&self) -> &SetTokens {
        &self.tokens
    }

    /// Until when it may sign and be served as fresh.
    pub fn permit(&self) -> &SigningPermit {
        &self.permit
    }
}

/// The share of the tokens that a canary signs; `None` of an active key.
fn canary_share(set: &KeySet, key: &Key) -> Option<u16> {
    let State::Canary(_) = key.state() else {
        return None;
    };
    let phase = set.policy().canary;
    Some(phase.map_or(0, |phase| phase.share.ten_thousandths()))
}

/// The `Cache-Control` of a document that no cache may keep, because it may be out of date.
const DO_NOT_KEEP: &str = "no-cache";

/// A snapshot together with the term of the lease under which it was taken. What it signs or says
/// holds no longer than that term, also when the process was frozen in between and has renewed the
/// lease on waking.
///
/// It is taken in this order: the term, the time by which its tokens are issued, the keys. What was
/// taken back is looked at later still ([`Revocations::judge`]); that and the term again when a token is
/// handed out. So a token that was signed without knowing of a revocation says that it was issued
/// before the process knew.
pub struct LeasedSnapshot {
    snapshot: Arc<Snapshot>,
    revocations: Arc<Revocations>,
    status_lists: Arc<StatusLists>,
    lease: Arc<Lease>,
    term: Term,
    issued_at: Timestamp,
}

impl LeasedSnapshot {
    /// Takes what `snapshot` hands out, after the term: it is no older than the term says.
    pub(super) fn take(
        lease: &Arc<Lease>,
        revocations: &Arc<Revocations>,
        status_lists: &Arc<StatusLists>,
        snapshot: impl FnOnce() -> Arc<Snapshot>,
    ) -> Self {
        let term = lease.term();
        let issued_at = lease.issue_time();
        Self {
            snapshot: snapshot(),
            revocations: Arc::clone(revocations),
            status_lists: Arc::clone(status_lists),
            lease: Arc::clone(lease),
            term,
            issued_at,
        }
    }

    /// When the tokens are issued that it signs.
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// Where tokens with a status get their entries.
    pub(super) fn status_lists(&self) -> &Arc<StatusLists> {
        &self.status_lists
    }

    /// How often what was taken back has changed.
    pub(super) fn revocations_change(&self) -> u64 {
        self.revocations.change()
    }

    /// What is said of a token with these claims that it is to sign.
    ///
    /// # Errors
    /// [`TooManySelectors`].
    pub fn judge<'c, V: AnyValue + 'c>(
        &self,
        claim: impl Fn(&str) -> Option<&'c V>,
    ) -> Result<SigningVerdict, TooManySelectors> {
        let issued_at = self.issued_at.floor_seconds();
        self.revocations.judge(claim, issued_at, self.lease.time())
    }

    /// What is written down of a token that it is to sign, with these claims and this entry.
    ///
    /// # Errors
    /// [`TooManySelectors`].
    pub(super) fn tracking<'c, V: AnyValue + 'c>(
        &self,
        claim: impl Fn(&str) -> Option<&'c V>,
        entry: StatusEntry,
        expires_at: u64,
    ) -> Result<Vec<Write>, TooManySelectors> {
        let issued_at = self.issued_at.floor_seconds();
        let token = self.revocations.tracked(claim, entry, issued_at)?;
        let policy = self.set.policy();
        Ok(self.status_lists.tracking(token, expires_at, policy))
    }

    /// Whether verifiers that know of everything refuse a token with these claims.
    pub fn refuses(&self, claims: &Map<String, Value>) -> bool {
        self.revocations.refuses(claims)
    }

    /// Whether it may sign now, and hand out what it has signed: time may have passed since the
    /// last look.
    pub fn may_sign(&self) -> bool {
        self.snapshot.permit.allows_signing(self.lease.clock()) && self.lease.is_within(self.term)
    }

    /// The `Cache-Control` of a document that is served at `now`.
    pub fn cache_control(&self, now: Timestamp) -> Cow<'_, str> {
        let is_fresh = self.snapshot.permit.allows_freshness(self.lease.clock());
        if is_fresh && self.lease.is_within(self.term) {
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
