//! Who may call: every change of a client and its credentials.

use std::sync::Arc;
use std::time::Duration;

use super::audit::{self, AccessEvent, Actor, Attribution, Subject, log_event};
use super::clients::ClientState;
use super::{Authority, ChangeError, run_to_completion};
use crate::access::credential::{Credential, CredentialRecord};
use crate::access::{Client, Precondition, Terms, record};
use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::{
    Batch, BatchId, CommitError, Content, Expectation, Kind, Query, Record, RecordKey, StoreError,
    Token, Tokens, Write,
};

/// A credential that was just made, with what is kept of it.
pub struct Issued {
    /// The credential, to be shown once.
    pub credential: Credential,
    /// What is kept.
    pub record: CredentialRecord,
}

/// Which clients of the store are in memory, usable or not.
#[derive(PartialEq, Eq)]
pub(super) enum KnownClients {
    /// These, in these states.
    All(Tokens),
    /// It is not known since a commit failed. One whose outcome the store could not tell may still
    /// come to stand.
    Unknown(Option<BatchId>),
}

/// What a change makes of a client.
struct ClientUpdate {
    /// The client from now on; `None` when there is none any more.
    after: Option<Client>,
    event: AccessEvent,
}

impl Authority {
    /// Makes a client that is not in force yet.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn draft_client(&self, terms: Terms) -> Result<Client, ChangeError> {
        Ok(Client::new(
            self.services.entropy.name::<8>()?,
            terms,
            self.now(),
        ))
    }

    /// Makes a credential for a client.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn draft_credential(
        &self,
        client: &str,
        lifetime: Option<Duration>,
    ) -> Result<Issued, ChangeError> {
        let now = self.now();
        let secret = zeroize::Zeroizing::new(self.services.entropy.bytes::<32>()?);
        let credential = Credential::new(client, &secret);
        let expires_at = lifetime.map(|lifetime| now.after(lifetime));
        let name = self.services.entropy.name::<4>()?;
        let record = CredentialRecord::of(&credential, name, now, expires_at);
        Ok(Issued { credential, record })
    }

    /// Lets a client in that was made before, for a caller that must put its credential away first.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn admit_client(
        self: &Arc<Self>,
        client: Client,
        actor: Actor,
    ) -> Result<(), ChangeError> {
        let authority = Arc::clone(self);
        run_to_completion(async move {
            let mut known = authority.access.lock().await;
            authority.reload_if_unknown(&mut known).await?;
            authority.check_proofs(&client)?;
            let event = AccessEvent::ClientCreated {
                client: client.id.clone(),
                after: client.terms.to_members(),
            };
            let write = Write::Create(client_key(&client.id), content(&client));
            authority
                .commit_client(&mut known, write, event, &actor)
                .await?;
            let others: Vec<_> = authority.other_clients(&client.id).collect();
            let admitted = known.with_token(client);
            authority
                .clients
                .replace(others.into_iter().chain(admitted));
            drop(known);
            authority.on_all_replicas().await;
            Ok(())
        })
        .await
    }

    /// Lays down other terms for a client. Answers with the client as it is then.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn set_terms(
        self: &Arc<Self>,
        id: &str,
        terms: Terms,
        actor: Actor,
    ) -> Result<Arc<ClientState>, ChangeError> {
        self.set_terms_if(Precondition::None, id, terms, actor)
            .await
    }

    /// The same, if the client is what the caller expects.
    ///
    /// # Errors
    /// [`ChangeError::PreconditionFailed`] if it is not, otherwise as [`Self::set_terms`].
    pub async fn set_terms_if(
        self: &Arc<Self>,
        precondition: Precondition,
        id: &str,
        terms: Terms,
        actor: Actor,
    ) -> Result<Arc<ClientState>, ChangeError> {
        self.update_client(id, precondition, actor, move |client| {
            let event = AccessEvent::ClientChanged {
                client: client.id.clone(),
                before: client.terms.to_members(),
                after: terms.to_members(),
            };
            Ok(ClientUpdate {
                after: Some(client.under(terms)),
                event,
            })
        })
        .await?;
        self.client(id)
    }

    /// Gives a client one more credential; the one before it stays valid for the overlap.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn rotate_credential(
        self: &Arc<Self>,
        id: &str,
        lifetime: Option<Duration>,
        overlap: Duration,
        actor: Actor,
    ) -> Result<(Issued, Arc<ClientState>), ChangeError> {
        self.client(id)?;
        let issued = self.draft_credential(id, lifetime)?;
        let (record, now) = (issued.record.clone(), self.now());
        self.update_client(id, Precondition::None, actor, move |client| {
            let name = record.id.clone();
            let expires_at = record.expires_at.map(Timestamp::ceil_seconds);
            let client = client.with_credential(record, now, overlap);
            let previous = client.credentials.iter().find(|one| one.id != name);
            let event = AccessEvent::CredentialCreated {
                client: client.id.clone(),
                credential: name.clone(),
                expires_at,
                previous_until: previous
                    .and_then(|previous| previous.expires_at)
                    .map(Timestamp::ceil_seconds),
            };
            Ok(ClientUpdate {
                after: Some(client),
                event,
            })
        })
        .await?;
        Ok((issued, self.client(id)?))
    }

    /// Takes one credential of a client away, at once.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn revoke_credential(
        self: &Arc<Self>,
        id: &str,
        credential: &str,
        actor: Actor,
    ) -> Result<(), ChangeError> {
        let credential: String = credential.chars().take(64).collect();
        self.update_client(id, Precondition::None, actor, move |client| {
            let event = AccessEvent::CredentialRevoked {
                client: client.id.clone(),
                credential: credential.clone(),
            };
            let unknown = ChangeError::UnknownCredential {
                client: client.id.clone(),
                credential: credential.clone(),
            };
            let after = client.without_credential(&credential).ok_or(unknown)?;
            Ok(ClientUpdate {
                after: Some(after),
                event,
            })
        })
        .await
    }

    /// Ends a client's access, at once.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn delete_client(
        self: &Arc<Self>,
        id: &str,
        actor: Actor,
    ) -> Result<(), ChangeError> {
        self.update_client(id, Precondition::None, actor, |client| {
            let event = AccessEvent::ClientDeleted {
                client: client.id.clone(),
                before: client.terms.to_members(),
            };
            Ok(ClientUpdate { after: None, event })
        })
        .await
    }

    /// The client with this id.
    ///
    /// # Errors
    /// [`ChangeError::UnknownClient`].
    pub fn client(&self, id: &str) -> Result<Arc<ClientState>, ChangeError> {
        self.clients
            .find(id)
            .ok_or_else(|| ChangeError::UnknownClient(id.chars().take(64).collect()))
    }

    async fn update_client(
        self: &Arc<Self>,
        id: &str,
        precondition: Precondition,
        actor: Actor,
        revise: impl FnOnce(Client) -> Result<ClientUpdate, ChangeError> + Send + 'static,
    ) -> Result<(), ChangeError> {
        let (authority, id) = (Arc::clone(self), id.to_owned());
        run_to_completion(async move {
            let mut known = authority.access.lock().await;
            // Another process may have changed the client: a condition is judged on what the store
            // has.
            if !precondition.is_none() && authority.has_shared_store() {
                known.doubt();
            }
            authority.reload_if_unknown(&mut known).await?;
            let before = authority.client(&id)?.client.clone();
            known.check(&id, &precondition)?;
            let now = authority.now();
            let managed = before.manages_access(now);
            let ClientUpdate { after, event } = revise(before)?;
            let manages = |client: &Client| client.manages_access(now);
            let stays = after.as_ref().is_some_and(manages);
            if managed && !stays && !authority.other_clients(&id).any(|(one, _)| manages(&one)) {
                return Err(ChangeError::LastAdmin);
            }
            let key = client_key(&id);
            let token = known.token(&id).ok_or(ChangeError::Contended)?;
            let write = match &after {
                Some(after) => {
                    authority.check_proofs(after)?;
                    Write::Replace(key, token, content(after))
                }
                None => Write::Delete(key, token),
            };
            let committed = authority.commit_client(&mut known, write, event, &actor);
            if let Err(error) = committed.await {
                // Another process was faster, and memory has taken over what it made of the client.
                if matches!(error, ChangeError::Contended) {
                    known.check(&id, &precondition)?;
                }
                return Err(error);
            }
            let others = authority.other_clients(&id);
            let after = after.and_then(|after| known.with_token(after));
            authority.clients.replace(others.chain(after));
            drop(known);
            authority.on_all_replicas().await;
            Ok(())
        })
        .await
    }

    fn other_clients<'a>(&self, id: &'a str) -> impl Iterator<Item = (Client, Token)> + use<'a> {
        let clients = self.clients.all().into_iter();
        clients
            .filter(move |live| live.client.id != id)
            .map(|live| (live.client.clone(), live.token))
    }

    /// What names a client must name no other, and must be something that can be verified here.
    fn check_proofs(&self, client: &Client) -> Result<(), ChangeError> {
        let is_others = |rule| {
            let holder = self.clients.holder(rule);
            holder.is_some_and(|holder| holder.client.id != client.id)
        };
        if client.terms.certificates.iter().any(is_others) {
            return Err(ChangeError::CertificateTaken);
        }
        let mut workloads = client.terms.workloads.iter();
        match workloads.find(|rule| !self.authenticator.trusts(&rule.issuer)) {
            Some(rule) => Err(ChangeError::UntrustedIssuer(rule.issuer.clone())),
            None => Ok(()),
        }
    }

    /// Commits a change of a client that was judged with the known ones. If it is not known how that
    /// ended, or another process has changed one of them, memory takes over what the store has: a
    /// client that was deleted must not live on because the answer was lost.
    async fn commit_client(
        &self,
        known: &mut KnownClients,
        write: Write,
        event: AccessEvent,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        let KnownClients::All(mut tokens) = std::mem::replace(known, KnownClients::Unknown(None))
        else {
            return Err(ChangeError::Contended);
        };
        let mut batch = self.access_batch(&event, None, actor, None)?;
        let id = batch.id;
        let all = Expectation::Exactly(Kind::Client, tokens.clone());
        batch.expectations.push(all);
        match &write {
            Write::Create(key, _) => {
                tokens.insert(key.id.clone(), Token::UNWRITTEN.followed_by(id));
            }
            Write::Replace(key, token, _) => {
                tokens.insert(key.id.clone(), token.followed_by(id));
            }
            Write::Delete(key, _) => drop(tokens.remove(&key.id)),
        }
        batch.writes.push(write);
        match self.services.commit(batch).await {
            Ok(_) => {
                *known = KnownClients::All(tokens);
                let attribution = Attribution::from(actor.clone());
                log_event("access changed", Subject::default(), &attribution, &event);
                Ok(())
            }
            Err(error) => {
                if let CommitError::Unknown(_) = &error {
                    *known = KnownClients::Unknown(Some(id));
                }
                if let Err(error) = self.reload_if_unknown(known).await {
                    tracing::error!(%error, "who may call is not known until the store answers");
                }
                Err(error.into())
            }
        }
    }

    /// Takes over what the store has, if memory may differ from it.
    async fn reload_if_unknown(&self, known: &mut KnownClients) -> Result<(), StoreError> {
        let KnownClients::Unknown(batch) = known else {
            return Ok(());
        };
        if let Some(batch) = *batch {
            self.services.store.outcome(batch).await?;
        }
        let records = self.services.store.list(Query::all(Kind::Client)).await?;
        self.clients.replace(usable(&records));
        *known = KnownClients::of(&records);
        Ok(())
    }

    /// Takes over what the store has, if these records of it differ from memory. They may have been
    /// read before a commit of this process, so that they are not taken themselves.
    pub(super) async fn take_over_clients(&self, records: &[Record]) -> Result<(), StoreError> {
        let mut known = self.access.lock().await;
        if *known != KnownClients::of(records) {
            *known = KnownClients::Unknown(None);
        }
        self.reload_if_unknown(&mut known).await
    }

    /// Takes over what the store has, if a change of a client ended without an answer.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn reload_unknown_clients(&self) -> Result<(), StoreError> {
        let mut known = self.access.lock().await;
        self.reload_if_unknown(&mut known).await
    }

    /// A batch with one event of access, and no write yet.
    pub(super) fn access_batch(
        &self,
        event: &AccessEvent,
        issuer: Option<&IssuerName>,
        actor: &Actor,
        reason: Option<&str>,
    ) -> Result<Batch, ChangeError> {
        if !self.services.lease.holds() {
            return Err(ChangeError::SnapshotStale);
        }
        let attribution = Attribution::from(actor.clone());
        let row = audit::row(event, self.now(), issuer, &attribution, reason);
        Ok(Batch {
            events: vec![row],
            when_disk_full: event.when_disk_full(),
            ..self.services.new_batch()?
        })
    }

    /// Writes down when credentials were last used that were used at `since` or later.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn store_last_uses(&self, since: Timestamp) -> Result<(), StoreError> {
        let mut uses = self.clients.last_uses();
        uses.retain(|used| used.at >= since.millis());
        if uses.is_empty() {
            return Ok(());
        }
        self.services.store.record_uses(&uses).await
    }
}

impl KnownClients {
    /// Those of these records.
    pub(super) fn of(records: &[Record]) -> Self {
        let tokens = records.iter();
        Self::All(
            tokens
                .map(|record| (record.key.id.clone(), record.token))
                .collect(),
        )
    }

    /// Lets the store be asked again, unless a commit has to be settled first anyway.
    fn doubt(&mut self) {
        if let Self::All(_) = self {
            *self = Self::Unknown(None);
        }
    }

    /// Refuses a change of a client that is not what the caller expects, as far as that is known.
    fn check(&self, client: &str, precondition: &Precondition) -> Result<(), ChangeError> {
        let Self::All(tokens) = self else {
            return Ok(());
        };
        let tag = tokens.get(client).map(Token::to_string);
        match precondition.allows(tag.as_deref()) {
            true => Ok(()),
            false => Err(ChangeError::PreconditionFailed),
        }
    }

    fn with_token(&self, client: Client) -> Option<(Client, Token)> {
        let token = self.token(&client.id)?;
        Some((client, token))
    }

    fn token(&self, client: &str) -> Option<Token> {
        match self {
            Self::All(tokens) => tokens.get(client).copied(),
            Self::Unknown(_) => None,
        }
    }
}

/// The clients of these records that can be used.
pub(super) fn usable(records: &[Record]) -> impl Iterator<Item = (Client, Token)> {
    records.iter().filter_map(|stored| {
        let client = record::client(&stored.key.id, stored.version, &stored.document);
        if client.is_none() {
            tracing::error!(client = %stored.key.id, "client refused: its stored record is corrupt");
        }
        Some((client?, stored.token))
    })
}

pub(super) fn client_key(id: &str) -> RecordKey {
    RecordKey::unowned(Kind::Client, id)
}

fn content(client: &Client) -> Content {
    Content::of(record::to_document(client))
}
