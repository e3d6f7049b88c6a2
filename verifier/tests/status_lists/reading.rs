//! What a list says, and when it is asked for.

use std::time::Duration;

use keywright_verifier::{
    Fault, InvalidStatusLists, JwkSet, Rules, StatusError, StatusLists, Verifier, VerifyError,
};
use serde_json::{Value, json};

use crate::scene::{ENTRIES, ISSUER, LIST, NOW, Scene, at, verdict, verify_at};

#[tokio::test]
async fn a_token_is_good_if_its_entry_says_so() {
    let scene = Scene::new();
    let verifier = scene.reader();
    let last = ENTRIES as u64 - 1;
    for (index, expected) in [
        (0, "good"),
        (1, "status-invalid"),
        (2, "status-suspended"),
        (3, "status-unknown"),
        (last, "good"),
        (last + 1, "status-out-of-bounds"),
        (u64::MAX, "status-out-of-bounds"),
    ] {
        assert_eq!(
            verdict(&verifier, &scene.token(index)).await,
            expected,
            "{index}"
        );
    }
    assert_eq!(scene.web.fetches(), 1, "it is fetched once");
    let error = verify_at(&verifier, &scene.token(1), NOW)
        .await
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Revoked);
    assert_eq!(error, VerifyError::Status(StatusError::Invalid));
}

#[tokio::test]
async fn a_token_without_a_status_is_good_unless_one_is_asked_for() {
    let scene = Scene::new();
    let token = scene.token_with(json!({}));
    assert_eq!(verdict(&scene.reader(), &token).await, "good");
    let lists = StatusLists::new().fetched_by(scene.web.clone()).required();
    assert_eq!(
        verdict(&scene.verifier(lists), &token).await,
        "status-missing"
    );
    assert_eq!(scene.web.fetches(), 0);
}

#[tokio::test]
async fn a_token_that_is_bad_in_another_way_asks_for_no_list() {
    let scene = Scene::new();
    let verifier = scene.reader();
    let status = json!({"status_list": {"idx": 1, "uri": LIST}});
    let expired = scene.token_with(json!({"status": status, "exp": NOW - 1}));
    let foreign = scene.token_with(json!({"status": status, "aud": "billing"}));
    assert_eq!(verdict(&verifier, &expired).await, "token-expired");
    assert_eq!(verdict(&verifier, &foreign).await, "wrong-audience");
    assert_eq!(scene.web.fetches(), 0);
}

#[tokio::test]
async fn a_list_is_fetched_again_after_its_ttl_and_counts_until_it_expires() {
    let scene = Scene::new();
    scene.publish(json!({"ttl": 1}));
    let verifier = scene.reader();
    assert_eq!(verdict(&verifier, &scene.token(0)).await, "good");
    let mut list = keywright_verifier::status_list::StatusList::all_valid(
        keywright_verifier::status_list::StatusBits::One,
        ENTRIES,
    );
    assert!(list.set(0, 1));
    scene.publish(json!({"ttl": 1, "status_list": {"bits": 1, "lst": list.encode()}}));
    assert_eq!(
        verdict(&verifier, &scene.token(0)).await,
        "good",
        "within its ttl"
    );
    let more_than_its_ttl = Duration::from_millis(1100);
    tokio::time::sleep(more_than_its_ttl).await;
    assert_eq!(verdict(&verifier, &scene.token(0)).await, "status-invalid");
    // While none can be had the one at hand counts, and not for longer than it says.
    scene.web.remove(LIST);
    tokio::time::sleep(more_than_its_ttl).await;
    assert_eq!(verdict(&verifier, &scene.token(1)).await, "good");
    let late = verify_at(&verifier, &scene.token(1), NOW + 60)
        .await
        .unwrap_err();
    assert_eq!(late.code(), "status-list-unavailable");
    assert_eq!(late.fault(), Fault::Revocations);
}

#[tokio::test]
async fn without_waiting_a_token_is_judged_by_the_list_at_hand() {
    let scene = Scene::new();
    let verifier = scene.reader();
    let held = |token: &str| {
        let outcome = verifier.verify_with_held_keys::<Value>(token, at(NOW));
        outcome.map_or_else(|error| error.code(), |_| "good")
    };
    assert_eq!(held(&scene.token(0)), "status-list-unavailable");
    assert_eq!(verdict(&verifier, &scene.token(0)).await, "good");
    assert_eq!(
        (held(&scene.token(0)), held(&scene.token(1))),
        ("good", "status-invalid")
    );
}

#[tokio::test]
async fn many_who_ask_at_once_fetch_a_list_once_and_more_lists_than_are_held_are_fetched_again() {
    let scene = Scene::new();
    let lists = StatusLists::new()
        .fetched_by(scene.web.clone())
        .max_lists(2);
    let verifier = scene.verifier(lists);
    let token = scene.token(0);
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (verifier, token) = (verifier.clone(), token.clone());
        set.spawn(async move { verdict(&verifier, &token).await });
    }
    while let Some(outcome) = set.join_next().await {
        assert_eq!(outcome.unwrap(), "good");
    }
    assert_eq!(scene.web.fetches(), 1);
    for number in 2..5 {
        let uri = format!("https://id.example/lists/{number}");
        let claims = scene.list_claims(json!({ "sub": uri }));
        scene.web.put(&uri, scene.sign("statuslist+jwt", &claims));
        let status = json!({"status": {"status_list": {"idx": 0, "uri": uri}}});
        assert_eq!(verdict(&verifier, &scene.token_with(status)).await, "good");
    }
    assert_eq!(verdict(&verifier, &token).await, "good");
    assert_eq!(scene.web.fetches(), 5, "the first had made room");
}

#[tokio::test]
async fn a_list_that_cannot_be_had_is_not_asked_for_by_each_who_waits() {
    let scene = Scene::new();
    scene.web.remove(LIST);
    let verifier = scene.reader();
    for _ in 0..20 {
        let outcome = verdict(&verifier, &scene.token(0)).await;
        assert_eq!(outcome, "status-list-unavailable");
    }
    assert_eq!(scene.web.fetches(), 1);
    scene.publish(json!({}));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(
        verdict(&verifier, &scene.token(0)).await,
        "good",
        "a second later"
    );
}

#[test]
fn settings_that_read_nothing_are_refused() {
    let scene = Scene::new();
    let refused = |lists: StatusLists| {
        let rules = Rules::new(ISSUER, "orders", [keywright_verifier::Algorithm::Es256]);
        let verifier = Verifier::new(rules, scene.keys()).unwrap();
        verifier.with_status_lists(lists).unwrap_err()
    };
    let lists = || StatusLists::new().fetched_by(scene.web.clone());
    for zero in [
        lists().timeout(Duration::ZERO),
        lists().max_lists(0),
        lists().max_list_bytes(0),
    ] {
        assert!(matches!(refused(zero), InvalidStatusLists::Zero));
    }
    for prefix in [
        "https://a.example/x",
        "https://a.example/?x",
        "http://a.example/",
        "x",
    ] {
        let refusal = refused(lists().at(prefix));
        assert!(matches!(refusal, InvalidStatusLists::Prefix(_)), "{prefix}");
    }
    let twice = scene.reader().with_status_lists(lists());
    assert!(matches!(twice, Err(InvalidStatusLists::Duplicate { .. })));
    let rules = Rules::new(
        "not a url",
        "orders",
        [keywright_verifier::Algorithm::Es256],
    );
    let nowhere = Verifier::new(rules, JwkSet::parse(&scene.keys().to_json()).unwrap());
    let nowhere = nowhere.unwrap().with_status_lists(lists());
    assert!(matches!(nowhere, Err(InvalidStatusLists::NoPlace)));
}
