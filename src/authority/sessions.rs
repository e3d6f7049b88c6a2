//! Sessions of the console: opened, used, ended. They are records of the store, so that every process on it
//! knows them, and none is in memory.

use std::net::IpAddr;

use zeroize::Zeroizing;

use super::audit::AuthenticationMethod;
use super::authentication::{Caller, Unauthenticated};
use super::issuer::MAX_ATTEMPTS;
use super::{Authority, ChangeError};
use crate::access::session::{
    MOST_OF_A_CLIENT, Session, SessionKind, SessionProof, USE_STEP, record_id, secret_text,
};
use crate::lifecycle::Timestamp;
use crate::store::{
    CommitError, Content, Kind, Query, Record, RecordIndex, RecordKey, StoreError, Write,
};

/// A session or a link that was just made, with its secret, which is shown once.
pub struct BegunSession {
    /// The secret, in 43 characters of base64url.
    pub secret: Zeroizing<String>,
    /// What is kept.
    pub session: Session,
}

/// A session that is good now.
pub struct LiveSession {
    /// Who acts in it.
    pub caller: Caller,
    /// The name of its record, which is no secret.
    pub id: String,
    /// When it ends, used or not.
    pub ends_at: Timestamp,
}

/// Why no session begins or goes on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The proof is no client's.
    #[error("the proof matches no client")]
    Unauthenticated(Unauthenticated),
    /// It was not written.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

impl Authority {
    /// Opens a session for a caller who has proven itself.
    ///
    /// # Errors
    /// [`ChangeError`]; there is no session then.
    pub async fn open_session(&self, caller: &Caller) -> Result<BegunSession, ChangeError> {
        let now = self.services.lease.time();
        let session = Session::begin(&caller.live.client, proof_of(caller), now);
        self.begin(session, None).await
    }

    /// Makes a link with which the caller can open one session within a minute.
    ///
    /// # Errors
    /// [`ChangeError`]; there is no link then.
    pub async fn create_sign_in_link(&self, caller: &Caller) -> Result<BegunSession, ChangeError> {
        let now = self.services.lease.time();
        let session = Session::link(&caller.live.client, proof_of(caller), now);
        self.begin(session, None).await
    }

    /// Who would be signed in by a link. It stays good.
    ///
    /// # Errors
    /// [`SessionError`]. What is no link counts against the address.
    pub async fn owner_of_link(
        &self,
        secret: &str,
        address: Option<IpAddr>,
    ) -> Result<Caller, SessionError> {
        let (_, _, caller) = self.link(secret, address).await?;
        Ok(caller)
    }

    /// Opens a session by a link, which is good for nothing then.
    ///
    /// # Errors
    /// [`SessionError`]. What is no link, or not any more, counts against the address.
    pub async fn open_session_by_link(
        &self,
        secret: &str,
        address: Option<IpAddr>,
    ) -> Result<BegunSession, SessionError> {
        let (record, link, caller) = self.link(secret, address).await?;
        let now = self.services.lease.time();
        let session = Session::begin(&caller.live.client, link.proof, now);
        let used = Write::Delete(record.key, record.token);
        match self.begin(session, Some(used)).await {
            // Another browser has used it in the meantime.
            Err(ChangeError::Contended) => Err(self.invalid_link(address)),
            begun => Ok(begun?),
        }
    }

    /// Who acts in the session with this secret; `None` when there is none, or none any more.
    ///
    /// # Errors
    /// When the store does not answer, or this process may not rely on what it knows of clients.
    pub async fn session(
        &self,
        secret: &str,
        address: Option<IpAddr>,
    ) -> Result<Option<LiveSession>, SessionError> {
        if !self.services.lease.holds() {
            return Err(SessionError::Unauthenticated(Unauthenticated::Stale));
        }
        let id = record_id(secret);
        let Some((record, session)) = self.stored_session(&id, SessionKind::Open).await? else {
            return Ok(None);
        };
        let now = self.services.lease.time();
        let Some(caller) = self.caller_of(&session, address, now) else {
            return Ok(None);
        };
        let ends_at = session.ends_at;
        if session.used_at.after(USE_STEP) <= now {
            let used = Session {
                used_at: now,
                ..session
            };
            self.note_session_use(record, &used).await;
        }
        Ok(Some(LiveSession {
            caller,
            id,
            ends_at,
        }))
    }

    /// Ends a session. One that has ended already stays so.
    ///
    /// # Errors
    /// When the store does not answer; the session may go on then.
    pub async fn end_session(&self, secret: &str) -> Result<(), ChangeError> {
        let id = record_id(secret);
        for _ in 0..MAX_ATTEMPTS {
            let Some((record, _)) = self.stored_session(&id, SessionKind::Open).await? else {
                return Ok(());
            };
            let mut batch = self.services.new_batch()?;
            batch.writes.push(Write::Delete(record.key, record.token));
            match self.services.commit(batch).await {
                Ok(_) => return Ok(()),
                // It was used a moment ago.
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended)
    }

    /// Writes a new session, and with it the end of the link that it comes from. Of a client that has as
    /// many as it may, the oldest gives way.
    async fn begin(
        &self,
        session: Session,
        link: Option<Write>,
    ) -> Result<BegunSession, ChangeError> {
        let services = &self.services;
        services.require_believed_time()?;
        let secret = Zeroizing::new(services.entropy.bytes::<32>()?);
        let secret = Zeroizing::new(secret_text(&secret));
        let key = RecordKey::unowned(Kind::Session, record_id(&secret));
        let of_client = Query {
            subjects: Some(vec![session.client.clone()]),
            ..Query::all(Kind::Session)
        };
        for _ in 0..MAX_ATTEMPTS {
            let mut batch = services.new_batch()?;
            let mut records = services.store.list(of_client.clone()).await?;
            records.sort_by_key(|record| record.index.kept_until);
            let surplus = (records.len() + 1).saturating_sub(MOST_OF_A_CLIENT);
            let surplus = records.into_iter().take(surplus);
            let surplus = surplus.map(|record| Write::Delete(record.key, record.token));
            let is_link =
                |write: &Write| link.as_ref().is_some_and(|link| link.key() == write.key());
            batch.writes.extend(surplus.filter(|write| !is_link(write)));
            batch.writes.extend(link.clone());
            let write = Write::Create(key.clone(), content(&session));
            batch.writes.push(write);
            match services.commit(batch).await {
                Ok(_) => return Ok(BegunSession { secret, session }),
                Err(CommitError::Conflict) if link.is_none() => {}
                Err(CommitError::Conflict) => return Err(ChangeError::Contended),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended)
    }

    async fn link(
        &self,
        secret: &str,
        address: Option<IpAddr>,
    ) -> Result<(Record, Session, Caller), SessionError> {
        if !self.services.lease.holds() {
            return Err(SessionError::Unauthenticated(Unauthenticated::Stale));
        }
        let id = record_id(secret);
        let Some((record, link)) = self.stored_session(&id, SessionKind::Link).await? else {
            return Err(self.invalid_link(address));
        };
        match self.caller_of(&link, address, self.services.lease.time()) {
            Some(caller) => Ok((record, link, caller)),
            None => Err(self.invalid_link(address)),
        }
    }

    fn invalid_link(&self, address: Option<IpAddr>) -> SessionError {
        let counted = self.count_failure(address);
        SessionError::Unauthenticated(counted.err().unwrap_or(Unauthenticated::Invalid))
    }

    async fn stored_session(
        &self,
        id: &str,
        kind: SessionKind,
    ) -> Result<Option<(Record, Session)>, StoreError> {
        let key = RecordKey::unowned(Kind::Session, id);
        let records = self.services.store.list(Query::one(&key)).await?;
        let found = records.into_iter().find_map(|record| {
            let session = Session::from_document(&record.document)?;
            (session.kind == kind).then_some((record, session))
        });
        Ok(found)
    }

    /// The client of a session that is good now, as it is now.
    fn caller_of(
        &self,
        session: &Session,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Option<Caller> {
        let live = self.clients.find(&session.client)?;
        if !session.is_alive(&live.client, now) {
            return None;
        }
        if let Some(credential) = &session.proof.credential {
            live.note_use(credential, now);
        }
        Some(Caller {
            live,
            via: AuthenticationMethod::Console(session.proof.clone()),
            address,
        })
    }

    /// Writes down that a session is used. What is not written is not missed: the next request tries
    /// again.
    async fn note_session_use(&self, record: Record, used: &Session) {
        let write = Write::Replace(record.key, record.token, content(used));
        let Ok(mut batch) = self.services.new_batch() else {
            return;
        };
        batch.writes.push(write);
        match self.services.commit(batch).await {
            Ok(_) | Err(CommitError::Conflict) => {}
            Err(error) => tracing::warn!(%error, "the use of a session was not written down"),
        }
    }
}

fn content(session: &Session) -> Content {
    Content {
        index: RecordIndex {
            subject: Some(session.client.clone()),
            client: None,
            kept_until: Some(session.over_at()),
        },
        ..Content::of(session.to_document())
    }
}

fn proof_of(caller: &Caller) -> SessionProof {
    match caller.via.clone().in_console() {
        AuthenticationMethod::Console(proof) => proof,
        _ => SessionProof::default(),
    }
}
