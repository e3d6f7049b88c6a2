//! Issuers as they come and go: created, put under another policy, deleted.

use std::sync::Arc;

use serde_json::json;

use super::approvals::ApprovalOutcome;
use super::audit::{Actor, Subject, log_event};
use super::issuer::{self, Issuer};
use super::request::{ChangeRequest, Request};
use super::{Authority, ChangeError, run_to_completion};
use crate::access::Precondition;
use crate::access::approval::{Approval, Operation};
use crate::engine::Urgency;
use crate::lifecycle::{
    Command, DecisionError, IssuerName, IssuerOrigin, Policy, RuleViolation, Timing, create,
};

/// What a PUT of an issuer did.
pub enum IssuerSet {
    /// There was none of that name.
    Created(Arc<Issuer>),
    /// Its policy is now the one that was given.
    Replaced(Arc<Issuer>),
    /// The policy waits for a second person.
    Awaits(Box<Approval>),
}

impl Authority {
    /// Whether the store has any issuer, usable or not.
    pub fn has_issuers(&self) -> bool {
        !self.directory.is_empty()
    }

    /// All issuers that are not deleted, in the order of their names.
    pub fn issuers(&self) -> Vec<Arc<Issuer>> {
        self.directory.all()
    }

    /// How long the processes of this store need to take a change over.
    pub fn timing(&self) -> Timing {
        self.services.lease.timing()
    }

    /// The issuer that is published under a path (empty for the root).
    pub fn published_under(&self, path: &str) -> Option<Arc<Issuer>> {
        self.directory.published_under(path)
    }

    /// Whether an issuer that cannot be used was published under a path. Its documents are then
    /// not gone but out of service, and copies of them may go on being used.
    pub fn is_out_of_service(&self, path: &str) -> bool {
        self.directory.is_out_of_service(path)
    }

    /// The issuer with this name.
    ///
    /// # Errors
    /// [`ChangeError::UnknownIssuer`], or [`ChangeError::UnusableIssuer`] when the store has it and
    /// it cannot be used.
    pub fn issuer(&self, name: &str) -> Result<Arc<Issuer>, ChangeError> {
        self.directory.find(name)
    }

    /// Decides anew what an issuer publishes, as after a scheduled change that has failed.
    pub fn republish(&self, issuer: &Issuer) {
        issuer.republish(&self.services);
    }

    /// Creates an issuer, or replaces the policy of one that exists. `None` for the origin means
    /// that the request does not say: a new issuer is then a fresh one.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn set_issuer(
        self: &Arc<Self>,
        name: &IssuerName,
        policy: Policy,
        origin: Option<IssuerOrigin>,
        actor: Actor,
    ) -> Result<IssuerSet, ChangeError> {
        self.set_issuer_if(Precondition::None, name, policy, origin, actor)
            .await
    }

    /// The same, if the issuer is what the caller expects.
    ///
    /// # Errors
    /// [`ChangeError::PreconditionFailed`] if it is not, otherwise as [`Self::set_issuer`].
    pub async fn set_issuer_if(
        self: &Arc<Self>,
        precondition: Precondition,
        name: &IssuerName,
        policy: Policy,
        origin: Option<IssuerOrigin>,
        actor: Actor,
    ) -> Result<IssuerSet, ChangeError> {
        self.services.push.check(name, &policy)?;
        let (authority, name) = (Arc::clone(self), name.clone());
        run_to_completion(async move {
            match authority.issuer(name.as_str()) {
                Ok(issuer) => {
                    if origin.is_some_and(|asked| asked != issuer.snapshot().set().origin()) {
                        return Err(ChangeError::Refused(RuleViolation::IssuerOriginFixed));
                    }
                    let policy = Box::new(policy);
                    let request = Request {
                        precondition,
                        ..Request::by(actor)
                    };
                    let asked = authority.ask(&issuer, Operation::SetPolicy { policy }, request);
                    match asked.await? {
                        ApprovalOutcome::Done(_) => Ok(IssuerSet::Replaced(issuer)),
                        ApprovalOutcome::Awaits(approval) => Ok(IssuerSet::Awaits(approval)),
                    }
                }
                Err(ChangeError::UnknownIssuer(_)) if !precondition.allows(None) => {
                    Err(ChangeError::PreconditionFailed)
                }
                Err(ChangeError::UnknownIssuer(_)) => {
                    let origin = origin.unwrap_or(IssuerOrigin::Fresh);
                    let issuer = authority
                        .create_issuer(&name, policy, origin, &actor)
                        .await?;
                    Ok(IssuerSet::Created(issuer))
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Creates an issuer. Its keys are generated before, and no lock is held meanwhile: of two
    /// requests that create one issuer, one does.
    async fn create_issuer(
        &self,
        name: &IssuerName,
        policy: Policy,
        origin: IssuerOrigin,
        actor: &Actor,
    ) -> Result<Arc<Issuer>, ChangeError> {
        if self.published_under(policy.url.path()).is_some() {
            return Err(ChangeError::PathTaken);
        }
        let mut request = Request::by(actor.clone()).asks(Command::ApplyPlan);
        let (change, time) = loop {
            let time = self.services.lease.change_time();
            self.services.require_believed_time()?;
            match create(
                name.clone(),
                policy.clone(),
                origin,
                time,
                &request.fresh.supply,
            ) {
                Ok(change) => break (change, time),
                Err(DecisionError::Refused(refusal)) => return Err(ChangeError::Refused(refusal)),
                Err(DecisionError::NeedsKeys(wanted)) => {
                    let fresh = &mut request.fresh;
                    let generate = self.services.generate(wanted, Urgency::Immediate, fresh);
                    generate.await?;
                }
            }
        };
        let created = issuer::create(&self.services, &request, change, time).await;
        if matches!(created, Err(ChangeError::Contended)) {
            self.take_over_created(name).await?;
        }
        let issuer = Arc::new(created?);
        let issuer = self.directory.edit(|issuers| issuers.add_new(issuer));
        self.schedule(&issuer);
        let subject = Subject {
            issuer: Some(name),
            version: None,
        };
        let created = json!({ "event": "issuer-created" });
        log_event("issuer created", subject, &actor.clone().into(), &created);
        self.on_all_replicas().await;
        Ok(issuer)
    }

    /// Takes over an issuer that the store has already: another request was faster, or one before
    /// has created it without an answer.
    async fn take_over_created(&self, name: &IssuerName) -> Result<(), ChangeError> {
        if let Some(stored) = self.services.store.key_set(name).await? {
            let issuer = Arc::new(Issuer::load(&self.services, &stored)?);
            let issuer = self.directory.edit(|issuers| issuers.add_new(issuer));
            self.schedule(&issuer);
        }
        Ok(())
    }

    /// Deletes an issuer, and takes it out of what is published.
    pub(super) async fn delete_issuer(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        request: ChangeRequest,
    ) -> Result<(), ChangeError> {
        let (authority, issuer) = (Arc::clone(self), Arc::clone(issuer));
        run_to_completion(async move {
            authority.change(&issuer, request).await?;
            authority.directory.edit(|issuers| issuers.add(issuer));
            Ok(())
        })
        .await
    }
}
