//! A request to change an issuer, and what came of it.

use std::sync::Arc;

use super::approvals;
use super::audit::{Actor, Attribution};
use super::load::NewKeys;
use super::snapshot::Snapshot;
use super::{ChangeError, Services};
use crate::access::Precondition;
use crate::access::approval::Approval;
use crate::engine::Urgency;
use crate::lifecycle::{Attestation, Change, Command, KeySet, KeySpecification, Timestamp};
use crate::store::{Batch, EventRow, Expectation, WhenDiskFull, Write};

/// Who asks for a change, why, and what its commit does beside it.
pub struct Request {
    /// Who asks, and who has confirmed it.
    pub attribution: Attribution,
    /// Why, in their own words.
    pub reason: Option<String>,
    /// What the issuer must be when it is changed.
    pub precondition: Precondition,
    /// The end of the waiting of an operation that was confirmed.
    pub confirmation: Option<Confirmation>,
    /// The end of a grant, whose session is taken back with it.
    pub ended_grant: Option<EndedGrant>,
    /// What remembers the security event token that asks for it, which counts once.
    pub event_token: Option<Write>,
}

/// The end of a grant before its time.
pub struct EndedGrant {
    /// What says it in its record.
    pub write: Write,
    /// What the log says of it.
    pub event: EventRow,
}

/// The end of the waiting of an operation that a second person has confirmed.
pub struct Confirmation {
    /// What was confirmed.
    pub approval: Approval,
    /// What takes it out of the store.
    pub end: Write,
    /// What the log says of it.
    pub event: EventRow,
    /// The client that asked, as it was when that was judged.
    pub requester: Option<Expectation>,
}

impl Confirmation {
    /// Lets a batch end the waiting.
    pub(super) fn add_to(&self, batch: &mut Batch) {
        batch.expectations.extend(self.requester.clone());
        batch.writes.push(self.end.clone());
        batch.events.push(self.event.clone());
    }
}

impl Request {
    /// A request without a reason.
    pub fn by(actor: Actor) -> Self {
        Self {
            attribution: actor.into(),
            reason: None,
            precondition: Precondition::None,
            confirmation: None,
            ended_grant: None,
            event_token: None,
        }
    }

    /// A request with a reason, if there is one.
    pub fn with_reason(actor: Actor, reason: Option<String>) -> Self {
        Self {
            reason,
            ..Self::by(actor)
        }
    }

    /// The client that asks, and for which a quota counts; empty where none does.
    pub(super) fn client(&self) -> &str {
        match &self.confirmation {
            Some(confirmation) => &confirmation.approval.requester,
            None => self.attribution.actor.client().unwrap_or_default(),
        }
    }

    /// How many people stand behind it.
    pub(super) fn attestation(&self) -> Attestation {
        match self.attribution.confirmed_by {
            Some(_) => Attestation::TwoPeople,
            None => Attestation::OnePerson,
        }
    }

    /// Refuses what was confirmed if it was asked for on something else.
    pub(super) fn check_basis(&self, set: &KeySet) -> Result<(), ChangeError> {
        let Some(Confirmation { approval, .. }) = &self.confirmation else {
            return Ok(());
        };
        let is_other = |basis: &String| *basis != approval.operation.basis(set);
        if approval.basis.as_ref().is_some_and(is_other) {
            return Err(ChangeError::ApprovalOutdated(approval.id.clone()));
        }
        Ok(())
    }

    /// Whether what was confirmed still waits: of two that confirm, one does.
    pub(super) async fn still_waits(&self, services: &Services) -> Result<(), ChangeError> {
        let Some(Confirmation { end, approval, .. }) = &self.confirmation else {
            return Ok(());
        };
        match services.store.get(end.key()).await? {
            Some(_) => Ok(()),
            None => Err(approvals::ended(services, &approval.id).await?.into()),
        }
    }

    /// The request to carry out a command.
    pub fn asks(self, command: Command) -> ChangeRequest {
        ChangeRequest {
            request: self,
            command,
            fresh: NewKeys::default(),
        }
    }
}

/// What is asked of an issuer, and by whom.
pub struct ChangeRequest {
    /// Who asks, and why.
    pub request: Request,
    /// What they ask.
    pub command: Command,
    /// Keys that the command brings along.
    pub fresh: NewKeys,
}

impl ChangeRequest {
    /// How much its keys are in a hurry.
    pub(super) fn urgency(&self) -> Urgency {
        match self.command {
            Command::ApplyPlan => Urgency::Background,
            _ => Urgency::Immediate,
        }
    }

    /// Whether its answer waits until the keys that the set wants are published. A revocation waits
    /// for nothing, and an import brings its key.
    pub(super) fn waits_for_keys(&self) -> bool {
        !matches!(
            self.command,
            Command::ApplyPlan
                | Command::StopCanary { .. }
                | Command::Revoke { .. }
                | Command::Delete { .. }
                | Command::ConfirmCopies(_)
                | Command::DoubtCopies
                | Command::Import { .. }
        )
    }

    /// Whether the schedule asks for it.
    pub(super) fn is_scheduled(&self) -> bool {
        matches!(self.command, Command::ApplyPlan)
    }

    /// What ends or replaces a key by hand must not fail because the disk is full, nor the key that
    /// takes its place. What is due can wait, and what adds something may fail.
    pub(super) fn when_disk_full(&self) -> WhenDiskFull {
        match self.command {
            Command::Rotate { .. }
            | Command::StopCanary { .. }
            | Command::Revoke { .. }
            | Command::Replace { .. }
            | Command::Delete { .. } => WhenDiskFull::UseReserve,
            Command::ApplyPlan if !self.fresh.privates.is_empty() => WhenDiskFull::UseReserve,
            Command::ApplyPlan
            | Command::ApplyPlanWithoutRotation
            | Command::Import { .. }
            | Command::SetPolicy(_)
            | Command::ConfirmCopies(_)
            | Command::DoubtCopies
            | Command::CorrectClock => WhenDiskFull::Fail,
        }
    }

    /// What the schedule asks for.
    pub fn scheduled() -> Self {
        Request::by(Actor::Scheduler).asks(Command::ApplyPlan)
    }
}

/// What came of a request.
pub struct Changed {
    /// The change; `None` when nothing had to change.
    pub committed: Option<Committed>,
    /// The keys that the set wants and that were not there.
    pub wanted: Vec<KeySpecification>,
}

/// A change that was committed.
pub struct Committed {
    /// The set before it.
    pub before: Arc<Snapshot>,
    /// What happened.
    pub change: Change,
    /// When it was in force in this process.
    pub installed_at: Timestamp,
    /// Whether every replica that lives has taken it over.
    pub on_all_replicas: bool,
}

impl Committed {
    /// This change and the one that has brought the keys that it wanted.
    pub(super) fn and(mut self, next: Self) -> Self {
        self.change.set = next.change.set;
        self.change.events.extend(next.change.events);
        self
    }
}
