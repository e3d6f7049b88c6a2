//! Two people for what hurts: an operation is asked for, and happens when a second one confirms.
//!
//! What waits is in the store, so that it survives a restart. The commit that carries an operation
//! out also ends its waiting: of two that confirm, one does, and no crash loses what was confirmed.

use std::sync::Arc;

use super::audit::{self, AccessEvent, Actor, Attribution};
use super::authentication::Caller;
use super::issuer::Issuer;
use super::request::{Confirmation, Request};
use super::{Authority, ChangeError, Exposure, Rotation, run_to_completion};
use crate::access::Precondition;
use crate::access::approval::{Approval, CONFIRM_WITHIN, Operation};
use crate::lifecycle::{Command, Readiness, RuleViolation, Successor, Timestamp};
use crate::store::{
    CommitError, Content, EventRow, Expectation, Kind, Query, Record, RecordKey, StoreError, Token,
    Write,
};

/// What became of an operation that a client asked for.
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

/// What becomes of an operation that waits.
#[derive(Clone, Copy)]
enum Transition {
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
        let request = Request {
            reason: reason.clone(),
            ..Request::by(actor.clone())
        };
        match self.execute(issuer, operation.clone(), request).await {
            Ok(outcome) => return Ok(ApprovalOutcome::Done(outcome)),
            Err(ChangeError::Refused(RuleViolation::NeedsConfirmation)) => {}
            Err(error) => return Err(error),
        }
        let now = self.now();
        let approval = Approval {
            id: self.services.entropy.name::<8>()?,
            issuer: issuer.name().clone(),
            operation,
            requester: actor.client().unwrap_or_default().to_owned(),
            requested_by: serde_json::to_value(&actor).unwrap_or_default(),
            reason,
            requested_at: now,
            expires_at: now.after(CONFIRM_WITHIN),
        };
        let (waiting, over) = self.approvals_by_time().await?;
        // They cannot be confirmed any more; the log has them.
        for stored in over {
            self.end(&stored, Transition::Expired, &Actor::Scheduler)
                .await?;
        }
        let event = Transition::Requested.event(&approval);
        let reason = approval.reason.as_deref();
        let mut batch = self.access_batch(&event, Some(&approval.issuer), &actor, reason)?;
        let content = Content::of(approval.to_document());
        batch.writes.push(Write::Create(key(&approval), content));
        batch
            .expectations
            .push(Expectation::AtMost(Kind::Approval, MOST_WAITING - 1));
        match self.services.commit(batch).await {
            Ok(_) => Ok(ApprovalOutcome::Awaits(Box::new(approval))),
            Err(CommitError::Conflict) if waiting.len() + 1 >= MOST_WAITING => {
                Err(ChangeError::TooManyApprovals)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The operations that wait and can still be confirmed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn approvals(&self) -> Result<Vec<Approval>, StoreError> {
        let (waiting, _) = self.approvals_by_time().await?;
        Ok(waiting.into_iter().map(|stored| stored.approval).collect())
    }

    /// The operations that can still be confirmed, and those whose time is over.
    async fn approvals_by_time(
        &self,
    ) -> Result<(Vec<StoredApproval>, Vec<StoredApproval>), StoreError> {
        let records = self.services.store.list(Query::all(Kind::Approval)).await?;
        let now = self.now();
        let approvals = records.iter().filter_map(StoredApproval::read);
        Ok(approvals.partition(|stored| now < stored.approval.expires_at))
    }

    /// The operation with this id, if it waits.
    ///
    /// # Errors
    /// [`ChangeError::UnknownApproval`], also when its time is over.
    pub async fn approval(&self, id: &str) -> Result<StoredApproval, ChangeError> {
        let (waiting, _) = self.approvals_by_time().await?;
        waiting
            .into_iter()
            .find(|stored| stored.approval.id == id)
            .ok_or_else(|| ChangeError::UnknownApproval(id.chars().take(64).collect()))
    }

    /// Confirms an operation, and does it: to its end, also when the caller has hung up.
    ///
    /// # Errors
    /// [`ChangeError`]. The operation waits on then.
    pub async fn confirm(
        self: &Arc<Self>,
        stored: StoredApproval,
        caller: &Caller,
    ) -> Result<Outcome, ChangeError> {
        if stored.approval.requester == caller.id() {
            return Err(ChangeError::OwnApproval);
        }
        let issuer = self.issuer(stored.approval.issuer.as_str())?;
        let (authority, actor) = (Arc::clone(self), caller.actor());
        run_to_completion(async move {
            let approval = stored.approval.clone();
            let request = Request {
                attribution: Attribution {
                    actor: Actor::Recorded(approval.requested_by),
                    confirmed_by: Some(actor.clone()),
                },
                reason: approval.reason,
                precondition: Precondition::None,
                confirmation: Some(Confirmation {
                    end: Write::Delete(key(&stored.approval), stored.token),
                    event: stored.row(Transition::Confirmed, authority.now(), &actor),
                    approval: approval.id,
                }),
            };
            authority
                .execute(&issuer, approval.operation, request)
                .await
        })
        .await
    }

    /// Takes an operation back, or refuses it.
    ///
    /// # Errors
    /// [`ChangeError`]; it waits on then.
    pub async fn reject(
        &self,
        stored: &StoredApproval,
        caller: &Caller,
    ) -> Result<(), ChangeError> {
        self.end(stored, Transition::Rejected, &caller.actor())
            .await
    }

    /// Ends the waiting of an operation that does not happen.
    async fn end(
        &self,
        stored: &StoredApproval,
        transition: Transition,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        let approval = &stored.approval;
        let event = transition.event(approval);
        let reason = approval.reason.as_deref();
        let mut batch = self.access_batch(&event, Some(&approval.issuer), actor, reason)?;
        let write = Write::Delete(key(approval), stored.token);
        batch.writes.push(write);
        self.services.commit(batch).await?;
        tracing::info!(?actor, ?event, "access changed");
        Ok(())
    }

    async fn execute(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        operation: Operation,
        request: Request,
    ) -> Result<Outcome, ChangeError> {
        match operation {
            Operation::ForceRotation { algorithm } => {
                let rotate = self.rotate(issuer, algorithm, Readiness::Waived, request);
                let (version, rotations) = rotate.await?;
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
                let exposure = self.revoke(issuer, &kid, successor, request).await?;
                Ok(Outcome::Revoked(Box::new(exposure)))
            }
            Operation::Delete => {
                let reason = request.reason.clone().unwrap_or_default();
                let command = Command::Delete { reason };
                self.delete_issuer(issuer, request.asks(command)).await?;
                Ok(Outcome::Deleted(Arc::clone(issuer)))
            }
            Operation::SetPolicy {
                policy,
                precondition,
            } => {
                let command = Command::SetPolicy(*policy);
                let request = Request {
                    precondition,
                    ..request
                };
                self.change(issuer, request.asks(command)).await?;
                Ok(Outcome::PolicySet(Arc::clone(issuer)))
            }
        }
    }
}

/// An operation that waits, as the store has it.
pub struct StoredApproval {
    /// What waits.
    pub approval: Approval,
    token: Token,
}

impl StoredApproval {
    fn read(record: &Record) -> Option<Self> {
        let approval = Approval::from_document(&record.key.id, &record.document)?;
        let token = record.token;
        Some(Self { approval, token })
    }

    fn row(&self, transition: Transition, at: Timestamp, actor: &Actor) -> EventRow {
        let Approval { issuer, reason, .. } = &self.approval;
        let event = transition.event(&self.approval);
        let attribution = Attribution::from(actor.clone());
        audit::row(&event, at, Some(issuer), &attribution, reason.as_deref())
    }
}

fn key(approval: &Approval) -> RecordKey {
    RecordKey::owned(Kind::Approval, &approval.issuer, &approval.id)
}

impl Transition {
    fn event(self, approval: &Approval) -> AccessEvent {
        let operation = approval.operation.as_str();
        let approval = approval.id.clone();
        match self {
            Self::Requested => AccessEvent::ApprovalRequested {
                approval,
                operation,
            },
            Self::Confirmed => AccessEvent::ApprovalConfirmed {
                approval,
                operation,
            },
            Self::Rejected => AccessEvent::ApprovalRejected {
                approval,
                operation,
            },
            Self::Expired => AccessEvent::ApprovalExpired {
                approval,
                operation,
            },
        }
    }
}
