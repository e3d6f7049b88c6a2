//! What changing the master key asks of a store.

use keywright::store::{Batch, CommitError, Content, Expectation, RecordKey, Store, Token, Write};

use super::{all_events, everything, load, race, sealed};
use crate::rows::{
    StoreCalls as _, batch, change, commit, event, name, set, setting, silent, token,
};
use keywright::store::SealedChange;

/// A setting that becomes `value`, if it still has this token.
fn replacement(id: &str, before: Token, value: &[u8]) -> Batch {
    let content = Content::sealed(value.to_vec());
    batch([Write::Replace(setting(id), before, content)], "replaced")
}

pub(super) async fn a_setting_is_replaced_with_its_event(store: &dyn Store) {
    store.create_setting("s", b"one").await.unwrap();
    store.create_setting("t", b"one").await.unwrap();
    let before = store.token(&setting("s")).await;
    store.write(replacement("s", before, b"two")).await.unwrap();
    assert_eq!(store.setting("s").await.unwrap(), Some(b"two".to_vec()));
    assert_eq!(store.setting("t").await.unwrap(), Some(b"one".to_vec()));
    let events = all_events(store).await;
    assert_eq!(events.len(), 1);
    let told = event(None, "replaced");
    assert_eq!((events[0].sequence, &events[0].event), (1, &told));
    super::assert_whole(store).await;
}

pub(super) async fn a_setting_that_is_not_the_expected_one_stays(store: &dyn Store) {
    store.create_setting("s", b"one").await.unwrap();
    store.create_setting("t", b"one").await.unwrap();
    let (own, other) = (
        store.token(&setting("s")).await,
        store.token(&setting("t")).await,
    );
    for (id, before) in [("s", other), ("s", Token::UNWRITTEN), ("absent", own)] {
        let refused = store.write(replacement(id, before, b"three")).await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    }
    assert_eq!(store.setting("s").await.unwrap(), Some(b"one".to_vec()));
    assert_eq!(store.setting("absent").await.unwrap(), None);
    assert_eq!(all_events(store).await, []);
}

pub(super) async fn of_twenty_replacements_of_one_setting_one_wins(store: &dyn Store) {
    store.create_setting("s", b"before").await.unwrap();
    let before = store.token(&setting("s")).await;
    let replace = |number| store.write(replacement("s", before, &[number as u8]));
    assert_eq!(race(replace), 1);
    assert_eq!(all_events(store).await.len(), 1);
}

pub(super) async fn a_commit_rests_on_what_it_expects(store: &dyn Store) {
    store.create_setting("s", b"one").await.unwrap();
    let one = store.token(&setting("s")).await;
    let on = |version: u64, key: RecordKey, token: Option<Token>| {
        let mut commit = commit("a", version);
        commit.batch.expectations = vec![Expectation::Is(key, token)];
        commit
    };
    store.commit(on(1, setting("s"), Some(one))).await.unwrap();
    store.commit(on(2, setting("absent"), None)).await.unwrap();
    let before = everything(store).await;
    for (key, expected) in [
        (setting("s"), Some(token("a", 2))),
        (setting("s"), Some(Token::UNWRITTEN)),
        (setting("s"), None),
        (setting("absent"), Some(one)),
        // Another kind, or an owner, makes it another record.
        (RecordKey::issuer(&name("s")), Some(one)),
        (RecordKey::signing_key(&name("a"), "s"), Some(one)),
    ] {
        let refused = store.commit(on(3, key, expected)).await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        assert_eq!(everything(store).await, before);
    }
    // What is expected is what is there before the batch, which may write it itself.
    let mut moved = replacement("s", one, b"two");
    moved.expectations = vec![Expectation::Is(setting("s"), Some(one))];
    store.write(moved).await.unwrap();
}

/// A key that is sealed anew: its document is the same.
fn resealed(key: &RecordKey, before: Token, sealed: &[u8]) -> Batch {
    let content = Content {
        document: "second".to_owned(),
        sealed: set(sealed),
        ..Content::default()
    };
    silent([Write::Replace(key.clone(), before, content)])
}

pub(super) async fn a_sealed_half_is_sealed_anew(store: &dyn Store) {
    for issuer in ["a", "b"] {
        let mut created = commit(issuer, 1);
        created.keys = vec![
            change("k1", "first", set(b"one")),
            change("k2", "second", set(b"one")),
        ];
        store.commit(created).await.unwrap();
    }
    let mut expected = load(store, "a").await;
    let (other, events) = (load(store, "b").await, all_events(store).await);
    let key = RecordKey::signing_key(&name("a"), "k2");
    let batch = resealed(&key, token("a", 1), &[0, 1, 255]);
    let record = &mut expected.keys[1];
    record.sealed = Some(vec![0, 1, 255]);
    record.version = 2;
    record.token = record.token.followed_by(batch.id);
    store.write(batch).await.unwrap();
    assert_eq!(load(store, "a").await, expected);
    assert_eq!(load(store, "b").await, other);
    // The set has not changed: neither its version, nor is there anything to tell.
    assert_eq!(all_events(store).await, events);
    store.commit(commit("a", 2)).await.unwrap();
    assert_eq!(
        sealed(store, "a").await,
        [Some(b"one".to_vec()), Some(vec![0, 1, 255])]
    );
}

pub(super) async fn a_sealed_half_that_is_not_the_expected_one_stays(store: &dyn Store) {
    let mut created = commit("a", 1);
    created.keys = vec![
        change("k1", "first", set(b"one")),
        change("k2", "second", SealedChange::Erase),
    ];
    store.commit(created).await.unwrap();
    let before = everything(store).await;
    let own = token("a", 1);
    for (issuer, kid, expected) in [
        ("a", "k1", token("b", 1)),
        ("a", "k1", Token::UNWRITTEN),
        ("a", "k2", token("a", 2)),
        ("a", "k3", own),
        ("b", "k1", own),
    ] {
        let key = RecordKey::signing_key(&name(issuer), kid);
        let refused = store.write(resealed(&key, expected, b"new")).await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        assert_eq!(everything(store).await, before, "{issuer} {kid}");
    }
}
