//! Who may call: clients, their credentials and their roles.
//!
//! A credential is `kw_<client id>_<256 random bits in base64url>`. It is shown once; the store
//! has its SHA-256 hash, which suffices for a secret of full entropy. The id finds the client, the
//! hash is compared in constant time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::engine::{RandomnessUnavailable, random};
use crate::lifecycle::Timestamp;
use crate::store::ClientRow;

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs tokens.
    Issuer,
    /// Rotates, revokes and imports keys.
    Security,
    /// Reads keys, plans and the audit log.
    Auditor,
    /// Manages issuers and clients.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Issuer, Self::Security, Self::Auditor, Self::Admin];

    /// The role's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Security => "security",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// Reads a role's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// A caller of the internal API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its public identifier.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// When it was created.
    pub created_at: Timestamp,
    credential_hash: [u8; 32],
}

/// A credential in the clear. Wiped when dropped; its `Debug` shows nothing.
pub struct Credential(Zeroizing<String>);

impl Credential {
    /// The text to hand to the client, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

const PREFIX: &str = "kw_";

impl Client {
    /// Makes a client and its credential.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn create(
        name: String,
        roles: BTreeSet<Role>,
        now: Timestamp,
    ) -> Result<(Self, Credential), RandomnessUnavailable> {
        let id: String = random::<8>()?
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let secret = Zeroizing::new(random::<32>()?);
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
        let credential = Credential(Zeroizing::new(format!("{PREFIX}{id}_{}", *secret)));
        let credential_hash = hash(&secret);
        Ok((
            Self {
                id,
                name,
                roles,
                created_at: now,
                credential_hash,
            },
            credential,
        ))
    }

    /// Whether the client has a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The client's row.
    pub fn row(&self) -> ClientRow {
        let document = ClientDocument {
            format: FORMAT,
            name: self.name.clone(),
            roles: self.roles.clone(),
            created_at: self.created_at.millis(),
            credential_hash: URL_SAFE_NO_PAD.encode(self.credential_hash),
        };
        // Text, numbers and lists always serialise.
        let document = serde_json::to_string(&document).unwrap_or_default();
        ClientRow {
            id: self.id.clone(),
            version: 1,
            document,
        }
    }

    /// Reads a client's row; `None` when this program could not have written it.
    pub fn from_row(row: &ClientRow) -> Option<Self> {
        let document: ClientDocument = serde_json::from_str(&row.document).ok()?;
        if document.format != FORMAT {
            return None;
        }
        let hash = URL_SAFE_NO_PAD.decode(&document.credential_hash).ok()?;
        Some(Self {
            id: row.id.clone(),
            name: document.name,
            roles: document.roles,
            created_at: Timestamp::from_millis(document.created_at),
            credential_hash: hash.try_into().ok()?,
        })
    }
}

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientDocument {
    format: u32,
    name: String,
    roles: BTreeSet<Role>,
    created_at: u64,
    credential_hash: String,
}

fn hash(secret: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    bytes
}

/// The clients as of now, read without a lock.
#[derive(Default)]
pub struct Clients {
    by_id: ArcSwap<BTreeMap<String, Arc<Client>>>,
}

impl Clients {
    /// Replaces the clients.
    pub fn replace(&self, clients: impl IntoIterator<Item = Client>) {
        let by_id = clients
            .into_iter()
            .map(|client| (client.id.clone(), Arc::new(client)));
        self.by_id.store(Arc::new(by_id.collect()));
    }

    /// All clients, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.by_id.load().values().cloned().collect()
    }

    /// The client with this id.
    pub fn find(&self, id: &str) -> Option<Arc<Client>> {
        self.by_id.load().get(id).cloned()
    }

    /// The client that a credential belongs to.
    pub fn authenticate(&self, credential: &str) -> Option<Arc<Client>> {
        let (id, secret) = credential.strip_prefix(PREFIX)?.split_once('_')?;
        let client = self.find(id)?;
        let same: bool = hash(secret).ct_eq(&client.credential_hash).into();
        same.then_some(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_credential_authenticates() {
        let roles = BTreeSet::from([Role::Issuer]);
        let now = Timestamp::from_seconds(1);
        let (client, credential) = Client::create("a".into(), roles.clone(), now).unwrap();
        let (_, other) = Client::create("b".into(), roles, now).unwrap();
        let clients = Clients::default();
        clients.replace([client.clone()]);
        assert_eq!(
            clients.authenticate(credential.reveal()).as_deref(),
            Some(&client)
        );
        let text = credential.reveal();
        for wrong in [
            other.reveal(),
            &text[..text.len() - 1],
            &format!("{text}A"),
            &text.to_uppercase(),
            text.strip_prefix(PREFIX).unwrap(),
            "",
            "kw__",
        ] {
            assert_eq!(clients.authenticate(wrong), None);
        }
    }

    #[test]
    fn a_client_reads_as_it_is_written_and_its_row_has_no_credential() {
        let roles = BTreeSet::from(Role::ALL);
        let (client, credential) =
            Client::create("a".into(), roles, Timestamp::from_seconds(1)).unwrap();
        let row = client.row();
        assert_eq!(Client::from_row(&row), Some(client));
        let secret = credential.reveal().rsplit_once('_').unwrap().1;
        assert!(!row.document.contains(secret));
        assert!(!format!("{credential:?}").contains(secret));
    }
}
