//! Two people for what hurts: an operation is asked for, and happens when a second one confirms.
//!
//! What waits is in the store, so that it survives a restart. Confirming takes it out of the store
//! first: of two that confirm, one does.

use std::sync::Arc;

use super::audit::{AccessEvent, Actor, Attribution};
use super::authentication::Caller;
use super::issuer::{ChangeRequest, Issuer};
use super::{Authority, ChangeError, Exposure, Rotation, run_to_completion};
use crate::access::approval::{Approval, CONFIRM_WITHIN, Operation};
use crate::engine::random_name;
use crate::lifecycle::{Command, Readiness, RuleViolation, Successor};
use crate::store::{AccessChange, ApprovalRow, StoreError};

/// What became of an operation that somebody asked for.
pub enum ApprovalOutcome {
    /// It is done.
    Done(Outcome),
    /// It waits for a second person.
    Awaits(Box<Approval>),
}

/// What an operation did.
pub enum Outcome {
    /// The set's version, and what happened to each algorithm.
    Rotated(u64, Vec<Rotation>),
    /// Who is exposed.
    Revoked(Box<Exposure>),
    /// The issuer is gone.
    Deleted(Arc<Issuer>),
    /// The policy is set.
    PolicySet(Arc<Issuer>),
}

/// The most operations that wait at a time.
const MOST_WAITING: usize = 100;

/// What becomes of an operation that waits, for the log and for the store.
#[derive(Clone, Copy)]
enum Step {
    Requested,
    Confirmed,
    Rejected,
    Expired,
}

impl Authority {
    /// Does what is asked, or lets it wait where the issuer's policy wants a second person.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn ask(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        operation: Operation,
        reason: Option<String>,
        actor: Actor,
    ) -> Result<ApprovalOutcome, ChangeError> {
        let attempt = self
            .execute(
                issuer,
                operation.clone(),
                reason.clone(),
                actor.clone().into(),
            )
            .await;
        match attempt {
            Ok(outcome) => return Ok(ApprovalOutcome::Done(outcome)),
            Err(ChangeError::Refused(RuleViolation::NeedsConfirmation)) => {}
            Err(error) => return Err(error),
        }
        let now = self.now();
        let approval = Approval {
            id: random_name::<8>()?,
            issuer: issuer.name().clone(),
            operation,
            requester: actor.client().unwrap_or_default().to_owned(),
            requested_by: serde_json::to_value(&actor).unwrap_or_default(),
            reason,
            requested_at: now,
            expires_at: now.after(CONFIRM_WITHIN),
        };
        let (waiting, over) = self.approvals_by_time().await?;
        // Nobody can confirm them any more; the log has them.
        for approval in &over {
            self.write_transition(approval, Step::Expired, &Actor::Scheduler)
                .await?;
        }
        if waiting.len() >= MOST_WAITING {
            return Err(ChangeError::TooManyApprovals);
        }
        self.write_transition(&approval, Step::Requested, &actor)
            .await?;
        Ok(ApprovalOutcome::Awaits(Box::new(approval)))
    }

    /// The operations that wait and can still be confirmed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn approvals(&self) -> Result<Vec<Approval>, StoreError> {
        Ok(self.approvals_by_time().await?.0)
    }

    /// The operations that can still be confirmed, and those whose time is over.
    async fn approvals_by_time(&self) -> Result<(Vec<Approval>, Vec<Approval>), StoreError> {
        let (now, rows) = (self.now(), self.services.store.approvals().await?);
        let read = |row: &ApprovalRow| Approval::from_document(&row.id, &row.document);
        let approvals = rows.iter().filter_map(read);
        Ok(approvals.partition(|approval| now < approval.expires_at))
    }

    /// The operation with this id, if it waits.
    ///
    /// # Errors
    /// [`ChangeError::UnknownApproval`], also when its time is over.
    pub async fn approval(&self, id: &str) -> Result<Approval, ChangeError> {
        let mut waiting = self.approvals().await?.into_iter();
        waiting
            .find(|approval| approval.id == id)
            .ok_or_else(|| ChangeError::UnknownApproval(id.chars().take(64).collect()))
    }

    /// Confirms an operation, and does it: to its end, also when whoever confirms has hung up.
    ///
    /// # Errors
    /// [`ChangeError`]. The operation waits no longer, unless the one who asked has tried to confirm
    /// it, or the store failed.
    pub async fn confirm(
        self: &Arc<Self>,
        approval: Approval,
        caller: &Caller,
    ) -> Result<Outcome, ChangeError> {
        if approval.requester == caller.id() {
            return Err(ChangeError::OwnApproval);
        }
        let issuer = self.issuer(approval.issuer.as_str())?;
        let (authority, actor) = (Arc::clone(self), caller.actor());
        run_to_completion(async move {
            authority
                .write_transition(&approval, Step::Confirmed, &actor)
                .await?;
            let attribution = Attribution {
                actor: Actor::Recorded(approval.requested_by),
                confirmed_by: Some(actor),
            };
            authority
                .execute(&issuer, approval.operation, approval.reason, attribution)
                .await
        })
        .await
    }

    /// Takes an operation back, or refuses it.
    ///
    /// # Errors
    /// [`ChangeError`]; it waits on then.
    pub async fn reject(&self, approval: &Approval, caller: &Caller) -> Result<(), ChangeError> {
        self.write_transition(approval, Step::Rejected, &caller.actor())
            .await
    }

    async fn write_transition(
        &self,
        approval: &Approval,
        step: Step,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        let (id, operation) = (approval.id.clone(), approval.operation.as_str());
        let event = match step {
            Step::Requested => AccessEvent::ApprovalRequested {
                approval: id.clone(),
                operation,
            },
            Step::Confirmed => AccessEvent::ApprovalConfirmed {
                approval: id.clone(),
                operation,
            },
            Step::Rejected => AccessEvent::ApprovalRejected {
                approval: id.clone(),
                operation,
            },
            Step::Expired => AccessEvent::ApprovalExpired {
                approval: id.clone(),
                operation,
            },
        };
        let change = match step {
            Step::Requested => AccessChange::CreateApproval(ApprovalRow {
                id,
                document: approval.to_document(),
            }),
            Step::Confirmed | Step::Rejected | Step::Expired => AccessChange::DeleteApproval(id),
        };
        let (issuer, reason) = (Some(&approval.issuer), approval.reason.as_deref());
        self.commit_access(change, event, issuer, actor, reason)
            .await
    }

    async fn execute(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        operation: Operation,
        reason: Option<String>,
        attribution: Attribution,
    ) -> Result<Outcome, ChangeError> {
        match operation {
            Operation::ForceRotation { algorithm } => {
                let (version, rotations) = self
                    .rotate(issuer, algorithm, Readiness::Waived, attribution, reason)
                    .await?;
                Ok(Outcome::Rotated(version, rotations))
            }
            Operation::Revoke {
                kid,
                discard_successor,
            } => {
                let successor = if discard_successor {
                    Successor::Discard
                } else {
                    Successor::Promote
                };
                let reason = reason.unwrap_or_default();
                let exposure = self
                    .revoke(issuer, &kid, successor, attribution, reason)
                    .await?;
                Ok(Outcome::Revoked(Box::new(exposure)))
            }
            Operation::Delete => {
                let command = Command::Delete {
                    reason: reason.clone().unwrap_or_default(),
                };
                let request = ChangeRequest {
                    reason,
                    ..ChangeRequest::new(attribution, command)
                };
                self.end_issuer(issuer, request).await?;
                Ok(Outcome::Deleted(Arc::clone(issuer)))
            }
            Operation::SetPolicy(policy) => {
                let request = ChangeRequest {
                    reason,
                    ..ChangeRequest::new(attribution, Command::SetPolicy(*policy))
                };
                self.change(issuer, request).await?;
                Ok(Outcome::PolicySet(Arc::clone(issuer)))
            }
        }
    }
}
