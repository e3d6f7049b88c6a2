//! How a ban ends before its time.

use std::sync::Arc;

use super::{Entry, record_key, subject};
use crate::authority::audit::{self, Actor, Attribution, RevocationEvent, log_event};
use crate::authority::issuer::{Issuer, MAX_ATTEMPTS};
use crate::authority::{Authority, ChangeError, run_to_completion};
use crate::revocation::Revocation;
use crate::store::{CommitError, Content, Write};

impl Authority {
    /// Ends a ban. What was issued before the revocation stays refused.
    ///
    /// # Errors
    /// [`ChangeError::UnknownRevocation`], [`ChangeError::NotABan`], or why nothing was written.
    pub async fn lift_ban(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        id: &str,
        actor: Actor,
    ) -> Result<(), ChangeError> {
        let (authority, issuer, id) = (Arc::clone(self), Arc::clone(issuer), id.to_owned());
        run_to_completion(async move {
            for _ in 0..MAX_ATTEMPTS {
                if authority.try_to_lift(&issuer, &id, &actor).await? {
                    return Ok(());
                }
            }
            Err(ChangeError::Contended)
        })
        .await
    }

    /// Ends a ban, if its record is the one that is known here.
    async fn try_to_lift(
        &self,
        issuer: &Issuer,
        id: &str,
        actor: &Actor,
    ) -> Result<bool, ChangeError> {
        let (services, book) = (&self.services, issuer.revocations());
        let shown: String = id.chars().take(64).collect();
        let entry = book.read().get(id).cloned();
        let entry = entry.ok_or(ChangeError::UnknownRevocation(shown.clone()))?;
        let writer = services.store.writer().await?;
        let now = services.lease.time();
        if !entry.revocation.ban.is_some_and(|ban| ban.holds(now)) {
            return Err(ChangeError::NotABan(shown));
        }
        services.require_believed_time()?;
        let lifted = Revocation {
            ban: None,
            ..Revocation::clone(&entry.revocation)
        };
        let event = RevocationEvent::lifted(&lifted, &services.revocation_secret);
        let attribution = Attribution::from(actor.clone());
        let mut batch = services.new_batch()?;
        batch.not_after = Some(services.lease.timing().commit_deadline(now));
        let row = audit::row(&event, now, Some(issuer.name()), &attribution, None);
        batch.events.push(row);
        let content = Content::of(lifted.to_document());
        let key = record_key(issuer.name(), id);
        batch.writes.push(Write::Replace(key, entry.token, content));
        let token = entry.token.followed_by(batch.id);
        match services.commit_with(writer, batch).await {
            Ok(head) => {
                log_event("ban lifted", subject(issuer), &attribution, &event);
                let entry = Entry {
                    revocation: Arc::new(lifted),
                    token,
                    known_through: head.sequence,
                };
                book.edit(|book| book.put(entry, now));
                Ok(true)
            }
            Err(CommitError::Conflict | CommitError::Late) => {
                self.reload_revocations(issuer, &[id.to_owned()]).await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
