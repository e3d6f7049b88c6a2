//! Rows as a caller writes them. A store does not look into them, so they say what they are for.

use keywright::lifecycle::{IssuerName, Timestamp};
use keywright::store::{
    AccessChange, ClientChange, Commit, EventRow, IssuerRow, KeyChange, KeyStore, SealedChange,
    versions,
};

/// A deadline that no test lives to see.
pub(crate) const IN_TIME: Timestamp = Timestamp::from_seconds(4_000_000_000);

pub(crate) fn name(text: &str) -> IssuerName {
    IssuerName::parse(text).unwrap()
}

/// The commit that brings `issuer` to `version`, with one event that says so.
pub(crate) fn commit(issuer: &str, version: u64) -> Commit {
    Commit {
        issuer: IssuerRow {
            name: name(issuer),
            path: format!("/{issuer}"),
            version,
            document: format!("{issuer} {version}"),
        },
        expected_version: version - 1,
        keys: Vec::new(),
        events: vec![event(Some(issuer), &format!("{issuer} {version}"))],
        deadline: IN_TIME,
        premise: None,
    }
}

/// A change of a client, judged with the clients that the store has now.
pub(crate) async fn of_client(store: &dyn KeyStore, change: ClientChange) -> AccessChange {
    let among = versions(&store.clients().await.unwrap());
    AccessChange::Client { change, among }
}

pub(crate) fn event(issuer: Option<&str>, document: &str) -> EventRow {
    EventRow {
        at: 1_800_000_000_123,
        issuer: issuer.map(name),
        document: document.to_owned(),
    }
}

pub(crate) fn change(kid: &str, document: &str, sealed: SealedChange) -> KeyChange {
    KeyChange {
        kid: kid.to_owned(),
        document: document.to_owned(),
        sealed,
    }
}

pub(crate) fn set(bytes: &[u8]) -> SealedChange {
    SealedChange::Set(bytes.to_vec())
}
