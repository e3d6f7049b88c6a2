//! Who may call: clients, approvals and last uses.

use keywright::store::{
    AccessChange, ApprovalRow, ClientChange, ClientRow, CommitError, EventRow, KeyStore, LastUse,
    versions,
};

use super::{all_events, everything, race};
use crate::rows::{event, of_client};

fn client(id: &str) -> ClientRow {
    version(id, 1)
}

fn version(id: &str, version: u64) -> ClientRow {
    ClientRow {
        id: id.to_owned(),
        version,
        document: format!("client {id} {version}"),
    }
}

/// The change that brings the client `id` to a version.
async fn replacement(store: &dyn KeyStore, id: &str, to: u64) -> AccessChange {
    of_client(store, ClientChange::Replace(version(id, to))).await
}

async fn deletion(store: &dyn KeyStore, id: &str) -> AccessChange {
    of_client(store, ClientChange::Delete(id.to_owned())).await
}

fn approval(id: &str) -> ApprovalRow {
    ApprovalRow {
        id: id.to_owned(),
        document: format!("approval {id}"),
    }
}

fn used(client: &str, credential: &str, at: u64) -> LastUse {
    LastUse {
        client: client.to_owned(),
        credential: credential.to_owned(),
        at,
    }
}

fn told() -> EventRow {
    event(None, "told")
}

async fn change(store: &dyn KeyStore, change: AccessChange) {
    store.commit_access(change, told()).await.unwrap();
}

async fn create_clients(store: &dyn KeyStore, ids: &[&str]) {
    for id in ids {
        let create = of_client(store, ClientChange::Create(client(id))).await;
        change(store, create).await;
    }
}

/// Asserts that nothing of the change is there, its event included.
async fn assert_conflict(store: &dyn KeyStore, change: AccessChange) {
    let before = everything(store).await;
    let shown = format!("{change:?}");
    let refused = store.commit_access(change, told()).await;
    assert!(
        matches!(refused, Err(CommitError::Conflict)),
        "{shown}: {refused:?}"
    );
    assert_eq!(everything(store).await, before, "{shown}");
}

pub(super) async fn clients_are_created_and_deleted(store: &dyn KeyStore) {
    for id in ["z", "a", "m"] {
        let create = of_client(store, ClientChange::Create(client(id))).await;
        let told = event(None, &format!("created {id}"));
        store.commit_access(create, told).await.unwrap();
    }
    assert_eq!(store.clients().await.unwrap(), ["a", "m", "z"].map(client));
    let delete = deletion(store, "m").await;
    store
        .commit_access(delete, event(None, "deleted m"))
        .await
        .unwrap();
    assert_eq!(store.clients().await.unwrap(), ["a", "z"].map(client));
    let events = all_events(store).await;
    assert_eq!(events.len(), 4);
    assert_eq!(events[3].event, event(None, "deleted m"));
}

/// Two changes of different clients can break what must hold of all of them.
pub(super) async fn a_client_changes_only_among_the_clients_that_the_change_was_judged_with(
    store: &dyn KeyStore,
) {
    create_clients(store, &["a", "b"]).await;
    for to in 2..=3 {
        change(store, replacement(store, "a", to).await).await;
    }
    let stored = [version("a", 3), client("b")];
    assert_eq!(store.clients().await.unwrap(), stored);
    let others: [&[ClientRow]; 7] = [
        &[],
        &[version("a", 3)],
        &[client("b")],
        &[version("a", 2), client("b")],
        &[version("a", 3), version("b", 2)],
        &[version("a", 3), client("c")],
        &[version("a", 3), client("b"), client("c")],
    ];
    let changes = [
        ClientChange::Create(client("c")),
        ClientChange::Replace(version("a", 4)),
        ClientChange::Delete("a".to_owned()),
    ];
    for among in others.map(versions) {
        for change in changes.clone() {
            let among = among.clone();
            assert_conflict(store, AccessChange::Client { change, among }).await;
        }
    }
    change(store, replacement(store, "a", 4).await).await;
}

pub(super) async fn a_refused_change_of_access_writes_nothing(store: &dyn KeyStore) {
    create_clients(store, &["a"]).await;
    change(store, AccessChange::CreateApproval(approval("p"))).await;
    let (mut other_client, mut other_approval) = (client("a"), approval("p"));
    other_client.document = "somebody else".to_owned();
    other_approval.document = "something else".to_owned();
    for refused in [
        of_client(store, ClientChange::Create(other_client)).await,
        deletion(store, "b").await,
        // Identifiers of one kind are none of the other.
        deletion(store, "p").await,
        replacement(store, "b", 2).await,
        replacement(store, "b", 1).await,
        AccessChange::CreateApproval(other_approval),
        AccessChange::DeleteApproval("q".to_owned()),
        AccessChange::DeleteApproval("a".to_owned()),
    ] {
        assert_conflict(store, refused).await;
    }
}

pub(super) async fn approvals_are_created_and_deleted(store: &dyn KeyStore) {
    for id in ["z", "a", "m"] {
        change(store, AccessChange::CreateApproval(approval(id))).await;
    }
    assert_eq!(
        store.approvals().await.unwrap(),
        ["a", "m", "z"].map(approval)
    );
    change(store, AccessChange::DeleteApproval("m".to_owned())).await;
    assert_eq!(store.approvals().await.unwrap(), ["a", "z"].map(approval));
    assert_conflict(store, AccessChange::DeleteApproval("m".to_owned())).await;
    change(store, AccessChange::CreateApproval(approval("m"))).await;
    assert_eq!(all_events(store).await.len(), 5);
}

pub(super) async fn of_twenty_uses_of_one_approval_one_wins(store: &dyn KeyStore) {
    change(store, AccessChange::CreateApproval(approval("p"))).await;
    let won = race(|_| store.commit_access(AccessChange::DeleteApproval("p".to_owned()), told()));
    assert_eq!(won, 1);
    assert_eq!(all_events(store).await.len(), 2);
}

pub(super) async fn of_twenty_changes_of_clients_at_once_one_wins(store: &dyn KeyStore) {
    create_clients(store, &["a", "b"]).await;
    for to in 2..=4 {
        let replace = replacement(store, "a", to).await;
        let won = race(|_| store.commit_access(replace.clone(), told()));
        assert_eq!(won, 1);
    }
    let stored = [version("a", 4), client("b")];
    assert_eq!(store.clients().await.unwrap(), stored);
    // Each deletes the one that the other counts on.
    let deletions = [deletion(store, "a").await, deletion(store, "b").await];
    let won = race(|n| store.commit_access(deletions[n % 2].clone(), told()));
    assert_eq!(won, 1);
    assert_eq!(store.clients().await.unwrap().len(), 1);
    assert_eq!(all_events(store).await.len(), 6);
}

pub(super) async fn the_latest_use_of_each_credential_stays(store: &dyn KeyStore) {
    create_clients(store, &["b", "a"]).await;
    let before = all_events(store).await;
    store.record_uses(&[]).await.unwrap();
    assert_eq!(store.last_uses().await.unwrap(), []);
    for uses in [
        [used("a", "1", 5), used("b", "1", 7)],
        [used("a", "2", 0), used("a", "1", 4)],
        [used("b", "1", 9), used("b", "1", 8)],
    ] {
        store.record_uses(&uses).await.unwrap();
    }
    let expected = [used("a", "1", 5), used("a", "2", 0), used("b", "1", 9)];
    assert_eq!(store.last_uses().await.unwrap(), expected);
    // A client that changes goes on being used.
    change(store, replacement(store, "a", 2).await).await;
    assert_eq!(store.last_uses().await.unwrap(), expected);
    assert_eq!(all_events(store).await.len(), before.len() + 1);
}

// Uses are noted long after they happened, when their client may be gone.
pub(super) async fn the_last_uses_of_a_client_go_with_it(store: &dyn KeyStore) {
    create_clients(store, &["a", "b"]).await;
    let uses = [used("a", "1", 5), used("gone", "1", 6), used("b", "1", 7)];
    store.record_uses(&uses).await.unwrap();
    change(store, deletion(store, "a").await).await;
    store.record_uses(&uses).await.unwrap();
    assert_eq!(store.last_uses().await.unwrap(), [used("b", "1", 7)]);
    create_clients(store, &["a"]).await;
    assert_eq!(store.last_uses().await.unwrap(), [used("b", "1", 7)]);
}
