//! How a grant ends before its time: its record says so, and its session is taken back in the same batch,
//! so that its access tokens end with it.

use std::sync::Arc;

use keywright_verifier::revocation::{Selector, SelectorKind};

use super::{Authority, GrantError, StoredGrant};
use crate::authority::ChangeError;
use crate::authority::audit::{self, Actor, GrantEvent};
use crate::authority::issuer::{Issuer, MAX_ATTEMPTS};
use crate::authority::request::{EndedGrant, Request};
use crate::authority::revocations::RevocationDraft;
use crate::lifecycle::RuleViolation;
use crate::oauth::{GrantEndCause, GrantState};
use crate::store::{CommitError, WhenDiskFull};

impl Authority {
    /// Ends a grant. One that has ended already stays so.
    ///
    /// # Errors
    /// [`GrantError`]; nothing has changed then, unless it says that this is not known.
    pub async fn end_grant(
        self: &Arc<Self>,
        issuer: &Issuer,
        mut stored: StoredGrant,
        actor: Actor,
    ) -> Result<(), GrantError> {
        for _ in 0..MAX_ATTEMPTS {
            if stored.grant.state(self.services.lease.time()) != GrantState::Live {
                return Ok(());
            }
            match self
                .end_stored(issuer, &stored, GrantEndCause::Requested, &actor)
                .await
            {
                Ok(()) => return Ok(()),
                Err(ChangeError::Contended) => {
                    stored = self.grant(issuer, &stored.grant.id).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended.into())
    }

    /// Ends a grant as it was read, with its session.
    pub(super) async fn end_stored(
        self: &Arc<Self>,
        issuer: &Issuer,
        stored: &StoredGrant,
        cause: GrantEndCause,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        let mut request = Request::by(actor.clone());
        request.ended_grant = Some(self.end_of(issuer, stored, cause, actor));
        let selector = Selector::new(SelectorKind::Session, &[&stored.grant.id]);
        let draft = selector.ok().map(|selector| RevocationDraft {
            selector,
            ban: None,
            reason: None,
        });
        let drafts = draft.into_iter().collect();
        let issuer = self.issuer(issuer.name().as_str())?;
        match self.take_tokens_back(&issuer, drafts, request).await {
            // The end must not fail for a quota: the access tokens stay until they expire, and no others
            // follow. Those of a deleted issuer are refused anyway.
            Err(
                ChangeError::TooManyRevocations
                | ChangeError::Refused(RuleViolation::IssuerDeleted),
            ) => self.end_alone(&issuer, stored, cause, actor).await?,
            outcome => drop(outcome?),
        }
        self.metrics().grants().count_ended(cause.as_str(), 1);
        Ok(())
    }

    fn end_of(
        &self,
        issuer: &Issuer,
        stored: &StoredGrant,
        cause: GrantEndCause,
        actor: &Actor,
    ) -> EndedGrant {
        let now = self.services.lease.time();
        let ended = stored.grant.ended_by(cause, now);
        let event = GrantEvent::GrantEnded {
            grant: ended.id.clone(),
            cause: cause.as_str(),
        };
        EndedGrant {
            write: stored.replaced_by(issuer.name(), &ended),
            event: audit::row(
                &event,
                now,
                Some(issuer.name()),
                &actor.clone().into(),
                None,
            ),
        }
    }

    async fn end_alone(
        &self,
        issuer: &Arc<Issuer>,
        stored: &StoredGrant,
        cause: GrantEndCause,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        let EndedGrant { write, event } = self.end_of(issuer, stored, cause, actor);
        let mut batch = self.services.new_batch()?;
        batch.when_disk_full = WhenDiskFull::UseReserve;
        batch.writes.push(write);
        batch.events.push(event);
        self.services
            .commit(batch)
            .await
            .map_err(|error| match error {
                CommitError::Conflict => ChangeError::Contended,
                error => error.into(),
            })?;
        Ok(())
    }
}
