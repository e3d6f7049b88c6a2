//! Records of which there are too many to be read as a whole: they are found by what they are about, by
//! their end, and a page at a time.

use keywright::lifecycle::Timestamp;
use keywright::store::{
    ClientCount, CommitError, Content, Kind, Query, RecordIndex, RecordKey, SealedChange, Store,
    Write,
};

use crate::rows::{StoreCalls as _, name, silent};

/// Creates a grant that may be deleted at a second.
pub(super) fn indexed(owner: &str, id: &str, subject: &str, client: &str, until: u64) -> Write {
    let key = RecordKey::owned(Kind::Grant, &name(owner), id);
    Write::Create(key, content(id, subject, Some(client), until))
}

fn content(document: &str, subject: &str, client: Option<&str>, until: u64) -> Content {
    Content {
        document: document.to_owned(),
        sealed: SealedChange::Set(vec![until.to_le_bytes()[0], 1, 2]),
        index: RecordIndex {
            subject: Some(subject.to_owned()),
            client: client.map(str::to_owned),
            kept_until: Some(Timestamp::from_seconds(until)),
        },
        ..Content::default()
    }
}

async fn ids(store: &dyn Store, query: Query) -> Vec<String> {
    let records = store.list(query).await.unwrap().into_iter();
    records.map(|record| record.key.id).collect()
}

pub(super) async fn records_are_found_by_subject_by_end_and_by_page(store: &dyn Store) {
    let grants = [
        indexed("a", "4", "u", "c", 10),
        indexed("a", "1", "u", "c", 20),
        indexed("a", "3", "v", "d", 30),
        indexed("a", "2", "u", "d", 40),
        indexed("b", "1", "u", "c", 5),
    ];
    store.write(silent(grants.to_vec())).await.unwrap();
    let all = || Query::all(Kind::Grant);
    let page = |after: Option<&str>, limit| {
        Query::page(Kind::Grant, &name("a"), after.map(str::to_owned), limit)
    };
    assert_eq!(ids(store, page(None, 3)).await, ["1", "2", "3"]);
    assert_eq!(ids(store, page(Some("2"), 3)).await, ["3", "4"]);
    assert!(ids(store, page(Some("4"), 3)).await.is_empty());
    let of_subject = |subject: &str, after| Query {
        subjects: Some(vec![subject.to_owned()]),
        ..page(after, 2)
    };
    assert_eq!(ids(store, of_subject("u", None)).await, ["1", "2"]);
    assert_eq!(ids(store, of_subject("u", Some("2"))).await, ["4"]);
    assert!(ids(store, of_subject("w", None)).await.is_empty());
    let of_subjects = |subjects: &[&str], after: Option<&str>, limit| Query {
        subjects: Some(subjects.iter().map(|&one| one.to_owned()).collect()),
        ..page(after, limit)
    };
    let both = ["u", "v", "w"];
    assert_eq!(
        ids(store, of_subjects(&both, None, 3)).await,
        ["1", "2", "3"]
    );
    assert_eq!(ids(store, of_subjects(&both, Some("3"), 3)).await, ["4"]);
    assert_eq!(ids(store, of_subjects(&["v", "w"], None, 9)).await, ["3"]);
    assert!(ids(store, of_subjects(&[], None, 9)).await.is_empty());
    let by = |second, limit| Query {
        kept_until: Some(Timestamp::from_seconds(second)),
        limit,
        ..all()
    };
    assert!(ids(store, by(4, None)).await.is_empty());
    assert_eq!(ids(store, by(20, None)).await, ["1", "1", "4"]);
    assert_eq!(ids(store, by(40, Some(2))).await.len(), 2);
    let otherwise = Query {
        not_sealed_with: Some(vec![10, 1]),
        ..page(None, 9)
    };
    assert_eq!(ids(store, otherwise).await, ["1", "2", "3"]);
    let record = store
        .get(&RecordKey::owned(Kind::Grant, &name("a"), "3"))
        .await;
    let record = record.unwrap().unwrap();
    let expected = content("3", "v", Some("d"), 30).index;
    assert_eq!(
        (record.index, record.sealed),
        (expected, Some(vec![30, 1, 2]))
    );
}

/// More than one statement creates.
pub(super) async fn many_records_are_created_at_once_or_none(store: &dyn Store) {
    let grant = |number: u64| {
        let subject = format!("u{}", number % 7);
        indexed("a", &format!("{number:04}"), &subject, "c", number)
    };
    let all: Vec<Write> = (0..1000).map(grant).collect();
    store.write(silent(all)).await.unwrap();
    let found = ids(store, Query::owned(Kind::Grant, &name("a"))).await;
    let expected: Vec<String> = (0..1000).map(|number| format!("{number:04}")).collect();
    assert_eq!(found, expected);
    let last = RecordKey::owned(Kind::Grant, &name("a"), "0999");
    let last = store.get(&last).await.unwrap().unwrap();
    assert_eq!(last.index, content("", "u5", Some("c"), 999).index);
    assert_eq!((&*last.document, last.version), ("0999", 1));
    // One of them is there already, or comes twice.
    for more in [[1500, 1501, 7], [1500, 1501, 1500]] {
        let conflict = store.write(silent(more.map(grant).to_vec())).await;
        assert!(matches!(conflict, Err(CommitError::Conflict)));
    }
    assert_eq!(ids(store, Query::all(Kind::Grant)).await.len(), 1000);
}

pub(super) async fn records_are_counted_by_client(store: &dyn Store) {
    let counts = async |after| {
        let after = Timestamp::from_seconds(after);
        store.count_by_client(Kind::Grant, after).await.unwrap()
    };
    assert_eq!(counts(0).await, []);
    let grants = [
        indexed("b", "1", "u", "c", 5),
        indexed("a", "1", "u", "d", 20),
        indexed("a", "2", "u", "c", 10),
        indexed("a", "3", "v", "c", 30),
    ];
    store.write(silent(grants.to_vec())).await.unwrap();
    let count = |owner: &str, client: &str, records| ClientCount {
        owner: name(owner),
        client: client.to_owned(),
        records,
    };
    assert_eq!(counts(5).await, [count("a", "c", 2), count("a", "d", 1)]);
    assert_eq!(counts(4).await.len(), 3);
    // What counts against no client any more, and is found by its new subject.
    let key = RecordKey::owned(Kind::Grant, &name("a"), "3");
    let token = store.token(&key).await;
    let change = Write::Replace(key.clone(), token, content("3", "w", None, 30));
    store.write(silent(vec![change])).await.unwrap();
    assert_eq!(counts(5).await, [count("a", "c", 1), count("a", "d", 1)]);
    let of_subject = Query {
        subjects: Some(vec!["w".to_owned()]),
        ..Query::page(Kind::Grant, &name("a"), None, 9)
    };
    assert_eq!(ids(store, of_subject).await, ["3"]);
    // A change that says nothing of the sealed bytes keeps them.
    let token = store.token(&key).await;
    let kept = Content {
        sealed: SealedChange::Keep,
        ..content("3", "w", None, 40)
    };
    let change = Write::Replace(key.clone(), token, kept);
    store.write(silent(vec![change])).await.unwrap();
    let record = store.get(&key).await.unwrap().unwrap();
    assert_eq!(record.sealed, Some(vec![30, 1, 2]));
    let until = record.index.kept_until;
    assert_eq!(until, Some(Timestamp::from_seconds(40)));
}
