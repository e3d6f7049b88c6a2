//! Who may call, as rows: clients, approvals, and when a credential was last used.

use std::collections::BTreeMap;

/// One client's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRow {
    /// The client's public identifier.
    pub id: String,
    /// How often it was written, from 1.
    pub version: u64,
    /// Its name, its roles and the hashes of its credentials.
    pub document: String,
}

/// The version of every client that there is, by id.
pub type ClientVersions = BTreeMap<String, u64>;

/// The versions of these clients.
pub fn versions<'r>(rows: impl IntoIterator<Item = &'r ClientRow>) -> ClientVersions {
    rows.into_iter()
        .map(|row| (row.id.clone(), row.version))
        .collect()
}

/// One approval's row: what somebody has agreed to that has not happened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// The approval's identifier.
    pub id: String,
    /// What is approved, by whom and until when.
    pub document: String,
}

/// A change of who may call, or of what is approved.
#[derive(Debug, Clone)]
pub enum AccessChange {
    /// Nothing but the event that comes with it.
    Nothing,
    /// A change of one client.
    Client {
        /// What becomes of it.
        change: ClientChange,
        /// The clients that the change was judged with; the stored ones must be exactly these. Some
        /// rules hold of all clients together, such as that one of them can still let others in, and
        /// two changes of different clients could break them.
        among: ClientVersions,
    },
    /// A new approval. Its id must not exist.
    CreateApproval(ApprovalRow),
    /// The end of an approval, which was used or withdrawn. It must exist: of two that use one
    /// approval, one does.
    DeleteApproval(String),
}

/// What becomes of one client.
#[derive(Debug, Clone)]
pub enum ClientChange {
    /// It is new. Its id must not exist.
    Create(ClientRow),
    /// It is this from now on. Its id must exist.
    Replace(ClientRow),
    /// It ends, and its last uses with it. It must exist.
    Delete(String),
}

/// When a credential was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// The client's identifier.
    pub client: String,
    /// Which of its credentials.
    pub credential: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
}
