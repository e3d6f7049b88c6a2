//! Changes of who may call.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::audit::{self, AccessEvent, Actor};
use super::clients::{Client, Credential, Role};
use super::{Authority, ChangeError, to_the_end};
use crate::store::{AccessChange, CommitError};

impl Authority {
    /// Creates a client. Its credential is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn create_client(
        self: &Arc<Self>,
        name: String,
        roles: BTreeSet<Role>,
        actor: Actor,
    ) -> Result<(Client, Credential), ChangeError> {
        let (client, credential) = Client::create(name, roles, self.now())?;
        self.admit_client(&client, actor).await?;
        Ok((client, credential))
    }

    /// Lets a client in that was made before, for whoever must put its credential away first.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn admit_client(
        self: &Arc<Self>,
        client: &Client,
        actor: Actor,
    ) -> Result<(), ChangeError> {
        let event = AccessEvent::ClientCreated {
            client: client.id.clone(),
            name: client.name.clone(),
            roles: client.roles.iter().map(|role| role.as_str()).collect(),
        };
        let (change, client) = (AccessChange::CreateClient(client.row()), client.clone());
        let swap = move |clients: &mut Vec<Client>| clients.push(client);
        self.change_access(change, event, actor, swap).await
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
        // A client whose record is corrupt is not in memory, and can still be deleted.
        let client = self.clients.find(id);
        let event = AccessEvent::ClientDeleted {
            client: id.to_owned(),
            name: client.as_ref().map(|client| client.name.clone()),
            roles: client.map(|client| client.roles.iter().map(|role| role.as_str()).collect()),
        };
        let (change, id) = (AccessChange::DeleteClient(id.to_owned()), id.to_owned());
        let swap = move |clients: &mut Vec<Client>| clients.retain(|client| client.id != id);
        self.change_access(change, event, actor, swap).await
    }

    async fn change_access(
        self: &Arc<Self>,
        change: AccessChange,
        event: AccessEvent,
        actor: Actor,
        swap: impl FnOnce(&mut Vec<Client>) + Send + 'static,
    ) -> Result<(), ChangeError> {
        let authority = Arc::clone(self);
        to_the_end(async move {
            let _access = authority.access.lock().await;
            let row = audit::row(&event, authority.now(), None, &actor, None);
            let conflict = match &change {
                AccessChange::DeleteClient(id) => {
                    ChangeError::UnknownClient(id.chars().take(64).collect())
                }
                _ => ChangeError::Contended,
            };
            match authority.foundation.store.commit_access(change, row).await {
                Ok(()) => {}
                Err(CommitError::Conflict | CommitError::PathTaken) => return Err(conflict),
                Err(CommitError::Store(error) | CommitError::Unknown(error)) => {
                    return Err(error.into());
                }
            }
            let mut clients: Vec<Client> = authority
                .clients
                .all()
                .iter()
                .map(|client| Client::clone(client))
                .collect();
            swap(&mut clients);
            authority.clients.replace(clients);
            tracing::info!(?actor, ?event, "access changed");
            Ok(())
        })
        .await
    }
}
