//! Who may call, as rows: clients, approvals, and when a credential was last used.

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
    /// A new client. Its id must not exist.
    CreateClient(ClientRow),
    /// A client as it is from now on.
    ReplaceClient {
        /// Its new row.
        row: ClientRow,
        /// The version that the change was computed from: it must be the stored one.
        expected_version: u64,
    },
    /// The end of a client and of its last uses. It must exist.
    DeleteClient(String),
    /// A new approval. Its id must not exist.
    CreateApproval(ApprovalRow),
    /// The end of an approval, which was used or withdrawn. It must exist: of two that use one
    /// approval, one does.
    DeleteApproval(String),
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
