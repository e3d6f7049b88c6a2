//! Which tokens stay taken back, and which a restore takes back itself.

use keywright_verifier::revocation::Selector;

use super::{Plan, Recovered, RestoreError};
use crate::lifecycle::IssuerName;
use crate::revocation::{Revocation, State};
use crate::store::{Kind, Record, RecordKey};

/// What is written down as the reason of what a restore takes back.
const REASON: &str = "a restore: what was taken back just before the loss is not known";

/// The revocations that a restore writes.
pub(super) struct Revocations {
    /// Those of the register, in the place of those of the backup; `None` where the backup's stay.
    pub(super) registered: Option<Vec<Record>>,
    /// Those that take back every token of before, for each issuer that lives, unless it is known which
    /// ones were.
    pub(super) opened: Vec<(IssuerName, Revocation)>,
}

impl Revocations {
    pub(super) fn of(plan: &Plan<'_>, recovered: &[Recovered]) -> Result<Self, RestoreError> {
        let sets = recovered.iter().map(|one| &one.change);
        let living: Vec<_> = sets.filter(|one| one.set.deleted_at().is_none()).collect();
        let register = plan.register.as_ref();
        let registered = register.and_then(|register| register.revocations.as_ref());
        let mut opened = Vec::new();
        let are_known = plan.nothing_revoked && (register.is_none() || registered.is_some());
        for change in living.iter().filter(|_| !are_known) {
            let open = Revocation {
                id: plan.entropy.name::<8>()?,
                selector: Selector::Issuer.into(),
                state: State::Open,
                ban: None,
                reason: Some(REASON.to_owned()),
                by: serde_json::to_value(&plan.actor).unwrap_or_default(),
                client: String::new(),
                created_at: change.at,
                changed_at: change.at,
            };
            // The clock that has stamped the tokens may be ahead of the one of this machine.
            let latest = change.at.max(plan.time.reading);
            let latest = latest.after(plan.time.timing.clock_tolerance);
            let closed = open.closed(&change.set, latest);
            opened.push((change.set.issuer().clone(), closed));
        }
        let lives = |record: &&Record| {
            let mut issuers = living.iter().map(|change| change.set.issuer());
            issuers.any(|issuer| record.key.owner.as_ref() == Some(issuer))
        };
        Ok(Self {
            registered: registered.map(|records| records.iter().filter(lives).cloned().collect()),
            opened,
        })
    }

    /// The kinds of records that are not taken from the backup.
    pub(super) fn replaced_kinds(&self) -> Vec<Kind> {
        match self.registered {
            Some(_) => vec![Kind::Issuer, Kind::Key, Kind::Revocation],
            None => vec![Kind::Issuer, Kind::Key],
        }
    }

    pub(super) fn into_records(self) -> impl Iterator<Item = Record> {
        let opened = self.opened.into_iter().map(|(issuer, revocation)| {
            let key = RecordKey::owned(Kind::Revocation, &issuer, &revocation.id);
            Record::unwritten(key, 1, revocation.to_document())
        });
        self.registered.into_iter().flatten().chain(opened)
    }
}
