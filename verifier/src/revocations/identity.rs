//! Whose head a verifier believes.

use crate::clock::ClockReading;
use crate::revocation::{Head, HeadKind};
use crate::rules::same_media_type;
use crate::{Algorithm, Jwk, JwkSet, Jws, Rules};

use super::RevocationsError;
use super::heads::{CLOCK_TOLERANCE, IssuerClock, Moment};

/// The most bytes of a head that are read: 64 KiB, several times what the largest has.
pub(super) const MAX_HEAD_BYTES: usize = 65_536;

/// The issuer, and how it signs.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) issuer: String,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) max_records: u64,
}

impl Identity {
    pub(super) fn new(rules: &Rules, max_records: u64) -> Self {
        Self {
            issuer: rules.issuer().to_owned(),
            algorithms: rules.algorithms().to_vec(),
            max_records,
        }
    }

    /// Reads a head that is signed by a key of the set, and meant for this place: `is_feed` knows its
    /// `sub`.
    pub(super) fn verify(
        &self,
        text: &str,
        kind: HeadKind,
        keys: &JwkSet,
        is_feed: impl FnOnce(&str) -> bool,
    ) -> Result<(Head, Jwk), RevocationsError> {
        let jws = Jws::parse(text, MAX_HEAD_BYTES)?;
        if !jws
            .typ()
            .is_some_and(|typ| same_media_type(typ, kind.typ()))
        {
            return Err(RevocationsError::OtherType);
        }
        let key = jws.verify(keys, &self.algorithms)?.key().clone();
        let head = Head::read(jws.unverified_claims()?, kind)?;
        if head.issuer != self.issuer {
            return Err(RevocationsError::OtherIssuer);
        }
        if !is_feed(&head.feed) {
            return Err(RevocationsError::OtherFeed);
        }
        let count = head.content.record_count();
        if count > self.max_records {
            return Err(RevocationsError::TooManyRecords {
                count,
                max_records: self.max_records,
            });
        }
        Ok((head, key))
    }
}

/// A head comes from no time that is still ahead.
pub(super) fn check_time(
    head: &Head,
    clock: &IssuerClock,
    now: ClockReading,
) -> Result<(), RevocationsError> {
    let latest = clock.now(Moment::Now(now)).saturating_add(CLOCK_TOLERANCE);
    if u128::from(head.issued_at_milliseconds) > latest.as_millis() {
        return Err(RevocationsError::FromTheFuture);
    }
    Ok(())
}
