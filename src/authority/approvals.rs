//! Two people for what hurts: an operation is asked for, and happens when a second one confirms.
//!
//! What waits is in the store, so that it survives a restart. Confirming takes it out of the store
//! first: of two that confirm, one does.

use std::sync::Arc;

use super::audit::{AccessEvent, Actor, Backing};
use super::authentication::Caller;
use super::issuer::{Issuer, Order};
use super::{Authority, ChangeError, Exposure, Rotation};
use crate::access::approval::{Approval, CONFIRM_WITHIN, Operation};
use crate::engine::random;
use crate::lifecycle::{Command, Readiness, Successor};
use crate::store::{AccessChange, ApprovalRow, StoreError};

/// What became of an operation that somebody asked for.
pub enum Answer {
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
        caller: &Caller,
    ) -> Result<Answer, ChangeError> {
        let now = self.now();
        if !operation.needs_confirmation(issuer.view().set(), now) {
            let backing = Backing::from(caller.actor());
            let done = self.carry_out(issuer, operation, reason, backing).await?;
            return Ok(Answer::Done(done));
        }
        let id = random::<8>()?;
        let approval = Approval {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            issuer: issuer.name().clone(),
            operation,
            requester: caller.id().to_owned(),
            requested_by: serde_json::to_value(caller.actor()).unwrap_or_default(),
            reason,
            requested_at: now,
            expires_at: now.after(CONFIRM_WITHIN),
        };
        self.forget_expired_approvals().await?;
        if self.approvals().await?.len() >= MOST_WAITING {
            return Err(ChangeError::TooManyApprovals);
        }
        let row = ApprovalRow {
            id: approval.id.clone(),
            document: approval.to_document(),
        };
        let event = AccessEvent::ApprovalRequested {
            approval: approval.id.clone(),
            operation: approval.operation.as_str(),
        };
        self.decide_approval(
            &approval,
            AccessChange::CreateApproval(row),
            event,
            &caller.actor(),
        )
        .await?;
        Ok(Answer::Awaits(Box::new(approval)))
    }

    /// The operations that wait and can still be confirmed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn approvals(&self) -> Result<Vec<Approval>, StoreError> {
        let (now, rows) = (self.now(), self.foundation.store.approvals().await?);
        let read = |row: &ApprovalRow| Approval::from_document(&row.id, &row.document);
        let waiting = rows.iter().filter_map(read);
        Ok(waiting
            .filter(|approval| now < approval.expires_at)
            .collect())
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

    /// Confirms an operation, and does it.
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
        let event = AccessEvent::ApprovalConfirmed {
            approval: approval.id.clone(),
            operation: approval.operation.as_str(),
        };
        let change = AccessChange::DeleteApproval(approval.id.clone());
        self.decide_approval(&approval, change, event, &caller.actor())
            .await?;
        let backing = Backing {
            actor: Actor::Recorded(approval.requested_by),
            confirmed_by: Some(caller.actor()),
        };
        self.carry_out(&issuer, approval.operation, approval.reason, backing)
            .await
    }

    /// Takes an operation back, or refuses it.
    ///
    /// # Errors
    /// [`ChangeError`]; it waits on then.
    pub async fn reject(&self, approval: &Approval, caller: &Caller) -> Result<(), ChangeError> {
        let event = AccessEvent::ApprovalRejected {
            approval: approval.id.clone(),
            operation: approval.operation.as_str(),
        };
        let change = AccessChange::DeleteApproval(approval.id.clone());
        self.decide_approval(approval, change, event, &caller.actor())
            .await
    }

    async fn decide_approval(
        &self,
        approval: &Approval,
        change: AccessChange,
        event: AccessEvent,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        let (issuer, reason) = (Some(&approval.issuer), approval.reason.as_deref());
        self.commit_access(change, event, issuer, actor, reason)
            .await
    }

    /// Nobody can confirm them any more; the log has them.
    async fn forget_expired_approvals(&self) -> Result<(), ChangeError> {
        let now = self.now();
        for row in self.foundation.store.approvals().await? {
            let Some(approval) = Approval::from_document(&row.id, &row.document) else {
                continue;
            };
            if now < approval.expires_at {
                continue;
            }
            let event = AccessEvent::ApprovalExpired {
                approval: approval.id.clone(),
                operation: approval.operation.as_str(),
            };
            let change = AccessChange::DeleteApproval(row.id);
            self.decide_approval(&approval, change, event, &Actor::Scheduler)
                .await?;
        }
        Ok(())
    }

    async fn carry_out(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        operation: Operation,
        reason: Option<String>,
        backing: Backing,
    ) -> Result<Outcome, ChangeError> {
        match operation {
            Operation::ForceRotation { algorithm } => {
                let (version, rotations) = self
                    .rotate(issuer, algorithm, Readiness::Waived, backing, reason)
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
                    .revoke(issuer, &kid, successor, backing, reason)
                    .await?;
                Ok(Outcome::Revoked(Box::new(exposure)))
            }
            Operation::Delete => {
                let command = Command::Delete {
                    reason: reason.clone().unwrap_or_default(),
                };
                let order = Order {
                    reason,
                    ..Order::new(backing, command)
                };
                self.end_issuer(issuer, order).await?;
                Ok(Outcome::Deleted(Arc::clone(issuer)))
            }
            Operation::SetPolicy(policy) => {
                let order = Order {
                    reason,
                    ..Order::new(backing, Command::SetPolicy(*policy))
                };
                self.change(issuer, order).await?;
                Ok(Outcome::PolicySet(Arc::clone(issuer)))
            }
        }
    }
}
