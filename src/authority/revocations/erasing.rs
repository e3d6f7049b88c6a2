//! How a revocation forgets of whom it is, and takes their tokens back all the same.

use std::sync::Arc;

use super::{Entry, RevocationInForce, record_key, subject};
use crate::authority::audit::{self, Actor, Attribution, RevocationEvent, log_event};
use crate::authority::issuer::{Issuer, MAX_ATTEMPTS};
use crate::authority::{Authority, ChangeError, run_to_completion};
use crate::lifecycle::TokenStatus;
use crate::revocation::{ErasedSelector, Revocation, RevokedSelector, tracked_by};
use crate::store::{CommitError, Content, WhenDiskFull, Write};

impl Authority {
    /// Erases the values and the reason of a revocation. Signers and verifiers go on by the digest. What
    /// was erased before stays so.
    ///
    /// # Errors
    /// [`ChangeError::UnknownRevocation`], or why nothing was written.
    pub async fn erase_revocation(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        id: &str,
        actor: Actor,
    ) -> Result<RevocationInForce, ChangeError> {
        let (authority, issuer, id) = (Arc::clone(self), Arc::clone(issuer), id.to_owned());
        run_to_completion(async move {
            for _ in 0..MAX_ATTEMPTS {
                if let Some(erased) = authority.try_to_erase(&issuer, &id, &actor).await? {
                    authority.clear_erased();
                    return Ok(authority.in_force(&issuer, erased));
                }
            }
            Err(ChangeError::Contended)
        })
        .await
    }

    /// Erases what a revocation says of people, if its record is the one that is known here.
    async fn try_to_erase(
        &self,
        issuer: &Issuer,
        id: &str,
        actor: &Actor,
    ) -> Result<Option<Arc<Revocation>>, ChangeError> {
        let (services, book) = (&self.services, issuer.revocations());
        let shown: String = id.chars().take(64).collect();
        let (entry, salt, status) = {
            let book = book.read();
            let salt = book.salt().clone();
            (book.get(id).cloned(), salt, book.status_entry(id))
        };
        let entry = entry.ok_or(ChangeError::UnknownRevocation(shown))?;
        let before = &entry.revocation;
        let RevokedSelector::Known(selector) = &before.selector else {
            return Ok(Some(Arc::clone(before)));
        };
        let writer = services.store.writer().await?;
        let now = services.lease.time();
        services.require_believed_time()?;
        let event_hash = services.revocation_secret.selector_hash(&before.selector);
        let tracks = issuer.snapshot().set().policy().status == TokenStatus::Tracked;
        let is_pair = selector.values().count() > 1;
        let tracked_by = || tracked_by(selector, &salt);
        let left = ErasedSelector {
            status,
            subject: (tracks && is_pair).then(tracked_by).flatten(),
            ..ErasedSelector::of(selector, &salt, event_hash)
        };
        let erased = Arc::new(Revocation {
            selector: RevokedSelector::Erased(Box::new(left)),
            reason: None,
            ..Revocation::clone(before)
        });
        let event = RevocationEvent::erased(before, &services.revocation_secret);
        let attribution = Attribution::from(actor.clone());
        let mut batch = services.new_batch()?;
        batch.when_disk_full = WhenDiskFull::UseReserve;
        batch.not_after = Some(services.lease.timing().commit_deadline(now));
        let row = audit::row(&event, now, Some(issuer.name()), &attribution, None);
        batch.events.push(row);
        let content = Content::of(erased.to_document());
        let key = record_key(issuer.name(), id);
        batch.writes.push(Write::Replace(key, entry.token, content));
        let token = entry.token.followed_by(batch.id);
        match services.commit_with(writer, batch).await {
            Ok(head) => {
                log_event("revocation erased", subject(issuer), &attribution, &event);
                let entry = Entry {
                    revocation: Arc::clone(&erased),
                    token,
                    known_through: head.sequence,
                };
                book.edit(|book| book.put(entry, now));
                Ok(Some(erased))
            }
            Err(CommitError::Conflict | CommitError::Late) => {
                self.reload_revocations(issuer, &[id.to_owned()]).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
