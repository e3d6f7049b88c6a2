//! Two people for what hurts: an operation is asked for, and happens when a second one confirms.
//!
//! What waits is in the store, so that it survives a restart. The commit that carries an operation
//! out also ends its waiting: of two that confirm, one does, and no crash loses what was confirmed.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::access::client_key;
use super::audit::{self, AccessEvent, Actor, Attribution, Filter, Subject, log_event};
use super::authentication::Caller;
use super::clients::ClientState;
use super::issuer::Issuer;
use super::request::{Confirmation, Request};
use super::revocations::{RevocationDraft, RevocationInForce};
use super::{Authority, ChangeError, Exposure, Rotation, Services, run_to_completion};
use crate::access::Precondition;
use crate::access::approval::{Approval, CONFIRM_WITHIN, Operation};
use crate::lifecycle::{Command, IssuerName, Readiness, RuleViolation, Successor, Timestamp};
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
    /// Tokens are taken back.
    TokensRevoked(Box<RevocationInForce>),
    /// The issuer is gone.
    Deleted(Arc<Issuer>),
    /// The policy is set.
    PolicySet(Arc<Issuer>),
}

/// The most operations of one client that wait on one issuer.
pub(super) const MOST_OF_A_CLIENT: usize = 5;

/// The most operations that wait on one issuer.
pub(super) const MOST_ON_AN_ISSUER: usize = 20;

/// How many events the log is searched back for an operation that waits no more.
const SEARCHED_EVENTS: u64 = 1_000;

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
        request: Request,
    ) -> Result<ApprovalOutcome, ChangeError> {
        let (actor, reason) = (request.attribution.actor.clone(), request.reason.clone());
        let basis = operation.basis(issuer.snapshot().set());
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
            basis: Some(basis),
            requester: actor.client().unwrap_or_default().to_owned(),
            requested_by: serde_json::to_value(&actor).unwrap_or_default(),
            reason,
            requested_at: now,
            expires_at: now.after(CONFIRM_WITHIN),
        };
        // Another request of the client may take the same place.
        for _ in 0..MOST_OF_A_CLIENT {
            if self.let_wait(&approval, &actor).await? {
                return Ok(ApprovalOutcome::Awaits(Box::new(approval)));
            }
        }
        Err(ChangeError::TooManyApprovals)
    }

    /// Lets an operation wait at one of its client's places, unless another one has taken that.
    async fn let_wait(&self, approval: &Approval, actor: &Actor) -> Result<bool, ChangeError> {
        let on_issuer = Query::owned(Kind::Approval, &approval.issuer);
        let (waiting, over) = self.approvals_by_time(on_issuer.clone()).await?;
        // They cannot be confirmed any more; the log has them.
        for stored in over {
            let ended = self.end(&stored, Transition::Expired, &Actor::Scheduler);
            match ended.await {
                Ok(()) | Err(ChangeError::Contended) => {}
                Err(error) => return Err(error),
            }
        }
        let place = |number| format!("{} {} {number}", approval.issuer, approval.requester);
        let is_free = |place: &String| {
            let mut taken = waiting.iter().filter_map(|stored| stored.place.as_ref());
            !taken.any(|taken| taken == place)
        };
        let place = (0..MOST_OF_A_CLIENT).map(place).find(is_free);
        let event = Transition::Requested.event(approval);
        let (issuer, reason) = (Some(&approval.issuer), approval.reason.as_deref());
        let mut batch = self.access_batch(&event, issuer, actor, reason)?;
        let content = Content {
            unique: Some(place.ok_or(ChangeError::TooManyApprovals)?),
            ..Content::of(approval.to_document())
        };
        batch.writes.push(Write::Create(key(approval), content));
        let most = Expectation::AtMost(on_issuer, MOST_ON_AN_ISSUER - 1);
        batch.expectations.push(most);
        match self.services.commit(batch).await {
            Ok(_) => Ok(true),
            Err(CommitError::NotUnique) => Ok(false),
            Err(CommitError::Conflict) => Err(ChangeError::TooManyApprovals),
            Err(error) => Err(error.into()),
        }
    }

    /// The operations that wait and can still be confirmed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn approvals(&self) -> Result<Vec<Approval>, StoreError> {
        let (waiting, _) = self.approvals_by_time(Query::all(Kind::Approval)).await?;
        Ok(waiting.into_iter().map(|stored| stored.approval).collect())
    }

    /// The operations that can still be confirmed, and those that cannot: their time is over, or the
    /// client that asked may not any more.
    async fn approvals_by_time(
        &self,
        query: Query,
    ) -> Result<(Vec<StoredApproval>, Vec<StoredApproval>), StoreError> {
        let records = self.services.store.list(query).await?;
        let now = self.now();
        let approvals = records.iter().filter_map(StoredApproval::read);
        Ok(approvals.partition(|StoredApproval { approval, .. }| {
            now < approval.expires_at && self.requester(approval).is_ok()
        }))
    }

    /// The client that asked, as it is now; `None` for what no client has asked.
    fn requester(&self, approval: &Approval) -> Result<Option<Arc<ClientState>>, ChangeError> {
        if approval.requester.is_empty() {
            return Ok(None);
        }
        let requester = self.client(&approval.requester)?;
        let limits = &requester.client.terms.limits;
        let may_call = limits.check_issuer(approval.issuer.as_str()).is_ok();
        if !may_call || !requester.client.has(approval.operation.role()) {
            return Err(ChangeError::UnknownClient(approval.requester.clone()));
        }
        Ok(Some(requester))
    }

    /// The operation with this id, if it waits.
    ///
    /// # Errors
    /// [`ChangeError::ApprovalEnded`] as far back as the log is searched, otherwise
    /// [`ChangeError::UnknownApproval`].
    pub async fn approval(&self, id: &str) -> Result<StoredApproval, ChangeError> {
        let query = Query {
            ids: Some(vec![id.to_owned()]),
            ..Query::all(Kind::Approval)
        };
        let (mut waiting, _) = self.approvals_by_time(query).await?;
        match waiting.pop() {
            Some(stored) => Ok(stored),
            None => Err(ended(&self.services, id).await?.into()),
        }
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
        let requester = self.requester(&stored.approval)?.map(|live| {
            let key = client_key(&live.client.id);
            Expectation::Is(key, Some(live.token))
        });
        let (authority, actor) = (Arc::clone(self), caller.actor());
        run_to_completion(async move {
            let approval = &stored.approval;
            let operation = approval.operation.clone();
            let request = Request {
                attribution: Attribution {
                    actor: Actor::Recorded(approval.requested_by.clone()),
                    confirmed_by: Some(actor.clone()),
                },
                reason: approval.reason.clone(),
                precondition: Precondition::None,
                confirmation: Some(Confirmation {
                    end: Write::Delete(key(approval), stored.token),
                    event: stored.row(Transition::Confirmed, authority.now(), &actor),
                    requester,
                    approval: stored.approval,
                }),
                ended_grant: None,
                event_token: None,
            };
            authority.execute(&issuer, operation, request).await
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
        let subject = Subject {
            issuer: Some(&approval.issuer),
            version: None,
        };
        log_event("access changed", subject, &actor.clone().into(), &event);
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
            Operation::RevokeTokens { selector, ban } => {
                let draft = RevocationDraft {
                    selector,
                    ban,
                    reason: request.reason.clone(),
                };
                let revoked = self.take_tokens_back(issuer, vec![draft], request).await?;
                let revoked = revoked.into_iter().next();
                revoked.map_or(Err(ChangeError::Contended), |one| {
                    Ok(Outcome::TokensRevoked(Box::new(one)))
                })
            }
            Operation::Delete => {
                let reason = request.reason.clone().unwrap_or_default();
                let command = Command::Delete { reason };
                self.delete_issuer(issuer, request.asks(command)).await?;
                Ok(Outcome::Deleted(Arc::clone(issuer)))
            }
            Operation::SetPolicy { policy } => {
                let command = Command::SetPolicy(policy);
                self.change(issuer, request.asks(command)).await?;
                Ok(Outcome::PolicySet(Arc::clone(issuer)))
            }
        }
    }
}

/// An operation that waits no more, as the log tells it.
#[derive(Debug, thiserror::Error)]
#[error("operation {approval} waits no more: {event} by {by} at {at}")]
pub struct EndedApproval {
    /// Its identifier.
    pub approval: String,
    /// The issuer.
    pub issuer: IssuerName,
    /// How it ended: `approval-confirmed`, `approval-rejected` or `approval-expired`.
    pub event: String,
    /// When.
    pub at: Timestamp,
    /// Who ended it, by name.
    pub by: String,
}

/// What has become of an operation that does not wait, as far back as the log is searched.
pub(super) async fn ended(services: &Services, id: &str) -> Result<EndedApproval, ChangeError> {
    let filter = Filter {
        approval: Some(id.to_owned()),
        ..Filter::default()
    };
    let head = services.store.log_head().await?;
    let after = head.sequence.saturating_sub(SEARCHED_EVENTS);
    let found = audit::search(&*services.store, &filter, after, 2).await?;
    let ended = found.events.into_iter().find_map(EndedApproval::read);
    ended.ok_or_else(|| ChangeError::UnknownApproval(id.chars().take(64).collect()))
}

impl EndedApproval {
    fn read(event: Map<String, Value>) -> Option<Self> {
        let text = |name: &str| event.get(name)?.as_str();
        let word = text("event")?;
        let actor = event.get("actor")?;
        let named = actor.get("name").or(actor.get("kind"));
        (word != AccessEvent::APPROVAL_REQUESTED).then_some(Self {
            approval: text("approval")?.to_owned(),
            issuer: IssuerName::parse(text("issuer")?).ok()?,
            event: word.to_owned(),
            at: Timestamp::from_seconds(event.get("at")?.as_u64()?),
            by: named?.as_str()?.to_owned(),
        })
    }
}

/// An operation that waits, as the store has it.
pub struct StoredApproval {
    /// What waits.
    pub approval: Approval,
    token: Token,
    /// Which of its client's places it has.
    place: Option<String>,
}

impl StoredApproval {
    fn read(record: &Record) -> Option<Self> {
        let approval = Approval::from_document(&record.key.id, &record.document)?;
        Some(Self {
            approval,
            token: record.token,
            place: record.unique.clone(),
        })
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
