//! What the response of a revocation promises, with a clock that is passed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use keywright::authority::issuer::Issuer;
use keywright::authority::revocations::{FeedRefusal, FeedRequest};
use keywright::lifecycle::IssuerName;
use keywright::store::{Kind, Query};
use keywright_verifier::Jws;
use keywright_verifier::revocation::{Head, HeadKind, RevocationTable, selectors_of};
use serde_json::{Value, json};
use tokio::task::JoinSet;

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

const CALLERS: usize = 10_000;

/// What so many callers are told that ask at the same time.
async fn ask(
    world: &World,
    issuer: &Arc<Issuer>,
    request: FeedRequest,
) -> Vec<Result<String, FeedRefusal>> {
    let mut asking = asking(world, issuer, &request);
    let mut told = Vec::new();
    while let Some(answer) = asking.join_next().await {
        told.push(answer.unwrap());
    }
    told
}

fn asking(
    world: &World,
    issuer: &Arc<Issuer>,
    request: &FeedRequest,
) -> JoinSet<Result<String, FeedRefusal>> {
    let mut asking = JoinSet::new();
    for _ in 0..CALLERS {
        let (authority, issuer, request) = (
            Arc::clone(&world.authority),
            Arc::clone(issuer),
            request.clone(),
        );
        asking.spawn(async move {
            let head = authority.revocation_head(&issuer, &request).await?;
            Ok(head.jws)
        });
    }
    asking
}

fn different(told: Vec<Result<String, FeedRefusal>>) -> HashSet<String> {
    told.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn all_who_ask_within_a_second_share_one_signature() {
    let world = World::new().await;
    let issuer = world.issuer("a", json!({})).await;
    // A signature has something random in it: two of the same head would not be the same.
    let first = different(ask(&world, &issuer, FeedRequest::default()).await);
    assert_eq!(first.len(), 1);
    world.clock.set(BEGIN.after(Duration::from_millis(999)));
    assert_eq!(
        different(ask(&world, &issuer, FeedRequest::default()).await),
        first
    );
    world.clock.set(BEGIN.after(Duration::from_secs(1)));
    let second = different(ask(&world, &issuer, FeedRequest::default()).await);
    assert_eq!(second.len(), 1);
    assert_ne!(first, second);
}

#[tokio::test]
async fn ten_thousand_that_wait_are_told_by_one_signature() {
    let world = World::new().await;
    let issuer = world.issuer("a", json!({})).await;
    let (_, credential) = world.client(json!({ "roles": ["security"] })).await;
    let api = Api::of(&world);
    let known = world
        .authority
        .revocation_head(&issuer, &FeedRequest::default())
        .await;
    let known = root_of(&known.unwrap().jws);
    let request = FeedRequest {
        known: Some(known),
        wait: Duration::from_secs(25),
        ..FeedRequest::default()
    };
    let mut waiting = asking(&world, &issuer, &request);
    world.clock.set(BEGIN.after(Duration::from_secs(2)));
    tokio::task::yield_now().await;
    assert!(waiting.try_join_next().is_none(), "nothing has changed");
    take_back(&api, &credential).await;
    let mut told = HashSet::new();
    while let Some(answer) = waiting.join_next().await {
        told.insert(answer.unwrap().unwrap());
    }
    assert_eq!(told.len(), 1);
    assert_ne!(root_of(told.iter().next().unwrap()), known);
}

fn root_of(jws: &str) -> [u8; 32] {
    let claims = Jws::inspect(jws, 65_536).unwrap().claims;
    Head::read(claims, HeadKind::Feed).unwrap().content.root()
}

#[tokio::test]
async fn of_ten_thousand_that_want_a_head_of_their_own_some_get_one_and_the_others_are_busy() {
    let world = World::new().await;
    let issuer = world.issuer("a", json!({})).await;
    let request = FeedRequest {
        nonce: Some("n".to_owned()),
        ..FeedRequest::default()
    };
    let told = ask(&world, &issuer, request).await;
    let (signed, refused): (Vec<_>, Vec<_>) = told.into_iter().partition(Result::is_ok);
    assert_eq!(different(signed).len(), 400);
    assert!(
        refused
            .iter()
            .all(|refusal| *refusal == Err(FeedRefusal::Busy))
    );
}

/// What is stored of the revocations of the issuer `a`.
async fn stored(world: &World) -> String {
    let issuer = IssuerName::parse("a").unwrap();
    let query = Query::owned(Kind::Revocation, &issuer);
    let records = world.store.list(query).await.unwrap();
    records.into_iter().map(|record| record.document).collect()
}

/// Whether a verifier that follows the feed refuses a token of this subject from before.
async fn is_refused(world: &World, subject: &str) -> bool {
    let issuer = world.authority.issuer("a").unwrap();
    let request = FeedRequest::default();
    let head = world.authority.revocation_head(&issuer, &request).await;
    let claims = Jws::inspect(&head.unwrap().jws, 65_536).unwrap().claims;
    let head = Head::read(claims, HeadKind::Feed).unwrap();
    let table = RevocationTable::new(&head.content, &[]).unwrap();
    let token = json!({ "sub": subject, "jti": "one" });
    let selectors = selectors_of(|name| token.get(name)).unwrap();
    table
        .find(selectors.iter(), Some(BEGIN.floor_seconds()), 0)
        .is_some()
}

#[tokio::test]
async fn what_a_revocation_says_of_people_is_erased_and_their_tokens_stay_refused() {
    let world = World::new().await;
    let roles = json!(["security", "admin", "auditor", "issuer"]);
    let (_, credential) = world.client(json!({ "roles": roles })).await;
    let (_, revoker) = world.client(json!({ "roles": ["revoker"] })).await;
    let api = Api::of(&world);
    set_max_age(&api, &credential, "1h").await;
    let body = json!({ "subject": "alice@example.com", "ban": true, "reason": "INC-1: alice" });
    let call = "POST /issuers/a/revocations";
    let (_, revoked) = api.call(&credential, call, &body).await;
    let one = format!("/issuers/a/revocations/{}", revoked["id"].as_str().unwrap());
    let erase = async |credential: &str| {
        let call = format!("POST {one}/erase");
        api.call(credential, &call, &Value::Null).await
    };
    assert_eq!(erase(&revoker).await.0, 403);
    assert!(stored(&world).await.contains("alice"));
    let (status, erased) = erase(&credential).await;
    assert_eq!((status, &erased["selector"]), (200, &json!({})), "{erased}");
    assert_eq!(erased["erased"], true);
    assert_eq!(erased["issued_before"], revoked["issued_before"]);
    assert_eq!(erase(&credential).await, (200, erased.clone()));
    assert_eq!(erased["ban"], true);
    let world = world.restarted().await;
    let api = Api::of(&world);
    let (_, listed) = api
        .call(&credential, "GET /issuers/a/revocations", &Value::Null)
        .await;
    let texts = [stored(&world).await, erased.to_string(), listed.to_string()];
    assert!(
        texts.iter().all(|text| !text.contains("alice")),
        "{texts:?}"
    );
    assert!(is_refused(&world, "alice@example.com").await);
    assert!(!is_refused(&world, "bob@example.com").await);
    // Two minutes later no signature is under way, and the ban still holds, until it is lifted.
    world.clock.set(BEGIN.after(Duration::from_secs(130)));
    let sign = async |subject: &str| {
        let body = json!({ "claims": { "sub": subject } });
        let (status, signed) = api.call(&credential, "POST /issuers/a/tokens", &body).await;
        (status, signed["code"].clone())
    };
    let alice = "alice@example.com";
    assert_eq!(sign(alice).await, (403, json!("banned")));
    assert_eq!(sign("bob@example.com").await.0, 201);
    let lift = format!("DELETE {one}");
    assert_eq!(api.call(&credential, &lift, &Value::Null).await.0, 204);
    assert_eq!(sign(alice).await.0, 201);

    let (_, log) = api
        .call(
            &credential,
            "GET /audit?event=revocation-erased",
            &Value::Null,
        )
        .await;
    let (_, opened) = api
        .call(&credential, "GET /audit?event=tokens-revoked", &Value::Null)
        .await;
    let events = log["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{log}");
    assert_eq!(
        events[0]["selector_hash"],
        opened["events"][0]["selector_hash"]
    );
    assert!(!log.to_string().contains("alice"));
    let none = api
        .call(
            &credential,
            "POST /issuers/a/revocations/none/erase",
            &Value::Null,
        )
        .await;
    assert_eq!(
        (none.0, &none.1["code"]),
        (404, &json!("unknown-revocation"))
    );
}
