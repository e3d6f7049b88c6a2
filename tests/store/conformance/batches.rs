//! What holds of every batch, whatever it is about.

use keywright::store::{
    Batch, BatchId, CommitError, Content, Expectation, Kind, Query, Record, RecordKey, Store,
    Token, Tokens, Write,
};

use super::{all_events, assert_whole, everything, race};
use crate::rows::{
    StoreCalls as _, approval, batch, batch_id, client, name, set, setting, silent, tokens,
};

type IsRefusal = fn(&CommitError) -> bool;

fn create(key: RecordKey, document: &str) -> Write {
    Write::Create(key, Content::of(document.to_owned()))
}

fn replace(key: RecordKey, token: Token, document: &str) -> Write {
    Write::Replace(key, token, Content::of(document.to_owned()))
}

/// A record of every kind, with and without an owner.
fn of_each_kind() -> Vec<RecordKey> {
    let owner = name("i");
    let unowned = Kind::ALL.map(|kind| RecordKey::unowned(kind, "r"));
    let owned = Kind::ALL.map(|kind| RecordKey::owned(kind, &owner, "r"));
    unowned.into_iter().chain(owned).collect()
}

/// Asserts that a batch is refused so, and that nothing of it is there.
async fn assert_refused(store: &dyn Store, batch: Batch, is_refusal: fn(&CommitError) -> bool) {
    let before = everything(store).await;
    let shown = format!("{batch:?}");
    let refused = store.write(batch).await.unwrap_err();
    assert!(is_refusal(&refused), "{shown}: {refused:?}");
    assert_eq!(everything(store).await, before, "{shown}");
}

fn is_conflict(refused: &CommitError) -> bool {
    matches!(refused, CommitError::Conflict)
}

fn is_final(refused: &CommitError) -> bool {
    matches!(refused, CommitError::Final)
}

fn is_not_unique(refused: &CommitError) -> bool {
    matches!(refused, CommitError::NotUnique)
}

pub(super) async fn a_token_is_of_the_batches_that_wrote_the_record(store: &dyn Store) {
    let mut seen = Vec::new();
    for key in of_each_kind() {
        let mut token = Token::UNWRITTEN;
        for version in 1..=3 {
            let batch = match version {
                1 => silent([create(key.clone(), "")]),
                _ => silent([replace(key.clone(), token, "")]),
            };
            token = token.followed_by(batch.id);
            store.write(batch).await.unwrap();
            let record = store.get(&key).await.unwrap().unwrap();
            assert_eq!((record.token, record.version), (token, version), "{key:?}");
            assert!(!seen.contains(&token), "{key:?}");
            seen.push(token);
        }
        // One that comes after it was deleted begins anew.
        let again = batch_id();
        for writes in [
            vec![Write::Delete(key.clone(), token)],
            vec![create(key.clone(), "")],
        ] {
            let batch = Batch {
                id: again,
                ..silent(writes)
            };
            store.write(batch).await.unwrap();
        }
        let record = store.get(&key).await.unwrap().unwrap();
        assert_eq!(record.token, Token::UNWRITTEN.followed_by(again));
        assert_eq!(record.version, 1);
    }
    // Two records of one batch are in states that nothing tells apart, and each is its own.
    let both = silent([create(client("a"), ""), create(client("b"), "")]);
    store.write(both).await.unwrap();
    let token = store.token(&client("a")).await;
    assert_eq!(token, store.token(&client("b")).await);
    let batch = silent([replace(client("a"), token, "")]);
    store.write(batch).await.unwrap();
    assert_eq!(token, store.token(&client("b")).await);
    assert_ne!(token, store.token(&client("a")).await);
}

/// What a bare number could not tell apart.
pub(super) async fn a_record_of_the_same_version_with_another_token_is_a_conflict(
    store: &dyn Store,
) {
    for key in of_each_kind() {
        store
            .write(silent([create(key.clone(), "lost")]))
            .await
            .unwrap();
        let lost = store.token(&key).await;
        // The database has lost the write, and another came instead.
        let delete = silent([Write::Delete(key.clone(), lost)]);
        store.write(delete).await.unwrap();
        store
            .write(silent([create(key.clone(), "another")]))
            .await
            .unwrap();
        let record = store.get(&key).await.unwrap().unwrap();
        assert_eq!(record.version, 1);
        for write in [
            replace(key.clone(), lost, "on what was lost"),
            Write::Delete(key.clone(), lost),
            create(key.clone(), "again"),
        ] {
            assert_refused(store, batch([write], "refused"), is_conflict).await;
        }
        let expected = Batch {
            expectations: vec![Expectation::Is(key.clone(), Some(lost))],
            ..batch([create(setting("s"), "")], "refused")
        };
        assert_refused(store, expected, is_conflict).await;
    }
}

pub(super) async fn a_final_record_refuses_every_later_write(store: &dyn Store) {
    for key in of_each_kind() {
        let first = silent([Write::Create(
            key.clone(),
            Content {
                document: "first".to_owned(),
                sealed: set(b"sealed"),
                unique: Some("text".to_owned()),
                is_final: false,
                ..Content::default()
            },
        )]);
        let before = Token::UNWRITTEN.followed_by(first.id);
        store.write(first).await.unwrap();
        let last = silent([Write::Replace(
            key.clone(),
            before,
            Content {
                document: "last".to_owned(),
                is_final: true,
                ..Content::default()
            },
        )]);
        let after = before.followed_by(last.id);
        store.write(last).await.unwrap();
        let record = store.get(&key).await.unwrap().unwrap();
        assert!(record.is_final);
        for token in [Token::UNWRITTEN, before, after] {
            for write in [
                replace(key.clone(), token, "more"),
                Write::Delete(key.clone(), token),
            ] {
                let others = [create(client("1"), ""), write, create(client("2"), "")];
                let refused = batch(others, "refused");
                assert_refused(store, refused, is_final).await;
            }
        }
        // It is there: a new one would be another.
        let again = batch([create(key.clone(), "again")], "refused");
        assert_refused(store, again, is_conflict).await;
        // Its text is free, and it may be counted on.
        let beside = Batch {
            expectations: vec![Expectation::Is(key.clone(), Some(after))],
            ..silent([])
        };
        store.write(beside).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().unwrap(), record);
    }
}

/// One that is created final is so from the beginning.
pub(super) async fn a_record_may_be_created_final(store: &dyn Store) {
    let content = Content {
        is_final: true,
        ..Content::default()
    };
    let created = silent([Write::Create(client("a"), content)]);
    let token = Token::UNWRITTEN.followed_by(created.id);
    store.write(created).await.unwrap();
    let delete = batch([Write::Delete(client("a"), token)], "refused");
    assert_refused(store, delete, is_final).await;
}

pub(super) async fn what_a_batch_expects_is_what_is_there_before_it(store: &dyn Store) {
    store
        .write(silent([create(client("a"), ""), create(client("b"), "")]))
        .await
        .unwrap();
    let a = store.token(&client("a")).await;
    let all = tokens(&store.clients().await.unwrap());
    let less: Tokens = [("a".to_owned(), a)].into();
    let other: Tokens = [("a".to_owned(), a), ("b".to_owned(), Token::UNWRITTEN)].into();
    let renamed: Tokens = [("a".to_owned(), a), ("c".to_owned(), a)].into();
    let is = |key, token| Expectation::Is(key, token);
    let exactly = |kind, tokens: &Tokens| Expectation::Exactly(kind, tokens.clone());
    let none = Tokens::new();
    let expecting = |expectations: Vec<Expectation>, id: &str| Batch {
        expectations,
        ..batch([create(setting(id), "")], "written")
    };
    for refused in [
        is(client("a"), None),
        is(client("a"), Some(Token::UNWRITTEN)),
        is(client("c"), Some(a)),
        // Another kind or owner is another record.
        is(approval("i", "a"), Some(a)),
        is(RecordKey::owned(Kind::Client, &name("i"), "a"), Some(a)),
        exactly(Kind::Client, &none),
        exactly(Kind::Client, &less),
        exactly(Kind::Client, &other),
        exactly(Kind::Client, &renamed),
        exactly(Kind::Setting, &all),
        Expectation::AtMost(Query::all(Kind::Client), 1),
        Expectation::AtMost(Query::all(Kind::Client), 0),
    ] {
        // Also as the last of many.
        let holds = Expectation::AtMost(Query::all(Kind::Client), 2);
        let refused = expecting(vec![holds, refused], "s");
        assert_refused(store, refused, is_conflict).await;
    }
    for (number, holds) in [
        is(client("a"), Some(a)),
        is(client("c"), None),
        exactly(Kind::Client, &all),
        exactly(Kind::Approval, &none),
        Expectation::AtMost(Query::all(Kind::Client), 2),
        Expectation::AtMost(Query::all(Kind::Approval), 0),
    ]
    .into_iter()
    .enumerate()
    {
        let batch = expecting(vec![holds], &number.to_string());
        store.write(batch).await.unwrap();
    }
    // The writes of the batch itself do not count.
    let last = Batch {
        expectations: vec![
            exactly(Kind::Client, &all),
            Expectation::AtMost(Query::all(Kind::Client), 2),
            is(client("c"), None),
        ],
        ..batch([create(client("c"), "")], "written")
    };
    store.write(last).await.unwrap();
    assert_eq!(store.ids(Kind::Client).await.unwrap(), ["a", "b", "c"]);
}

fn named(key: RecordKey, text: &str) -> Write {
    let content = Content {
        unique: Some(text.to_owned()),
        ..Content::default()
    };
    Write::Create(key, content)
}

pub(super) async fn a_unique_text_is_of_one_record_of_a_kind(store: &dyn Store) {
    let key = |id| RecordKey::signing_key(&name("i"), id);
    store
        .write(silent([named(key("a"), "text")]))
        .await
        .unwrap();
    let other_owner = RecordKey::signing_key(&name("j"), "a");
    for taken in [named(key("b"), "text"), named(other_owner, "text")] {
        assert_refused(store, batch([taken], "refused"), is_not_unique).await;
    }
    // Texts are compared bit by bit, and the empty text has no owner.
    let free = ["Text", "text ", ""].map(|text| named(key(text), text));
    store.write(silent(free)).await.unwrap();
    let without = ["1", "2"].map(|id| create(key(id), ""));
    store.write(silent(without)).await.unwrap();
    // Another kind has texts of its own.
    store
        .write(silent([named(client("a"), "text")]))
        .await
        .unwrap();

    // It is free as soon as its record has another one or is gone, in the same batch as well.
    let a = store.token(&key("a")).await;
    let handed_on = silent([replace(key("a"), a, ""), named(key("b"), "text")]);
    let a = a.followed_by(handed_on.id);
    store.write(handed_on).await.unwrap();
    let b = store.token(&key("b")).await;
    let taken = Content {
        unique: Some("text".to_owned()),
        ..Content::default()
    };
    let back = Write::Replace(key("a"), a, taken);
    let refused = batch([back.clone()], "refused");
    assert_refused(store, refused, is_not_unique).await;
    let back = silent([Write::Delete(key("b"), b), back]);
    store.write(back).await.unwrap();
    let stored = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!(stored.unique.as_deref(), Some("text"));
}

/// Whatever is refused, and wherever it stands.
pub(super) async fn a_batch_is_written_whole_or_not_at_all(store: &dyn Store) {
    let content = |is_final, unique: Option<&str>| Content {
        sealed: set(b"sealed"),
        unique: unique.map(str::to_owned),
        is_final,
        ..Content::default()
    };
    let settled = silent([
        Write::Create(client("final"), content(true, None)),
        Write::Create(client("taken"), content(false, Some("taken"))),
        Write::Create(client("replaced"), content(false, None)),
        Write::Create(client("deleted"), content(false, None)),
    ]);
    let token = Token::UNWRITTEN.followed_by(settled.id);
    store.write(settled).await.unwrap();
    let others = [
        create(setting("created"), ""),
        Write::Replace(client("replaced"), token, Content::default()),
        Write::Delete(client("deleted"), token),
    ];
    let refusals: [(Write, IsRefusal); 6] = [
        (create(client("taken"), ""), is_conflict),
        (replace(client("absent"), token, ""), is_conflict),
        (Write::Delete(client("absent"), token), is_conflict),
        (replace(client("taken"), Token::UNWRITTEN, ""), is_conflict),
        (Write::Delete(client("final"), token), is_final),
        (named(client("new"), "taken"), is_not_unique),
    ];
    for (refused, is_refusal) in refusals {
        for place in 0..=others.len() {
            let mut writes = others.to_vec();
            writes.insert(place, refused.clone());
            assert_refused(store, batch(writes, "refused"), is_refusal).await;
        }
    }
    // What it has written before counts for what it writes after.
    let both = batch(others.clone(), "written");
    let replaced = token.followed_by(both.id);
    store.write(both).await.unwrap();
    let stored = store.get(&client("replaced")).await.unwrap().unwrap();
    assert_eq!((stored.token, stored.version), (replaced, 2));
    assert_eq!(stored.sealed.as_deref(), Some(b"sealed".as_slice()));
    assert_eq!(store.get(&client("deleted")).await.unwrap(), None);
    assert_whole(store).await;
}

pub(super) async fn the_outcome_of_a_batch_is_where_the_log_ended_after_it(store: &dyn Store) {
    let mut heads = Vec::new();
    for id in ["a", "b"] {
        let mut batch = batch([create(client(id), "")], "one");
        batch.events.push(crate::rows::event(None, "two"));
        let id = batch.id;
        heads.push((id, store.write(batch).await.unwrap()));
    }
    for (id, head) in &heads {
        assert_eq!(store.outcome(*id).await.unwrap(), Some(*head));
    }
    assert_eq!(heads[1].1, store.log_head().await.unwrap());
    assert_eq!(heads[1].1.sequence, 4);
    // One that was refused, one that never was, and one that has left no event.
    let refused = batch([create(client("a"), "")], "refused");
    let refused_id = refused.id;
    store.write(refused).await.unwrap_err();
    let without = silent([create(client("c"), "")]);
    let without_id = without.id;
    assert_eq!(store.write(without).await.unwrap(), heads[1].1);
    for id in [refused_id, without_id, batch_id(), BatchId([0; 16])] {
        assert_eq!(store.outcome(id).await.unwrap(), None, "{id:?}");
    }
    assert!(store.get(&client("c")).await.unwrap().is_some());
}

/// Settling asks for the outcome alone where it is unknown.
pub(super) async fn a_settled_commit_answers_as_the_store_does(store: &dyn Store) {
    let written = batch([create(client("a"), "")], "written");
    let head = keywright::store::commit(store, written).await.unwrap();
    assert_eq!(head, store.log_head().await.unwrap());
    let refused = batch([create(client("a"), "")], "refused");
    let refused = keywright::store::commit(store, refused).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
}

pub(super) async fn of_many_batches_at_once_no_more_win_than_may_be_there(store: &dyn Store) {
    const MOST: usize = 7;
    let attempt = |number: usize| {
        store.write(Batch {
            expectations: vec![Expectation::AtMost(Query::all(Kind::Approval), MOST - 1)],
            ..batch([create(approval("i", &number.to_string()), "")], "asked")
        })
    };
    assert_eq!(race(attempt), MOST);
    assert_eq!(store.ids(Kind::Approval).await.unwrap().len(), MOST);
    assert_eq!(all_events(store).await.len(), MOST);
    assert_whole(store).await;
}

pub(super) async fn records_are_read_by_kind_owner_and_id(store: &dyn Store) {
    let keys = of_each_kind();
    let more = ["1", "2"].map(|id| approval("j", id));
    let all: Vec<Write> = keys
        .iter()
        .chain(&more)
        .map(|key| create(key.clone(), &format!("{key:?}")))
        .collect();
    store.write(silent(all)).await.unwrap();
    let documents = |records: &[Record]| -> Vec<String> {
        let records = records.iter();
        records.map(|record| record.document.clone()).collect()
    };
    for key in keys.iter().chain(&more) {
        let record = store.get(key).await.unwrap().unwrap();
        assert_eq!(record.key, *key);
        assert_eq!(record.document, format!("{key:?}"));
    }
    assert_eq!(store.get(&approval("j", "3")).await.unwrap(), None);
    let of = |owners: &[&str], ids: &[&str]| Query {
        owners: Some(owners.iter().map(|owner| Some(name(owner))).collect()),
        ids: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
        ..Query::all(Kind::Approval)
    };
    let queries = [
        of(&["j"], &["1", "2", "3"]),
        of(&["i", "j"], &["2", "r"]),
        of(&[], &["1"]),
        of(&["j"], &[]),
    ];
    let read = store.read(&queries).await.unwrap();
    let shown = |key: &RecordKey| format!("{key:?}");
    assert_eq!(documents(&read[0]), [shown(&more[0]), shown(&more[1])]);
    let both = [shown(&more[1]), shown(&approval("i", "r"))];
    assert_eq!(documents(&read[1]), both);
    assert!(read[2].is_empty() && read[3].is_empty());
}
