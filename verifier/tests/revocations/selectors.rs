//! Which tokens a revocation takes back, from the feed to the verdict.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::{Fault, VerifyError};
use num_bigint::BigUint;
use serde_json::json;

use crate::scene::{Scene, now_seconds, verdict, verified};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_selector_takes_its_tokens_back_and_no_others() {
    let claims = json!({
        "jti": "j", "sid": "s", "sub": "u", "client_id": "c", "aud": ["other", "orders"],
        "act": {"sub": "v", "act": {"sub": "w"}},
    });
    for (kind, values, is_revoked) in [
        ("jti", &["j"][..], true),
        ("jti", &["u"], false),
        ("session", &["s"], true),
        ("subject", &["u"], true),
        ("subject", &["v"], true),
        ("subject", &["w"], true),
        ("subject", &["s"], false),
        ("client", &["c"], true),
        ("audience", &["other"], true),
        ("audience", &["orders"], true),
        ("audience", &["orders "], false),
        ("issuer", &[], true),
        ("subject+client", &["w", "c"], true),
        ("subject+client", &["c", "w"], false),
        ("subject+audience", &["u", "orders"], true),
        ("subject+audience", &["u", "billing"], false),
        ("subject+session", &["u", "s"], true),
    ] {
        let scene = Scene::start();
        scene.published().revoke(kind, values);
        let verifier = scene.ready_verifier(scene.feed()).await;
        let outcome = verified(&verifier, &scene.token(claims.clone())).await;
        if is_revoked {
            let error = outcome.unwrap_err();
            assert_eq!(error.code(), "revoked", "{kind} {values:?}");
            assert_eq!(error.fault(), Fault::Revoked);
            assert!(
                matches!(error, VerifyError::Revoked { selector } if selector.as_str() == kind),
                "{kind}: {error:?}"
            );
            assert_eq!(
                error.to_string(),
                format!("the token was revoked by its {kind}")
            );
        } else {
            assert!(outcome.is_ok(), "{kind} {values:?}: {outcome:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_without_iat_is_taken_back_and_one_that_was_signed_later_is_not() {
    let scene = Scene::start();
    scene.published().revoke("subject", &["alice"]);
    let verifier = scene.ready_verifier(scene.feed()).await;
    let later = now_seconds() + 2;
    for (iat, expected) in [
        (json!(null), "revoked"),
        (json!(later), "good"),
        (json!(later as f64 + 0.5), "good"),
        (json!(later - 20), "revoked"),
        (json!(0), "revoked"),
        (json!(u64::MAX), "good"),
    ] {
        let token = scene.token(json!({"iat": iat}));
        assert_eq!(verdict(&verifier, &token).await, expected, "{iat}");
    }
    let token = scene.token(json!({"sub": "bob", "iat": null}));
    assert_eq!(verdict(&verifier, &token).await, "good");
}

// Nothing keys on the bytes of a token, so that another spelling of its signature does not help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_signature_of_the_same_token_stays_revoked() {
    let scene = Scene::start();
    let verifier = scene.ready_verifier(scene.feed()).await;
    let token = scene.token(json!({"jti": "stolen"}));
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = signature.split_at(32);
    let order = BigUint::parse_bytes(
        b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        16,
    )
    .unwrap();
    let negated = (order - BigUint::from_bytes_be(s)).to_bytes_be();
    let mut other = r.to_vec();
    other.resize(64 - negated.len(), 0);
    other.extend(negated);
    let other = format!("{input}.{}", URL_SAFE_NO_PAD.encode(other));
    assert_ne!(other, token);
    // Both verify.
    assert_eq!(verdict(&verifier, &token).await, "good");
    assert_eq!(verdict(&verifier, &other).await, "good");

    scene.published().revoke("jti", &["stolen"]);
    let verifier = scene.ready_verifier(scene.feed()).await;
    assert_eq!(verdict(&verifier, &token).await, "revoked");
    assert_eq!(verdict(&verifier, &other).await, "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_with_more_names_than_are_looked_up_is_refused() {
    let scene = Scene::start();
    let verifier = scene.ready_verifier(scene.feed()).await;
    let actors =
        |depth: usize| (0..depth).fold(json!({"sub": "v"}), |inner, _| json!({"act": inner}));
    for (changes, expected) in [
        (json!({"aud": vec!["orders"; 16]}), "good"),
        (json!({"aud": vec!["orders"; 17]}), "claim-malformed"),
        (json!({"act": actors(14)}), "good"),
        (json!({"act": actors(15)}), "claim-malformed"),
    ] {
        let token = scene.token(changes.clone());
        assert_eq!(verdict(&verifier, &token).await, expected, "{changes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_is_judged_by_everything_else_first() {
    let scene = Scene::start();
    scene.published().revoke("issuer", &[]);
    let verifier = scene.ready_verifier(scene.feed()).await;
    for (changes, expected) in [
        (json!({}), "revoked"),
        (json!({"exp": now_seconds() - 1}), "token-expired"),
        (json!({"aud": "billing"}), "wrong-audience"),
    ] {
        let token = scene.token(changes.clone());
        assert_eq!(verdict(&verifier, &token).await, expected, "{changes}");
    }
    let forged = crate::scene::Key::new("first").token(&scene.name(), json!({}));
    assert_eq!(verdict(&verifier, &forged).await, "bad-signature");
}
