//! A clock that jumps ahead, and what is done about it.

use std::time::Duration;

use keywright::lifecycle::Timestamp;
use serde_json::{Value, json};

use crate::world::{Api, BEGIN, World};

const DAY: u64 = 24 * 3600;
const YEAR: Duration = Duration::from_secs(366 * DAY);

/// A world with the issuer `a`, and the credential of a client that may do everything.
async fn world() -> (World, Api, String) {
    let world = World::new().await;
    world.issuer("a", json!({})).await;
    let roles = json!(["issuer", "security", "auditor", "admin"]);
    let (_, credential) = world.client(json!({ "roles": roles })).await;
    let api = Api::of(&world);
    (world, api, credential)
}

async fn rotate(api: &Api, credential: &str) -> (u16, Value) {
    let call = "POST /issuers/a/rotate";
    api.call(credential, call, &json!({})).await
}

/// When the successor of the issuer `a` is ready.
async fn ready_at(api: &Api, credential: &str) -> u64 {
    let (_, keys) = api
        .call(credential, "GET /issuers/a/keys", &Value::Null)
        .await;
    let mut keys = keys["keys"].as_array().unwrap().iter();
    let pending = keys.find(|key| key["state"] == "pending").unwrap();
    pending["ready_at"].as_u64().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_stamps_nothing_before_it_has_stayed_there_for_ten_seconds() {
    let (world, api, credential) = world().await;
    world.clock.set_wall(BEGIN.after(YEAR));
    let version = async || {
        let shown = api.call(&credential, "GET /issuers/a", &Value::Null).await;
        shown.1["version"].as_u64().unwrap()
    };
    let before = version().await;
    let policy = json!({ "url": "https://id.example.com/b" });
    for (call, body) in [
        ("POST /issuers/a/rotate", json!({})),
        ("PUT /issuers/b", policy),
        ("POST /clock/correct", json!({ "reason": "a drill" })),
    ] {
        let (status, head, problem) = api.answer(&credential, call, &body).await;
        assert_eq!(
            (status, &problem["code"]),
            (503, &json!("clock-doubted")),
            "{call}"
        );
        assert_eq!(head["retry-after"], "10", "{call}");
    }
    assert_eq!(version().await, before);
    world
        .clock
        .set(BEGIN.after(YEAR + Duration::from_millis(9_999)));
    assert_eq!(rotate(&api, &credential).await.0, 503);
    world.clock.set(BEGIN.after(YEAR + seconds(10)));
    let (status, rotated) = rotate(&api, &credential).await;
    assert_eq!(status, 200, "{rotated}");
}

#[tokio::test]
async fn a_reading_that_was_ahead_and_is_right_again_leaves_no_trace() {
    let (world, api, credential) = world().await;
    world.clock.set_wall(BEGIN.after(YEAR));
    assert_eq!(rotate(&api, &credential).await.0, 503);
    world.clock.set_wall(BEGIN);
    assert_eq!(rotate(&api, &credential).await.0, 200);
    let latest = BEGIN.floor_seconds() + 2 * DAY;
    assert!(ready_at(&api, &credential).await < latest);
}

#[tokio::test]
async fn a_clock_that_is_set_back_is_believed_at_once() {
    let (world, api, credential) = world().await;
    world.clock.set_wall(BEGIN.before(YEAR));
    // What is not ready is forced: only the clock could be in its way.
    let body = json!({ "force": true });
    let (status, rotated) = api.call(&credential, "POST /issuers/a/rotate", &body).await;
    assert_eq!(status, 200, "{rotated}");
}

// Issue 10, case 14: one reading far ahead made the successor ready at +366 d.
#[tokio::test]
async fn what_a_clock_made_too_late_is_put_back_when_it_is_said_to_be_right() {
    let (world, api, credential) = world().await;
    world.issuer("b", json!({})).await;
    let correct = async || {
        let body = json!({ "reason": "a bad battery" });
        let (status, answer) = api.call(&credential, "POST /clock/correct", &body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let now = BEGIN.floor_seconds();
    assert_eq!(correct().await, json!({ "corrected": [], "now": now }));

    world.clock.set_wall(BEGIN.after(YEAR));
    assert_eq!(rotate(&api, &credential).await.0, 503);
    world.clock.set(BEGIN.after(YEAR + seconds(10)));
    assert_eq!(rotate(&api, &credential).await.0, 200);
    assert!(ready_at(&api, &credential).await > now + 366 * DAY);

    let right = BEGIN.after(seconds(60));
    world.clock.set_wall(right);
    let shown = right.floor_seconds();
    // The issuer `b` was not changed meanwhile and keeps its times.
    assert_eq!(correct().await, json!({ "corrected": ["a"], "now": shown }));
    let ready = ready_at(&api, &credential).await;
    assert!((shown..=shown + DAY).contains(&ready), "{ready}");
    assert_eq!(correct().await, json!({ "corrected": [], "now": shown }));

    let (_, log) = api
        .call(
            &credential,
            "GET /audit?event=clock-corrected",
            &Value::Null,
        )
        .await;
    let events = log["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{log}");
    assert_eq!(events[0]["issuer"], "a");
    assert_eq!(events[0]["reason"], "a bad battery");
    assert_eq!(events[0]["actor"]["kind"], "client");
    assert_eq!(events[0]["by_seconds"], 366 * DAY + 10 - 60);

    world.clock.set(Timestamp::from_seconds(ready));
    let (status, rotated) = rotate(&api, &credential).await;
    assert_eq!(status, 200, "{rotated}");
    assert!(ready_at(&api, &credential).await <= ready + 2 * DAY);
}

#[tokio::test]
async fn a_restart_after_the_correction_does_not_remember_the_wrong_time() {
    let (world, api, credential) = world().await;
    world.clock.set_wall(BEGIN.after(YEAR));
    assert_eq!(rotate(&api, &credential).await.0, 503);
    world.clock.set(BEGIN.after(YEAR + seconds(10)));
    world.authority.now();
    world.authority.store_witness().await.unwrap();
    world.clock.set_wall(BEGIN);
    let body = json!({ "reason": "a bad battery" });
    let (status, _) = api.call(&credential, "POST /clock/correct", &body).await;
    assert_eq!(status, 200);
    let world = World::on(world.store, keywright::clock::Clock::manual(BEGIN)).await;
    let api = Api::of(&world);
    assert_eq!(rotate(&api, &credential).await.0, 200);
    let latest = BEGIN.floor_seconds() + 2 * DAY;
    assert!(ready_at(&api, &credential).await < latest);
}

#[tokio::test]
async fn only_a_security_client_of_all_issuers_says_that_the_clock_was_wrong_and_says_why() {
    let (world, api, credential) = world().await;
    let limits = json!({ "roles": ["security"], "limits": { "issuers": ["a"] } });
    let (_, limited) = world.client(limits).await;
    let (_, auditor) = world.client(json!({ "roles": ["auditor", "admin"] })).await;
    let reason = json!({ "reason": "a drill" });
    for (caller, body, expected) in [
        (&limited, &reason, (403, "client-limit")),
        (&auditor, &reason, (403, "role-missing")),
        (&credential, &json!({}), (400, "field-missing")),
        (
            &credential,
            &json!({ "reason": "" }),
            (400, "invalid-reason"),
        ),
    ] {
        let (status, problem) = api.call(caller, "POST /clock/correct", body).await;
        let code = problem["code"].as_str().unwrap();
        assert_eq!((status, code), expected, "{body}");
    }
}

/// The claims of a token for this subject, or the code of the refusal; time passes while it is held.
async fn sign(world: &World, api: &Api, credential: &str, subject: &str) -> Result<Value, Value> {
    let body = json!({ "claims": { "sub": subject } });
    let (api, credential) = (api.clone(), credential.to_owned());
    let call = async move { api.call(&credential, "POST /issuers/a/tokens", &body).await };
    let mut call = tokio::spawn(call);
    let begun = world.clock.read().wall;
    let (status, answer) = loop {
        tokio::select! {
            answer = &mut call => break answer.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(2)) => {
                world.clock.set(world.clock.read().wall.after(Duration::from_millis(50)));
            }
        }
    };
    let held = world.clock.read().wall.since(begun);
    assert!(held < seconds(3), "{subject} was held for {held:?}");
    match status {
        201 => {
            let token = answer["token"].as_str().unwrap();
            Ok(keywright_verifier::Jws::inspect(token, 65_536)
                .unwrap()
                .claims
                .into())
        }
        _ => {
            assert_eq!(status, 503, "{answer}");
            Err(answer["code"].clone())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_dead_at_birth_when_the_clock_is_set_back_after_a_revocation() {
    let (world, api, credential) = world().await;
    let body = json!({ "subject": "user-1" });
    let call = "POST /issuers/a/revocations";
    let (status, revoked) = api.call(&credential, call, &body).await;
    assert_eq!(status, 201, "{revoked}");
    let issued_before = revoked["issued_before"].as_u64().unwrap();
    // Held until its time has come.
    let claims = sign(&world, &api, &credential, "user-1").await.unwrap();
    assert!(claims["iat"].as_u64().unwrap() >= issued_before);
    world.clock.set_wall(BEGIN.before(seconds(60)));
    assert_eq!(
        sign(&world, &api, &credential, "user-1").await.unwrap_err(),
        "revocation-settling"
    );
    sign(&world, &api, &credential, "user-2").await.unwrap();
    world.clock.set(Timestamp::from_seconds(issued_before));
    let claims = sign(&world, &api, &credential, "user-1").await.unwrap();
    assert!(claims["iat"].as_u64().unwrap() >= issued_before);
}
