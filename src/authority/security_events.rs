//! What other systems tell by security event tokens: each token has its effect once.
//!
//! The token is remembered in the commit of its effect, so that one which comes again, as RFC 8935 §2 allows,
//! does not ban a user again who was let in meanwhile.

use std::sync::Arc;

use keywright_verifier::revocation::Selector;
use serde_json::{Map, Value};

use super::audit::Actor;
use super::authentication::EventTokenRefusal;
use super::issuer::{Issuer, MAX_ATTEMPTS};
use super::request::Request;
use super::revocations::{RevocationDraft, RevocationFilter};
use super::{Authority, ChangeError};
use crate::event_stream::{AccountChange, REMEMBERED_FOR, ReceivedEvent};
use crate::oauth::single_use::{TokenUse, event_record_id};
use crate::revocation::Ban;
use crate::store::{Content, Kind, RecordIndex, RecordKey, Write};

/// What is written down as the reason of a ban.
const REASON: &str = "account disabled";

impl Authority {
    /// The claims of a security event token of a trusted issuer.
    ///
    /// # Errors
    /// [`EventTokenRefusal`].
    pub async fn security_event(
        &self,
        token: &str,
    ) -> Result<Map<String, Value>, EventTokenRefusal> {
        self.authenticator.security_event(token, self.now()).await
    }

    /// Does what follows from an event: the tokens of an account that was disabled are banned, and the bans
    /// that the same client has brought so are lifted when it is enabled. A token that comes again does nothing.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then, unless it says that this is not known.
    pub async fn take_security_event(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        event: &ReceivedEvent,
        selector: &Selector,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        let id = event_record_id(&event.issuer, &event.jti);
        let key = RecordKey::owned(Kind::UsedToken, issuer.name(), id);
        for _ in 0..MAX_ATTEMPTS {
            if self.services.store.get(&key).await?.is_some() {
                return Ok(());
            }
            let remembered = self.remembered(&key, actor);
            let done = match event.change {
                AccountChange::Disabled => {
                    self.ban_account(issuer, selector, remembered, actor).await
                }
                AccountChange::Enabled => {
                    self.lift_bans_of_account(issuer, selector, remembered, actor)
                        .await
                }
            };
            match done {
                Err(ChangeError::Contended) => {}
                done => return done,
            }
        }
        Err(ChangeError::Contended)
    }

    /// What remembers a token.
    fn remembered(&self, key: &RecordKey, actor: &Actor) -> Write {
        let client = actor.client().unwrap_or_default();
        let now = self.services.lease.time();
        let content = Content {
            index: RecordIndex {
                client: Some(client.to_owned()),
                kept_until: Some(now.after(REMEMBERED_FOR)),
                ..RecordIndex::default()
            },
            ..Content::of(TokenUse::of_event(client, now).to_document())
        };
        Write::Create(key.clone(), content)
    }

    async fn ban_account(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        selector: &Selector,
        remembered: Write,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        let draft = RevocationDraft {
            selector: selector.clone(),
            ban: Some(Ban::UntilLifted),
            reason: Some(REASON.to_owned()),
        };
        let request = Request {
            event_token: Some(remembered),
            ..Request::by(actor.clone())
        };
        let banned = self.take_tokens_back(issuer, vec![draft], request);
        banned.await.map(drop)
    }

    /// Bans that a person has made, or another client, stay.
    async fn lift_bans_of_account(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        selector: &Selector,
        remembered: Write,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        let filter = RevocationFilter {
            selector: Some(selector.clone()),
            live: true,
            after: String::new(),
            limit: usize::MAX,
        };
        let now = self.services.lease.time();
        for revocation in issuer.revocations().list(&filter, now) {
            let is_meant = revocation.ban.is_some_and(|ban| ban.holds(now))
                && revocation.reason.as_deref() == Some(REASON)
                && Some(revocation.client.as_str()) == actor.client();
            if !is_meant {
                continue;
            }
            match self.lift_ban(issuer, &revocation.id, actor.clone()).await {
                // Another request was faster.
                Err(ChangeError::NotABan(_) | ChangeError::UnknownRevocation(_)) => {}
                lifted => lifted?,
            }
        }
        let mut batch = self.services.new_batch()?;
        batch.writes.push(remembered);
        match self.services.commit_if_unchanged(batch).await? {
            true => Ok(()),
            false => Err(ChangeError::Contended),
        }
    }
}
