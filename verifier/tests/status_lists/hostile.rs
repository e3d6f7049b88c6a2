//! What is refused, each for a reason of its own.

use keywright_verifier::status_list::{StatusBits, StatusList};
use keywright_verifier::{Fault, StatusLists};
use serde_json::json;

use crate::keys::Signer;
use crate::scene::{ENTRIES, LIST, NOW, Scene, verdict, verify_at};

#[tokio::test]
async fn each_broken_list_is_refused_for_its_own_reason() {
    let bomb = StatusList::all_valid(StatusBits::Eight, 64 << 20).encode();
    let good = StatusList::all_valid(StatusBits::One, ENTRIES).encode();
    for (changes, expected) in [
        (
            json!({"sub": "https://id.example/lists/2"}),
            "status-list-wrong-address",
        ),
        (json!({"sub": null}), "status-list-malformed"),
        (json!({"iat": null}), "status-list-malformed"),
        (json!({"iat": "now"}), "status-list-malformed"),
        (json!({"exp": NOW}), "status-list-expired"),
        (json!({"exp": NOW - 1}), "status-list-expired"),
        (json!({"iat": NOW + 61}), "status-list-from-the-future"),
        (
            json!({"iat": NOW - 90_000, "exp": null}),
            "status-list-expired",
        ),
        (json!({"status_list": null}), "status-list-malformed"),
        (
            json!({"status_list": {"bits": 3, "lst": good}}),
            "status-list-malformed",
        ),
        (
            json!({"status_list": {"bits": 1, "lst": "AAAA"}}),
            "status-list-malformed",
        ),
        (
            json!({"status_list": {"bits": 1, "lst": format!("{good}=")}}),
            "status-list-malformed",
        ),
        (
            json!({"status_list": {"bits": 1, "lst": bomb}}),
            "status-list-too-large",
        ),
    ] {
        let scene = Scene::new();
        let shown = changes.to_string().chars().take(80).collect::<String>();
        scene.publish(changes);
        assert_eq!(
            verdict(&scene.reader(), &scene.token(0)).await,
            expected,
            "{shown}"
        );
        let error = verify_at(&scene.reader(), &scene.token(0), NOW)
            .await
            .unwrap_err();
        assert_eq!(error.fault(), Fault::Revocations, "the token may be good");
    }
    // What the draft only recommends may be missing.
    let scene = Scene::new();
    scene.publish(json!({"exp": null, "ttl": null, "iss": "https://status.example"}));
    assert_eq!(verdict(&scene.reader(), &scene.token(0)).await, "good");
}

#[tokio::test]
async fn a_list_of_another_type_or_by_another_key_is_refused() {
    let scene = Scene::new();
    let claims = scene.list_claims(json!({}));
    for typ in ["JWT", "at+jwt", "statuslist+cwt"] {
        scene.web.put(LIST, scene.sign(typ, &claims));
        let outcome = verdict(&scene.reader(), &scene.token(0)).await;
        assert_eq!(outcome, "status-list-wrong-type", "{typ}");
    }
    scene
        .web
        .put(LIST, scene.sign("application/statuslist+jwt", &claims));
    assert_eq!(verdict(&scene.reader(), &scene.token(0)).await, "good");
    let header = json!({"alg": "ES256", "kid": "k", "typ": "statuslist+jwt"});
    let forged = Signer::new().token(&header.to_string(), &claims.to_string());
    let unsigned = format!(
        "{}.",
        scene
            .sign("statuslist+jwt", &claims)
            .rsplit_once('.')
            .unwrap()
            .0
    );
    for page in [
        forged.into_bytes(),
        unsigned.into_bytes(),
        b"<html>".to_vec(),
        vec![0xff; 100],
        vec![b'a'; 4 << 20],
    ] {
        scene.web.put(LIST, page);
        let outcome = verdict(&scene.reader(), &scene.token(0)).await;
        assert_eq!(outcome, "status-list-untrusted");
    }
    scene.web.remove(LIST);
    assert_eq!(
        verdict(&scene.reader(), &scene.token(0)).await,
        "status-list-unavailable"
    );
}

#[tokio::test]
async fn a_claim_that_does_not_read_is_refused_and_never_passed_over() {
    let scene = Scene::new();
    let entry = json!({"idx": 0, "uri": LIST});
    for claims in [
        json!({"status_list": entry}),
        json!({"status_list": entry, "status": {"status_list": entry}}),
        json!({"status": null}),
        json!({"status": "valid"}),
        json!({"status": {}}),
        json!({"status": {"identifier_list": {"id": "1", "uri": LIST}}}),
        json!({"status": {"status_list": []}}),
        json!({"status": {"status_list": {"idx": -1, "uri": LIST}}}),
        json!({"status": {"status_list": {"idx": 1.5, "uri": LIST}}}),
        json!({"status": {"status_list": {"idx": "0", "uri": LIST}}}),
        json!({"status": {"status_list": {"idx": 0}}}),
        json!({"status": {"status_list": {"idx": 0, "uri": ""}}}),
    ] {
        let token = scene.token_with(claims.clone());
        assert_eq!(
            verdict(&scene.reader(), &token).await,
            "status-malformed",
            "{claims}"
        );
    }
    assert_eq!(scene.web.fetches(), 0);
}

#[tokio::test]
async fn no_token_makes_a_verifier_ask_a_server_of_its_own_choice() {
    let scene = Scene::new();
    let at =
        |uri: &str| scene.token_with(json!({"status": {"status_list": {"idx": 0, "uri": uri}}}));
    for uri in [
        "https://evil.example/lists/1",
        "https://id.example:8443/lists/1",
        "https://id.example.evil.example/lists/1",
        "https://id.example@evil.example/lists/1",
        "http://id.example/lists/1",
        "http://127.0.0.1/lists/1",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "lists/1",
    ] {
        assert_eq!(
            verdict(&scene.reader(), &at(uri)).await,
            "status-list-elsewhere",
            "{uri}"
        );
    }
    assert_eq!(scene.web.fetches(), 0);
    let lists = StatusLists::new()
        .fetched_by(scene.web.clone())
        .at("https://status.example/lists/");
    let verifier = scene.verifier(lists);
    for uri in [
        "https://status.example/lists",
        "https://status.example/lists/../admin",
    ] {
        assert_eq!(
            verdict(&verifier, &at(uri)).await,
            "status-list-elsewhere",
            "{uri}"
        );
    }
    let elsewhere = "https://status.example/lists/7";
    let claims = scene.list_claims(json!({ "sub": elsewhere }));
    scene
        .web
        .put(elsewhere, scene.sign("statuslist+jwt", &claims));
    assert_eq!(verdict(&verifier, &at(elsewhere)).await, "good");
    assert_eq!(
        verdict(&verifier, &scene.token(0)).await,
        "good",
        "the issuer's own stay"
    );
}
