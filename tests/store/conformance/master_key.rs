//! What changing the master key asks of a store.

use keywright::store::{CommitError, KeyStore, Premise, SealedChange};

use super::{all_events, everything, load, race, sealed};
use crate::rows::{change, commit, event, name, set};

pub(super) async fn a_setting_is_replaced_with_its_event(store: &dyn KeyStore) {
    store.create_setting("s", b"one").await.unwrap();
    store.create_setting("t", b"one").await.unwrap();
    let told = event(None, "replaced");
    let replaced = store.replace_setting("s", b"one", b"two", told.clone());
    replaced.await.unwrap();
    assert_eq!(store.setting("s").await.unwrap(), Some(b"two".to_vec()));
    assert_eq!(store.setting("t").await.unwrap(), Some(b"one".to_vec()));
    let events = all_events(store).await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].sequence, &events[0].event), (1, &told));
    super::assert_whole(store).await;
}

pub(super) async fn a_setting_that_is_not_the_expected_one_stays(store: &dyn KeyStore) {
    store.create_setting("s", b"one").await.unwrap();
    for (name, before) in [("s", b"two".as_slice()), ("s", b""), ("absent", b"one")] {
        let refused = store.replace_setting(name, before, b"three", event(None, "replaced"));
        let refused = refused.await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    }
    assert_eq!(store.setting("s").await.unwrap(), Some(b"one".to_vec()));
    assert_eq!(store.setting("absent").await.unwrap(), None);
    assert_eq!(all_events(store).await, []);
}

pub(super) async fn of_twenty_replacements_of_one_setting_one_wins(store: &dyn KeyStore) {
    store.create_setting("s", b"before").await.unwrap();
    let values: Vec<[u8; 1]> = (0..20).map(|number| [number]).collect();
    let replace =
        |number: usize| store.replace_setting("s", b"before", &values[number], event(None, "e"));
    assert_eq!(race(replace), 1);
    assert_eq!(all_events(store).await.len(), 1);
}

pub(super) async fn a_commit_rests_on_its_premise(store: &dyn KeyStore) {
    store.create_setting("s", b"one").await.unwrap();
    let on = |version: u64, setting: &'static str, value: Option<&[u8]>| {
        let mut commit = commit("a", version);
        commit.premise = Some(Premise {
            setting,
            value: value.map(<[u8]>::to_vec),
        });
        commit
    };
    store.commit(on(1, "s", Some(b"one"))).await.unwrap();
    store.commit(on(2, "absent", None)).await.unwrap();
    let before = everything(store).await;
    for (setting, value) in [
        ("s", Some(b"two".as_slice())),
        ("s", Some(b"")),
        ("s", None),
        ("absent", Some(b"one")),
    ] {
        let refused = store.commit(on(3, setting, value)).await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        assert_eq!(everything(store).await, before);
    }
}

pub(super) async fn a_sealed_half_is_sealed_anew(store: &dyn KeyStore) {
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
    store
        .reseal(&name("a"), "k2", b"one", &[0, 1, 255])
        .await
        .unwrap();
    expected.keys[1].sealed = Some(vec![0, 1, 255]);
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

pub(super) async fn a_sealed_half_that_is_not_the_expected_one_stays(store: &dyn KeyStore) {
    let mut created = commit("a", 1);
    created.keys = vec![
        change("k1", "first", set(b"one")),
        change("k2", "second", SealedChange::Erase),
    ];
    store.commit(created).await.unwrap();
    let before = everything(store).await;
    for (issuer, kid, expected) in [
        ("a", "k1", b"two".as_slice()),
        ("a", "k1", b""),
        ("a", "k2", b"one"),
        ("a", "k2", b""),
        ("a", "k3", b"one"),
        ("b", "k1", b"one"),
    ] {
        let refused = store.reseal(&name(issuer), kid, expected, b"new").await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        assert_eq!(everything(store).await, before, "{issuer} {kid}");
    }
}
