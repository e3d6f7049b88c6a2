//! What the response of a revocation promises, with a clock that is passed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Api, BEGIN, World};

async fn set_max_age(api: &Api, credential: &str, max_age: &str) -> Value {
    let policy = json!({
        "url": "https://id.example.com/a", "algorithms": ["ES256"],
        "openid_configuration": "always", "revocation_max_age": max_age,
    });
    let (status, issuer) = api.call(credential, "PUT /issuers/a", &policy).await;
    assert!(status < 300, "{issuer}");
    issuer
}

/// How long after its closing a revocation is guaranteed, in seconds, and its identifier.
async fn take_back(api: &Api, credential: &str) -> (u64, String) {
    let body = json!({ "subject": "user-1" });
    let call = "POST /issuers/a/revocations";
    let (status, answer) = api.call(credential, call, &body).await;
    assert_eq!(status, 201, "{answer}");
    (bound(&answer), answer["id"].as_str().unwrap().to_owned())
}

fn bound(answer: &Value) -> u64 {
    let guaranteed = answer["in_force_at_verifiers"]["guaranteed"].as_u64();
    guaranteed.unwrap() - answer["in_force_at_signers"].as_u64().unwrap()
}

#[tokio::test]
async fn guaranteed_counts_with_heads_of_a_longer_max_age_until_they_have_ended() {
    let world = World::new().await;
    let roles = json!(["security", "admin", "auditor"]);
    let (_, credential) = world.client(json!({ "roles": roles })).await;
    let api = Api::of(&world);
    set_max_age(&api, &credential, "1h").await;
    let (bound_before, _) = take_back(&api, &credential).await;
    assert_eq!(bound_before, 3602);

    let shortened = set_max_age(&api, &credential, "8s").await;
    let warning = shortened["warnings"][0].as_str().unwrap();
    assert!(warning.contains("revocation_max_age of 1h"), "{warning}");
    // A verifier may hold a head that was signed a moment ago, and is cut off from now on.
    let (at_once, first) = take_back(&api, &credential).await;
    assert_eq!(at_once, 3602);
    world.clock.set(BEGIN.after(Duration::from_secs(1800)));
    let (later, _) = take_back(&api, &credential).await;
    // Two seconds for heads that are signed while the policy changes, and two for clocks.
    assert_eq!(later, 1804);
    let call = format!("GET /issuers/a/revocations/{first}");
    let (_, shown) = api.call(&credential, &call, &Value::Null).await;
    assert_eq!(bound(&shown), 3602, "what was said stays so");

    world.clock.set(BEGIN.after(Duration::from_secs(3603)));
    assert_eq!(take_back(&api, &credential).await.0, 10);
    let unchanged = set_max_age(&api, &credential, "9s").await;
    assert_eq!(unchanged.get("warnings"), None);
}
