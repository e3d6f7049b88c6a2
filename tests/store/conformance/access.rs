//! Who may call: clients, approvals and last uses.

use keywright::store::{
    Batch, CommitError, Content, Expectation, Kind, LastUse, Query, Record, RecordKey, Store,
    Token, Tokens, Write,
};

use super::{all_events, everything, race};
use crate::rows::{StoreCalls as _, approval, batch, client, event, tokens};

/// What a record says at a version.
fn content(id: &str, version: u64) -> Content {
    Content::of(format!("{id} {version}"))
}

/// What identifies the state of each record that a test has looked at.
fn shown(records: &[Record]) -> Vec<(&str, u64, &str)> {
    let records = records.iter();
    records
        .map(|record| (&*record.key.id, record.version, &*record.document))
        .collect()
}

async fn assert_clients(store: &dyn Store, expected: &[(&str, u64)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(id, version)| (*id, *version, format!("{id} {version}")))
        .collect();
    let stored = store.clients().await.unwrap();
    let expected = expected
        .iter()
        .map(|(id, version, document)| (*id, *version, document.as_str()));
    assert_eq!(shown(&stored), expected.collect::<Vec<_>>());
}

/// A change of clients that was decided on among these.
fn among(tokens: Tokens, write: Write) -> Batch {
    Batch {
        expectations: vec![Expectation::Exactly(Kind::Client, tokens)],
        ..batch([write], "told")
    }
}

/// A change of clients that was decided on among those that there are now.
async fn among_all(store: &dyn Store, write: Write) -> Batch {
    among(tokens(&store.clients().await.unwrap()), write)
}

/// The change that brings the client `id` to a version.
async fn replacement(store: &dyn Store, id: &str, to: u64) -> Batch {
    let before = store.token(&client(id)).await;
    let replace = Write::Replace(client(id), before, content(id, to));
    among_all(store, replace).await
}

async fn deletion(store: &dyn Store, id: &str) -> Batch {
    let delete = Write::Delete(client(id), store.token(&client(id)).await);
    among_all(store, delete).await
}

fn used(client: &str, credential: &str, at: u64) -> LastUse {
    LastUse {
        client: client.to_owned(),
        credential: credential.to_owned(),
        at,
    }
}

async fn create_clients(store: &dyn Store, ids: &[&str]) {
    for id in ids {
        let create = Write::Create(client(id), content(id, 1));
        store.write(among_all(store, create).await).await.unwrap();
    }
}

/// Lets an operation on the issuer "i" wait.
fn waiting(id: &str) -> Batch {
    batch([Write::Create(approval("i", id), content(id, 1))], "told")
}

/// The same again: a batch of its own.
fn again(batch: &Batch) -> Batch {
    Batch {
        id: crate::rows::batch_id(),
        ..batch.clone()
    }
}

/// Asserts that nothing of the change is there, its event included.
async fn assert_conflict(store: &dyn Store, change: Batch) {
    let before = everything(store).await;
    let shown = format!("{change:?}");
    let refused = store.write(change).await;
    assert!(
        matches!(refused, Err(CommitError::Conflict)),
        "{shown}: {refused:?}"
    );
    assert_eq!(everything(store).await, before, "{shown}");
}

pub(super) async fn clients_are_created_and_deleted(store: &dyn Store) {
    create_clients(store, &["z", "a", "m"]).await;
    assert_clients(store, &[("a", 1), ("m", 1), ("z", 1)]).await;
    let mut delete = deletion(store, "m").await;
    delete.events = vec![event(None, "deleted m")];
    store.write(delete).await.unwrap();
    assert_clients(store, &[("a", 1), ("z", 1)]).await;
    let events = all_events(store).await;
    assert_eq!(events.len(), 4);
    assert_eq!(events[3].event, event(None, "deleted m"));
}

/// Two changes of different clients can break what must hold of all of them.
pub(super) async fn a_client_changes_only_among_the_clients_that_the_change_was_judged_with(
    store: &dyn Store,
) {
    create_clients(store, &["a", "b"]).await;
    let first = store.token(&client("a")).await;
    for to in 2..=3 {
        store
            .write(replacement(store, "a", to).await)
            .await
            .unwrap();
    }
    assert_clients(store, &[("a", 3), ("b", 1)]).await;
    let (a, b) = (
        store.token(&client("a")).await,
        store.token(&client("b")).await,
    );
    let others: [&[(&str, Token)]; 7] = [
        &[],
        &[("a", a)],
        &[("b", b)],
        &[("a", first), ("b", b)],
        &[("a", a), ("b", a)],
        &[("a", a), ("c", b)],
        &[("a", a), ("b", b), ("c", b)],
    ];
    let changes = [
        Write::Create(client("c"), content("c", 1)),
        Write::Replace(client("a"), a, content("a", 4)),
        Write::Delete(client("a"), a),
    ];
    for tokens in others {
        let tokens = tokens.iter().map(|(id, token)| ((*id).to_owned(), *token));
        let tokens: Tokens = tokens.collect();
        for change in changes.clone() {
            assert_conflict(store, among(tokens.clone(), change)).await;
        }
    }
    store.write(replacement(store, "a", 4).await).await.unwrap();
}

pub(super) async fn a_refused_change_of_access_writes_nothing(store: &dyn Store) {
    create_clients(store, &["a"]).await;
    store.write(waiting("p")).await.unwrap();
    let a = store.token(&client("a")).await;
    let p = store.token(&approval("i", "p")).await;
    for refused in [
        Write::Create(client("a"), content("another client", 1)),
        Write::Delete(client("b"), a),
        // Identifiers of one kind are none of the other.
        Write::Delete(client("p"), p),
        Write::Replace(client("b"), a, content("b", 2)),
        Write::Replace(client("b"), Token::UNWRITTEN, content("b", 1)),
        Write::Create(approval("i", "p"), content("something else", 1)),
        Write::Delete(approval("i", "q"), p),
        Write::Delete(approval("i", "a"), a),
        // Neither are those of another issuer, or of none.
        Write::Delete(approval("j", "p"), p),
        Write::Delete(RecordKey::unowned(Kind::Approval, "p"), p),
    ] {
        assert_conflict(store, among_all(store, refused).await).await;
    }
}

pub(super) async fn approvals_are_created_and_deleted(store: &dyn Store) {
    for id in ["z", "a", "m"] {
        store.write(waiting(id)).await.unwrap();
    }
    assert_eq!(store.ids(Kind::Approval).await.unwrap(), ["a", "m", "z"]);
    let m = approval("i", "m");
    let delete = batch([Write::Delete(m.clone(), store.token(&m).await)], "told");
    store.write(delete.clone()).await.unwrap();
    assert_eq!(store.ids(Kind::Approval).await.unwrap(), ["a", "z"]);
    assert_conflict(store, again(&delete)).await;
    store.write(waiting("m")).await.unwrap();
    assert_eq!(all_events(store).await.len(), 5);
    let of_another = Query {
        owners: Some(vec![Some(crate::rows::name("j"))]),
        ..Query::all(Kind::Approval)
    };
    assert_eq!(store.list(of_another).await.unwrap(), []);
}

pub(super) async fn of_twenty_uses_of_one_approval_one_wins(store: &dyn Store) {
    store.write(waiting("p")).await.unwrap();
    let p = approval("i", "p");
    let delete = Write::Delete(p.clone(), store.token(&p).await);
    let won = race(|_| store.write(batch([delete.clone()], "told")));
    assert_eq!(won, 1);
    assert_eq!(all_events(store).await.len(), 2);
}

pub(super) async fn of_twenty_changes_of_clients_at_once_one_wins(store: &dyn Store) {
    create_clients(store, &["a", "b"]).await;
    for to in 2..=4 {
        let replace = replacement(store, "a", to).await;
        let won = race(|_| store.write(again(&replace)));
        assert_eq!(won, 1);
    }
    assert_clients(store, &[("a", 4), ("b", 1)]).await;
    // Each deletes the one that the other counts on.
    let deletions = [deletion(store, "a").await, deletion(store, "b").await];
    let won = race(|n| store.write(again(&deletions[n % 2])));
    assert_eq!(won, 1);
    assert_eq!(store.clients().await.unwrap().len(), 1);
    assert_eq!(all_events(store).await.len(), 6);
}

pub(super) async fn the_latest_use_of_each_credential_stays(store: &dyn Store) {
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
    store.write(replacement(store, "a", 2).await).await.unwrap();
    assert_eq!(store.last_uses().await.unwrap(), expected);
    assert_eq!(all_events(store).await.len(), before.len() + 1);
}

// Uses are noted long after they happened, when their client may be gone.
pub(super) async fn the_last_uses_of_a_client_go_with_it(store: &dyn Store) {
    create_clients(store, &["a", "b"]).await;
    let uses = [used("a", "1", 5), used("gone", "1", 6), used("b", "1", 7)];
    store.record_uses(&uses).await.unwrap();
    store.write(deletion(store, "a").await).await.unwrap();
    store.record_uses(&uses).await.unwrap();
    assert_eq!(store.last_uses().await.unwrap(), [used("b", "1", 7)]);
    create_clients(store, &["a"]).await;
    assert_eq!(store.last_uses().await.unwrap(), [used("b", "1", 7)]);
}
