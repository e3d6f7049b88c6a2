//! Which tokens that count once still count after a restore: those that are issued after it. The store does not know
//! which ones were used between the backup and the loss.

use super::{Plan, Recovered};
use crate::lifecycle::{Change, Timestamp};
use crate::oauth::single_use::{NOT_BEFORE_RECORD, not_before_document};
use crate::store::{Kind, Record, RecordIndex, RecordKey};

/// The records that say so, in the place of all that the backup has of used tokens.
pub(super) fn records(plan: &Plan<'_>, recovered: &[Recovered]) -> Vec<Record> {
    let changes = recovered.iter().map(|one| &one.change);
    let living = changes.filter(|change| change.set.deleted_at().is_none());
    let record = |change: &Change| {
        // The clock that has stamped the tokens may be ahead of the one of this machine.
        let latest = change.at.max(plan.time.reading);
        let latest = latest.after(plan.time.timing.clock_tolerance);
        let issued_at = latest.ceil_seconds().saturating_add(1);
        let key = RecordKey::owned(Kind::UsedToken, change.set.issuer(), NOT_BEFORE_RECORD);
        let end = (change.set).tokens_expire_by(Timestamp::from_seconds(issued_at));
        Record {
            index: RecordIndex {
                kept_until: Some(end),
                ..RecordIndex::default()
            },
            ..Record::unwritten(key, 1, not_before_document(issued_at))
        }
    };
    living.map(record).collect()
}
