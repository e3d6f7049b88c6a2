//! How tokens are taken back: a revocation is opened, and closed at once where no replica can miss it.

use std::sync::Arc;

use keywright_verifier::revocation::Selector;

use super::{Entry, RevocationInForce, Revocations, record_key, subject};
use crate::access::Role;
use crate::authority::audit::{self, RevocationEvent, log_event};
use crate::authority::issuer::{Issuer, MAX_ATTEMPTS};
use crate::authority::request::Request;
use crate::authority::{Authority, ChangeError, run_to_completion};
use crate::lifecycle::{Attestation, RuleViolation, Timestamp};
use crate::revocation::{Ban, Revocation, State, needs_two_people};
use crate::store::{Batch, CommitError, Content, Token, WhenDiskFull, Write};

/// The most revocations of one client that an issuer keeps.
pub const MOST_OF_A_CLIENT: usize = 50_000;

/// The most revocations that an issuer keeps.
pub const MOST_OF_AN_ISSUER: usize = 400_000;

/// How many of them are kept for clients with the role security.
const KEPT_FOR_SECURITY: usize = 50_000;

/// What is asked to be taken back.
pub struct RevocationDraft {
    /// Which tokens.
    pub selector: Selector,
    /// Whether matching tokens are signed from now on.
    pub ban: Option<Ban>,
    /// Why.
    pub reason: Option<String>,
}

impl Authority {
    /// Takes tokens back: all that are asked for, or none. On a shared store it waits, for a second at
    /// most, until every process that lives knows of it.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then, unless it says that this is not known.
    pub async fn take_tokens_back(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        drafts: Vec<RevocationDraft>,
        request: Request,
    ) -> Result<Vec<RevocationInForce>, ChangeError> {
        let (authority, issuer) = (Arc::clone(self), Arc::clone(issuer));
        run_to_completion(async move {
            let ids = authority.open_in_time(&issuer, &drafts, &request).await?;
            if authority.has_shared_store() {
                authority.close_soon(&issuer, &ids).await;
            }
            let all = ids.iter().filter_map(|id| issuer.revocations().find(id));
            Ok(all.map(|one| authority.in_force(&issuer, one)).collect())
        })
        .await
    }

    /// Commits revocations, again when the commit came too late for what it said of the time.
    async fn open_in_time(
        &self,
        issuer: &Issuer,
        drafts: &[RevocationDraft],
        request: &Request,
    ) -> Result<Vec<String>, ChangeError> {
        for _ in 0..MAX_ATTEMPTS {
            request.still_waits(&self.services).await?;
            match self.open(issuer, drafts, request).await {
                // Who has asked looks first whether another request has done it.
                Err(ChangeError::Contended)
                    if request.ended_grant.is_none() && request.event_token.is_none() => {}
                outcome => return outcome,
            }
        }
        Err(ChangeError::Contended)
    }

    /// Commits revocations; closed at once where no other process can miss them.
    async fn open(
        &self,
        issuer: &Issuer,
        drafts: &[RevocationDraft],
        request: &Request,
    ) -> Result<Vec<String>, ChangeError> {
        let (services, book) = (&self.services, issuer.revocations());
        let writer = services.store.writer().await?;
        // Now nothing else of this process is counted in between.
        self.check_drafts(issuer, drafts, request)?;
        let now = services.lease.time();
        let mut revocations = Vec::with_capacity(drafts.len());
        for draft in drafts {
            revocations.push(Revocation {
                id: services.entropy.name::<8>()?,
                selector: draft.selector.clone().into(),
                state: State::Open,
                ban: draft.ban,
                reason: draft.reason.clone(),
                by: serde_json::to_value(&request.attribution.actor).unwrap_or_default(),
                client: request.client().to_owned(),
                created_at: now,
                changed_at: now,
            });
        }
        let ids: Vec<String> = revocations.iter().map(|one| one.id.clone()).collect();
        if !self.has_shared_store() {
            // What is signed without knowing of them was issued before the stamp that follows.
            book.hold(&revocations, now);
            let (set, stamp) = (issuer.snapshot(), services.lease.time());
            let close = |one: Revocation| one.closed(set.set(), stamp);
            revocations = revocations.into_iter().map(close).collect();
        }
        // The lease is looked at last: what is stamped with a time that no other replica shares is not said.
        let believed = services.require_believed_time();
        let batch = believed.and_then(|()| self.opening(issuer, &revocations, request, now));
        let batch = batch.inspect_err(|_| book.release(&ids))?;
        let batch_id = batch.id;
        let token = Token::UNWRITTEN.followed_by(batch_id);
        match services.commit_with(writer, batch).await {
            Ok(head) => {
                for revocation in &revocations {
                    let event = RevocationEvent::opened(revocation, &services.revocation_secret);
                    log_event(
                        "tokens taken back",
                        subject(issuer),
                        &request.attribution,
                        &event,
                    );
                }
                let entries = revocations.into_iter().map(|revocation| Entry {
                    revocation: Arc::new(revocation),
                    token,
                    known_through: head.sequence,
                });
                book.edit(|book| entries.for_each(|entry| book.put(entry, now)));
                Ok(ids)
            }
            // They may come to stand: signers go on refusing until the store says so.
            Err(error @ CommitError::Unknown(_)) => {
                book.unsettled().push((batch_id, ids));
                Err(error.into())
            }
            Err(error) => {
                book.release(&ids);
                Err(error.into())
            }
        }
    }

    /// Refuses what one person may not do alone, and more than a client may have.
    fn check_drafts(
        &self,
        issuer: &Issuer,
        drafts: &[RevocationDraft],
        request: &Request,
    ) -> Result<(), ChangeError> {
        let snapshot = issuer.snapshot();
        let set = snapshot.set();
        if set.deleted_at().is_some() {
            return Err(ChangeError::Refused(RuleViolation::IssuerDeleted));
        }
        let is_too_much = |draft: &RevocationDraft| needs_two_people(&draft.selector, set.policy());
        if request.attestation() == Attestation::OnePerson && drafts.iter().any(is_too_much) {
            return Err(ChangeError::Refused(RuleViolation::NeedsConfirmation));
        }
        let client = request.client();
        // A request without a client is of the service itself, or of its operator.
        let is_security = client.is_empty() || self.client(client)?.client.has(Role::Security);
        let quota = issuer.revocations();
        quota.check_quota(client, is_security, drafts.len())
    }

    /// The batch that writes new revocations.
    fn opening(
        &self,
        issuer: &Issuer,
        revocations: &[Revocation],
        request: &Request,
        now: Timestamp,
    ) -> Result<Batch, ChangeError> {
        let services = &self.services;
        let mut batch = services.new_batch()?;
        batch.when_disk_full = WhenDiskFull::UseReserve;
        if let Some(confirmation) = &request.confirmation {
            confirmation.add_to(&mut batch);
        }
        if let Some(ended) = &request.ended_grant {
            batch.writes.push(ended.write.clone());
            batch.events.push(ended.event.clone());
        }
        batch.writes.extend(request.event_token.clone());
        // What is closed already says of a time that has not come what it refuses.
        let bound = revocations.first().and_then(Revocation::issued_before);
        let deadline = services.lease.timing().commit_deadline(now);
        let deadline = bound.map_or(deadline, |bound| {
            deadline.min(Timestamp::from_seconds(bound))
        });
        batch.not_after = Some(deadline);
        for revocation in revocations {
            let event = RevocationEvent::opened(revocation, &services.revocation_secret);
            let reason = revocation.reason.as_deref();
            let who = &request.attribution;
            let row = audit::row(&event, now, Some(issuer.name()), who, reason);
            batch.events.push(row);
            batch.writes.push(Write::Create(
                record_key(issuer.name(), &revocation.id),
                Content::of(revocation.to_document()),
            ));
        }
        Ok(batch)
    }
}

impl Revocations {
    /// Refuses more revocations than a client, or all clients, may have.
    fn check_quota(&self, client: &str, is_security: bool, more: usize) -> Result<(), ChangeError> {
        let (own, all) = self.read().counts(client);
        let most = match is_security {
            true => MOST_OF_AN_ISSUER,
            false => MOST_OF_AN_ISSUER - KEPT_FOR_SECURITY,
        };
        if own + more > MOST_OF_A_CLIENT && !is_security || all + more > most {
            return Err(ChangeError::TooManyRevocations);
        }
        Ok(())
    }

    /// Lets no matching token be signed while the commit is under way.
    fn hold(&self, revocations: &[Revocation], now: Timestamp) {
        let entries = revocations.iter().map(|revocation| Entry {
            revocation: Arc::new(revocation.clone()),
            token: Token::UNWRITTEN,
            known_through: u64::MAX,
        });
        self.edit(|book| entries.for_each(|entry| book.put(entry, now)));
    }

    /// Forgets what was held and has not been written.
    fn release(&self, ids: &[String]) {
        self.edit(|book| ids.iter().for_each(|id| book.remove(id)));
    }
}
