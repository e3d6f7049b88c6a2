//! Who may call, and what has happened.

use std::collections::BTreeSet;

use serde_json::Value;

use super::audit::{self, AccessEvent, Actor};
use super::clients::{Client, Credential, Role};
use super::{Authority, ChangeError};
use crate::lifecycle::IssuerName;
use crate::store::{ClientChange, CommitError, StoreError};

impl Authority {
    /// Creates a client. Its credential is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn create_client(
        &self,
        name: String,
        roles: BTreeSet<Role>,
        actor: &Actor,
    ) -> Result<(Client, Credential), ChangeError> {
        let (client, credential) = Client::create(name, roles, self.now())?;
        self.admit_client(&client, actor).await?;
        Ok((client, credential))
    }

    /// Lets a client in that was made before, for whoever must put its credential away first.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn admit_client(&self, client: &Client, actor: &Actor) -> Result<(), ChangeError> {
        let event = AccessEvent::ClientCreated {
            client: client.id.clone(),
            name: client.name.clone(),
            roles: client.roles.iter().map(|role| role.as_str()).collect(),
        };
        self.change_access(
            ClientChange::Create(client.row()),
            &event,
            actor,
            |clients| {
                clients.push(client.clone());
            },
        )
        .await
        .map_err(|error| match error {
            CommitError::Store(error) => error.into(),
            CommitError::Conflict | CommitError::PathTaken => ChangeError::Contended,
        })
    }

    /// Ends a client's access, at once.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn delete_client(&self, id: &str, actor: &Actor) -> Result<(), ChangeError> {
        let event = AccessEvent::ClientDeleted {
            client: id.to_owned(),
        };
        self.change_access(
            ClientChange::Delete(id.to_owned()),
            &event,
            actor,
            |clients| {
                clients.retain(|client| client.id != id);
            },
        )
        .await
        .map_err(|error| match error {
            CommitError::Store(error) => error.into(),
            CommitError::Conflict | CommitError::PathTaken => {
                ChangeError::UnknownClient(id.chars().take(64).collect())
            }
        })
    }

    async fn change_access(
        &self,
        change: ClientChange,
        event: &AccessEvent,
        actor: &Actor,
        swap: impl FnOnce(&mut Vec<Client>),
    ) -> Result<(), CommitError> {
        let _access = self.access.lock().await;
        let row = audit::row(event, self.now(), None, actor, None);
        self.foundation.store.commit_client(change, row).await?;
        let mut clients: Vec<Client> = self
            .clients
            .all()
            .iter()
            .map(|client| Client::clone(client))
            .collect();
        swap(&mut clients);
        self.clients.replace(clients);
        Ok(())
    }

    /// At most `limit` audit events after the one numbered `after`, as the API shows them.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Value>, StoreError> {
        let events = self.foundation.store.events(issuer, after, limit).await?;
        Ok(events.iter().map(audit::shown).collect())
    }
}
