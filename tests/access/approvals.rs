//! Two people: what one asks for waits for another one, and happens once or never.

use std::time::Duration;

use keywright::lifecycle::IssuerName;
use serde_json::{Value, json};

use crate::world::{Api, BEGIN, World};

/// An issuer that wants a second person, and the people around it.
struct Scene {
    world: World,
    api: Api,
    /// Two with the role security, one with admin, one with auditor, one with issuer.
    alice: String,
    bob: String,
    admin: String,
    auditor: String,
    signer: String,
}

async fn scene() -> Scene {
    let world = World::new().await;
    world
        .issuer("a", json!({"confirmation": "second-person"}))
        .await;
    world
        .issuer("b", json!({"confirmation": "second-person"}))
        .await;
    let client = async |name: &str, role: &str| {
        let document = json!({"name": name, "roles": [role]});
        world.client(document).await.1
    };
    Scene {
        alice: client("alice", "security").await,
        bob: client("bob", "security").await,
        admin: client("admin", "admin").await,
        auditor: client("auditor", "auditor").await,
        signer: client("signer", "issuer").await,
        api: Api::of(&world),
        world,
    }
}

impl Scene {
    async fn call(&self, who: &str, call: &str, body: Value) -> (u16, Value) {
        self.api.call(who, call, &body).await
    }

    /// Asks, and answers the approval that must be waited for.
    async fn asks(&self, who: &str, call: &str, body: Value) -> String {
        let before = self.keys().await;
        let (status, answer) = self.call(who, call, body).await;
        assert_eq!(status, 202, "{call}: {answer}");
        assert_eq!(self.keys().await, before, "{call} has changed something");
        answer["approval"]["id"].as_str().unwrap().to_owned()
    }

    async fn confirms(&self, who: &str, approval: &str) -> (u16, Value) {
        let call = format!("POST /approvals/{approval}/confirm");
        self.call(who, &call, Value::Null).await
    }

    async fn keys(&self) -> Value {
        let (status, keys) = self
            .call(&self.auditor, "GET /issuers/a/keys", Value::Null)
            .await;
        assert_eq!(status, 200);
        keys
    }

    async fn kid(&self, state: &str) -> String {
        let keys = self.keys().await;
        let keys = keys["keys"].as_array().unwrap().clone();
        let found = keys.iter().find(|key| key["state"] == state).unwrap();
        found["kid"].as_str().unwrap().to_owned()
    }

    /// Waits for the key that a change has left to be generated.
    async fn has_successor(&self) {
        let is_pending = |key: &Value| key["state"] == "pending";
        while !self.keys().await["keys"]
            .as_array()
            .unwrap()
            .iter()
            .any(is_pending)
        {
            tokio::task::yield_now().await;
        }
    }

    async fn events(&self) -> Vec<Value> {
        let (_, page) = self
            .call(&self.auditor, "GET /audit?limit=1000", Value::Null)
            .await;
        page["events"].as_array().unwrap().clone()
    }

    async fn waiting(&self, who: &str) -> usize {
        let (status, page) = self.call(who, "GET /approvals", Value::Null).await;
        assert_eq!(status, 200);
        page["approvals"].as_array().unwrap().len()
    }

    async fn signs(&self, issuer: &str) -> u16 {
        let call = format!("POST /issuers/{issuer}/tokens");
        self.call(&self.signer, &call, json!({"claims": {}}))
            .await
            .0
    }
}

const FORCE: &str = "POST /issuers/a/rotate";

fn force() -> Value {
    json!({"force": true, "reason": "drill"})
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn each_operation_that_can_lock_verifiers_out_waits_and_changes_nothing() {
    let scene = scene().await;
    let (active, pending) = (scene.kid("active").await, scene.kid("pending").await);
    let revoke = format!("POST /issuers/a/keys/{active}/revoke");
    let discard = json!({"reason": "leak", "discard_successor": true});
    scene.asks(&scene.alice, FORCE, force()).await;
    scene.asks(&scene.alice, &revoke, discard.clone()).await;
    let of_pending = format!("POST /issuers/a/keys/{pending}/revoke");
    scene.asks(&scene.alice, &of_pending, discard).await;
    scene
        .asks(
            &scene.alice,
            "POST /issuers/a/delete",
            json!({"reason": "over"}),
        )
        .await;
    let off = json!({"url": "https://id.example.com/a", "algorithms": ["ES256"]});
    scene.asks(&scene.admin, "PUT /issuers/a", off).await;
    assert_eq!(scene.waiting(&scene.bob).await, 5);
    assert_eq!(scene.signs("a").await, 201);
    // What locks no verifier out does not wait: a plain revocation once the successor is ready.
    scene
        .world
        .clock
        .set(BEGIN.after(Duration::from_secs(30 * 24 * 3600)));
    let done = scene
        .call(&scene.alice, &revoke, json!({"reason": "leak"}))
        .await;
    assert_eq!(done.0, 200, "{}", done.1);
}

#[tokio::test]
async fn two_plain_revocations_do_not_do_what_one_must_not_do_alone() {
    let scene = scene().await;
    scene
        .world
        .clock
        .set(BEGIN.after(Duration::from_secs(2 * 24 * 3600)));
    let plain = json!({"reason": "leak"});
    let pending = format!("POST /issuers/a/keys/{}/revoke", scene.kid("pending").await);
    assert_eq!(
        scene.call(&scene.alice, &pending, plain.clone()).await.0,
        200
    );
    scene.has_successor().await;
    let active = format!("POST /issuers/a/keys/{}/revoke", scene.kid("active").await);
    scene.asks(&scene.alice, &active, plain).await;
}

#[tokio::test]
async fn a_second_person_confirms_and_the_log_names_both() {
    let scene = scene().await;
    let before = scene.kid("active").await;
    let approval = scene.asks(&scene.alice, FORCE, force()).await;
    let own = scene.confirms(&scene.alice, &approval).await;
    assert_eq!(code(&own), (403, "own-approval"));
    for who in [&scene.admin, &scene.auditor, &scene.signer] {
        let other = scene.confirms(who, &approval).await;
        assert_eq!(code(&other), (403, "role-missing"));
    }
    assert_eq!(scene.kid("active").await, before);
    let done = scene.confirms(&scene.bob, &approval).await;
    assert_eq!(done.0, 200, "{}", done.1);
    assert_ne!(scene.kid("active").await, before);
    let again = scene.confirms(&scene.bob, &approval).await;
    assert_eq!(code(&again), (409, "approval-ended"));
    let events = scene.events().await;
    let of_key: Vec<&Value> = events
        .iter()
        .filter(|event| event["kid"] == before.as_str())
        .collect();
    let rotation = of_key.last().unwrap();
    assert_eq!(rotation["actor"]["name"], "alice", "{rotation}");
    assert_eq!(rotation["confirmed_by"]["name"], "bob", "{rotation}");
    assert_eq!(rotation["reason"], "drill", "{rotation}");
    let text = json!(events).to_string();
    for secret in [&scene.alice, &scene.bob] {
        assert!(!text.contains(&secret[20..]));
    }
}

#[tokio::test]
async fn turning_the_second_person_off_takes_one() {
    let scene = scene().await;
    let off = json!({"url": "https://id.example.com/a", "algorithms": ["ES256"]});
    let approval = scene.asks(&scene.admin, "PUT /issuers/a", off).await;
    assert_eq!(scene.confirms(&scene.alice, &approval).await.0, 200);
    let (status, answer) = scene.call(&scene.alice, FORCE, force()).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn what_is_rejected_or_too_old_cannot_be_confirmed() {
    let scene = scene().await;
    let before = scene.keys().await;
    let approval = scene.asks(&scene.alice, FORCE, force()).await;
    let reject = format!("DELETE /approvals/{approval}");
    assert_eq!(scene.call(&scene.bob, &reject, Value::Null).await.0, 204);
    for again in [
        scene.confirms(&scene.bob, &approval).await,
        scene.call(&scene.bob, &reject, Value::Null).await,
    ] {
        assert_eq!(code(&again), (409, "approval-ended"));
        let told = again.1["detail"].as_str().unwrap();
        assert!(told.contains("approval-rejected by bob"), "{told}");
    }
    // The client that asked may take it back.
    let approval = scene.asks(&scene.alice, FORCE, force()).await;
    let reject = format!("DELETE /approvals/{approval}");
    assert_eq!(scene.call(&scene.alice, &reject, Value::Null).await.0, 204);

    let approval = scene.asks(&scene.alice, FORCE, force()).await;
    let late = BEGIN.after(Duration::from_secs(15 * 60));
    scene.world.clock.set(late);
    assert_eq!(
        code(&scene.confirms(&scene.bob, &approval).await),
        (404, "unknown-approval")
    );
    assert_eq!(scene.waiting(&scene.bob).await, 0);
    assert_eq!(scene.keys().await, before);
    // The next one that is asked for clears it away, and the log says so.
    let approval = scene.asks(&scene.alice, FORCE, force()).await;
    scene
        .world
        .clock
        .set(late.after(Duration::from_millis(15 * 60 * 1000 - 1)));
    assert_eq!(
        scene.confirms(&scene.bob, &approval).await.0,
        200,
        "to the last moment"
    );
    let names: Vec<Value> = scene
        .events()
        .await
        .iter()
        .map(|event| event["event"].clone())
        .collect();
    for name in [
        "approval-requested",
        "approval-rejected",
        "approval-expired",
        "approval-confirmed",
    ] {
        assert!(
            names.contains(&json!(name)),
            "{name} is not among {names:?}"
        );
    }
}

#[tokio::test]
async fn what_waits_outlives_a_restart() {
    let mut scene = scene().await;
    let before = scene.kid("active").await;
    let approval = scene.asks(&scene.alice, FORCE, force()).await;
    scene.world = scene.world.restarted().await;
    scene.api = Api::of(&scene.world);
    assert_eq!(
        code(&scene.confirms(&scene.alice, &approval).await),
        (403, "own-approval")
    );
    assert_eq!(scene.confirms(&scene.bob, &approval).await.0, 200);
    assert_ne!(scene.kid("active").await, before);
}

#[tokio::test]
async fn of_two_that_confirm_at_once_one_does() {
    let scene = scene().await;
    let (_, carol) = scene
        .world
        .client(json!({"name": "carol", "roles": ["security"]}))
        .await;
    for _ in 0..20 {
        let approval = scene.asks(&scene.alice, FORCE, force()).await;
        let version = scene.keys().await;
        let (one, other) = tokio::join!(
            scene.confirms(&scene.bob, &approval),
            scene.confirms(&carol, &approval),
        );
        assert!((one.0 == 200) != (other.0 == 200), "{one:?} {other:?}");
        let (winner, loser) = if one.0 == 200 {
            ("bob", other)
        } else {
            ("carol", one)
        };
        assert_eq!(code(&loser), (409, "approval-ended"));
        let told = loser.1["detail"].as_str().unwrap();
        let winner = format!("approval-confirmed by {winner}");
        assert!(told.contains(&winner), "{told}");
        assert_ne!(scene.keys().await, version);
        // Room for the next one: what has retired leaves.
        let now = scene.world.clock.now();
        scene
            .world
            .clock
            .set(now.after(Duration::from_secs(90 * 24 * 3600)));
    }
    let events = scene.events().await;
    let confirmed = events
        .iter()
        .filter(|event| event["event"] == "approval-confirmed")
        .count();
    assert_eq!(confirmed, 20);
}

#[tokio::test]
async fn a_client_of_other_issuers_neither_sees_nor_decides() {
    let scene = scene().await;
    let limits = json!({"issuers": ["b"]});
    let document = json!({"name": "carol", "roles": ["security"], "limits": limits});
    let (_, carol) = scene.world.client(document).await;
    let approval = scene.asks(&scene.alice, FORCE, force()).await;
    assert_eq!(scene.waiting(&carol).await, 0);
    assert_eq!(
        code(&scene.confirms(&carol, &approval).await),
        (403, "client-limit")
    );
    let reject = format!("DELETE /approvals/{approval}");
    let rejected = scene.call(&carol, &reject, Value::Null).await;
    assert_eq!(code(&rejected), (403, "client-limit"));
    assert_eq!(
        code(&scene.call(&carol, FORCE, force()).await),
        (403, "client-limit")
    );
    assert_eq!(scene.waiting(&scene.bob).await, 1);
}

#[tokio::test]
async fn one_client_takes_no_place_from_another_and_one_issuer_none_from_another() {
    let scene = scene().await;
    let of_b = FORCE.replace("/a/", "/b/");
    for _ in 0..5 {
        scene.asks(&scene.alice, FORCE, force()).await;
        scene.asks(&scene.alice, &of_b, force()).await;
    }
    for full in [FORCE, &of_b] {
        let one_more = scene.call(&scene.alice, full, force()).await;
        assert_eq!(code(&one_more), (409, "too-many-approvals"));
    }
    // 20 on an issuer, of at least four clients.
    for name in ["carol", "dave", "erin"] {
        let document = json!({"name": name, "roles": ["security"]});
        let other = scene.world.client(document).await.1;
        for _ in 0..5 {
            scene.asks(&other, FORCE, force()).await;
        }
    }
    let one_more = scene.call(&scene.bob, FORCE, force()).await;
    assert_eq!(code(&one_more), (409, "too-many-approvals"));
    let approval = scene.asks(&scene.bob, &of_b, force()).await;
    // What is taken back makes room, and so does time.
    let reject = format!("DELETE /approvals/{approval}");
    assert_eq!(scene.call(&scene.bob, &reject, Value::Null).await.0, 204);
    for _ in 0..5 {
        scene.asks(&scene.bob, &of_b, force()).await;
    }
    let late = BEGIN.after(Duration::from_secs(15 * 60));
    scene.world.clock.set(late);
    for _ in 0..5 {
        scene.asks(&scene.alice, FORCE, force()).await;
    }
    assert_eq!(scene.waiting(&scene.bob).await, 5);
}

/// Takes two people, as the second one is no longer wanted then.
fn off() -> Value {
    json!({"url": "https://id.example.com/a", "algorithms": ["ES256"]})
}

#[tokio::test]
async fn a_policy_that_was_asked_for_does_not_undo_one_that_was_set_meanwhile() {
    let scene = scene().await;
    let ask = async || scene.asks(&scene.admin, "PUT /issuers/a", off()).await;
    let (first, other) = (ask().await, ask().await);
    let longer = json!({
        "url": "https://id.example.com/a", "algorithms": ["ES256"],
        "rotation": {"every": "40d"}, "confirmation": "second-person",
    });
    let set = scene.call(&scene.admin, "PUT /issuers/a", longer).await;
    assert_eq!(set.0, 200, "{}", set.1);
    for outdated in [&first, &other] {
        let refused = scene.confirms(&scene.bob, outdated).await;
        assert_eq!(code(&refused), (409, "approval-outdated"));
    }
    // It waits on, and can be rejected.
    let reject = format!("DELETE /approvals/{first}");
    assert_eq!(scene.call(&scene.bob, &reject, Value::Null).await.0, 204);
    // A change of keys is none of the policy.
    let again = ask().await;
    let rotation = scene.asks(&scene.alice, FORCE, force()).await;
    assert_eq!(scene.confirms(&scene.bob, &rotation).await.0, 200);
    assert_eq!(scene.confirms(&scene.bob, &again).await.0, 200);
}

#[tokio::test]
async fn what_was_asked_of_another_active_key_is_not_done_to_this_one() {
    let scene = scene().await;
    let active = scene.kid("active").await;
    let revoke = format!("POST /issuers/a/keys/{active}/revoke");
    let discard = json!({"reason": "leak", "discard_successor": true});
    let outdated = [
        scene.asks(&scene.alice, FORCE, force()).await,
        scene.asks(&scene.alice, &revoke, discard).await,
    ];
    let policy = scene.asks(&scene.admin, "PUT /issuers/a", off()).await;
    let over = json!({"reason": "over"});
    let delete = scene
        .asks(&scene.alice, "POST /issuers/a/delete", over)
        .await;
    let rotation = scene.asks(&scene.alice, FORCE, force()).await;
    assert_eq!(scene.confirms(&scene.bob, &rotation).await.0, 200);
    let keys = scene.keys().await;
    for approval in &outdated {
        let refused = scene.confirms(&scene.bob, approval).await;
        assert_eq!(code(&refused), (409, "approval-outdated"));
    }
    assert_eq!(scene.keys().await, keys);
    // A policy does not rest on the keys, and a deletion on nothing.
    for approval in [&policy, &delete] {
        assert_eq!(scene.confirms(&scene.bob, approval).await.0, 200);
    }
}

#[tokio::test]
async fn what_a_client_asked_for_ends_with_its_right_to_ask() {
    let takes_right_away: [(&str, Value); 4] = [
        ("DELETE", Value::Null),
        ("PUT", json!({"name": "alice", "roles": ["auditor"]})),
        (
            "PUT",
            json!({"name": "alice", "roles": ["security"], "limits": {"issuers": ["b"]}}),
        ),
        (
            "PUT",
            json!({"name": "alice", "roles": ["issuer", "admin"]}),
        ),
    ];
    for (method, terms) in takes_right_away {
        let scene = scene().await;
        let before = scene.keys().await;
        let approval = scene.asks(&scene.alice, FORCE, force()).await;
        let alice = scene.world.admit(&scene.alice).await.unwrap();
        let call = format!("{method} /clients/{}", alice.id());
        let (status, answer) = scene.call(&scene.admin, &call, terms).await;
        assert!([200, 204].contains(&status), "{answer}");
        let refused = scene.confirms(&scene.bob, &approval).await;
        assert_eq!(code(&refused), (404, "unknown-approval"));
        assert_eq!(scene.waiting(&scene.bob).await, 0);
        assert_eq!(scene.keys().await, before);
    }
}

#[tokio::test]
async fn a_client_that_has_been_deleted_since_confirms_nothing_and_what_it_asked_for_still_waits() {
    let scene = scene().await;
    let approval = scene.asks(&scene.alice, FORCE, force()).await;
    let bob = scene.world.admit(&scene.bob).await.unwrap();
    let call = format!("DELETE /clients/{}", bob.id());
    assert_eq!(scene.call(&scene.admin, &call, Value::Null).await.0, 204);
    assert_eq!(scene.confirms(&scene.bob, &approval).await.0, 401);
    assert_eq!(scene.waiting(&scene.alice).await, 1);
}

#[tokio::test]
async fn a_deleted_issuer_signs_no_more_and_its_name_and_url_stay_taken() {
    let mut scene = scene().await;
    let (active, before) = (scene.kid("active").await, scene.world.clock.now());
    let approval = scene
        .asks(
            &scene.alice,
            "POST /issuers/a/delete",
            json!({"reason": "over"}),
        )
        .await;
    scene.world.clock.set(BEGIN.after(Duration::from_secs(60)));
    let done = scene.confirms(&scene.bob, &approval).await;
    assert_eq!(done.0, 200, "{}", done.1);
    for _ in 0..2 {
        assert_eq!(scene.signs("a").await, 409);
        assert_eq!(scene.signs("b").await, 201);
        let (_, issuers) = scene.call(&scene.admin, "GET /issuers", Value::Null).await;
        let names: Vec<&Value> = issuers["issuers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["name"])
            .collect();
        assert_eq!(names, ["b"]);
        let put = |name: &str, url: &str| {
            let call = format!("PUT /issuers/{name}");
            let body =
                json!({"url": format!("https://id.example.com/{url}"), "algorithms": ["ES256"]});
            (call, body)
        };
        let (call, body) = put("a", "a");
        let again = scene.call(&scene.admin, &call, body).await;
        assert_eq!(code(&again), (409, "issuer-deleted"), "{}", again.1);
        let (call, body) = put("c", "a");
        let taken = scene.call(&scene.admin, &call, body).await;
        assert_eq!(code(&taken), (409, "issuer-url-taken"), "{}", taken.1);
        for (call, body) in [
            (FORCE.to_owned(), force()),
            (FORCE.to_owned(), json!({})),
            (
                format!("POST /issuers/a/keys/{active}/revoke"),
                json!({"reason": "leak"}),
            ),
            (
                "POST /issuers/a/delete".to_owned(),
                json!({"reason": "over"}),
            ),
        ] {
            let refused = scene.call(&scene.alice, &call, body).await;
            assert_eq!(
                code(&refused),
                (409, "issuer-deleted"),
                "{call}: {}",
                refused.1
            );
        }
        // What was can still be read.
        let keys = scene.keys().await;
        assert!(keys.to_string().contains(&active));
        let history = format!("GET /issuers/a/history?at={}", before.floor_seconds());
        let past = scene.call(&scene.auditor, &history, Value::Null).await;
        assert_eq!(past.0, 200, "{}", past.1);
        assert!(past.1.to_string().contains(&active));
        assert!(scene.world.authority.published_under("/a").is_none());
        scene.world.clock.set(BEGIN.after(Duration::from_secs(120)));
        scene.world = scene.world.restarted().await;
        scene.api = Api::of(&scene.world);
    }
    let stored = scene
        .world
        .store
        .key_set(&IssuerName::parse("a").unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(
        stored.keys.iter().all(|row| row.sealed.is_none()),
        "a private half is left"
    );
}
