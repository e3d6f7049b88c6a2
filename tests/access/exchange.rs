//! Time and revocations pass during an exchange, with a clock that is passed.

use std::time::Duration;

use keywright::authority::signing::{self, Origin, SignRefusal, SignRequest, Uses, sign};
use keywright_verifier::Jws;
use serde_json::{Map, Value, json};

use crate::world::{Api, BEGIN, World};

/// What is signed for a token of `web` that expires after ten seconds.
fn exchanged(parent: &Value) -> SignRequest<'static> {
    let object = |value: Value| value.as_object().unwrap().clone();
    let parents: Vec<Map<String, Value>> = vec![object(parent.clone())];
    SignRequest {
        claims: object(json!({"sub": "user-1", "aud": "billing", "client_id": "orders"})).into(),
        expires_in: None,
        typ: Some("at+jwt".into()),
        algorithm: None,
        origin: Some(Origin {
            claims: object(json!({"ancestor_jtis": ["parent"], "sid": "s"})).into(),
            ends_at: BEGIN.floor_seconds() + 10,
            parents,
        }),
        confirmation: None,
        uses: Uses::Unlimited,
        status: None,
    }
}

fn parent() -> Value {
    json!({"jti": "parent", "sub": "user-1", "client_id": "web", "iat": BEGIN.floor_seconds()})
}

#[tokio::test]
async fn a_token_that_expires_during_its_exchange_is_not_exchanged() {
    let world = World::new().await;
    let issuer = world.issuer("a", json!({})).await;
    let (id, _) = world.client(json!({})).await;
    let live = world.authority.clients().find(&id).unwrap();
    let signed = async |second: u64| {
        world.clock.set(BEGIN.after(Duration::from_secs(second)));
        sign(
            &issuer.leased_snapshot(),
            &live.client,
            exchanged(&parent()),
        )
        .await
    };
    let token = signed(9).await.unwrap();
    assert_eq!(token.expires_at, BEGIN.floor_seconds() + 10);
    for second in [10, 11] {
        let refused = signed(second).await.err();
        assert_eq!(refused, Some(SignRefusal::OriginExpired), "{second}");
    }
}

/// The new token says nothing of the client whose tokens are taken back, and is issued after the second
/// before which those are refused: only the token that was shown tells.
#[tokio::test]
async fn a_token_that_is_taken_back_during_its_exchange_is_not_exchanged() {
    let world = World::new().await;
    let roles = json!(["security", "admin", "issuer"]);
    let (id, credential) = world.client(json!({ "roles": roles })).await;
    let issuer = world.issuer("a", json!({})).await;
    let live = world.authority.clients().find(&id).unwrap();
    let view = issuer.leased_snapshot();
    let checked = signing::check(&view, &live.client, exchanged(&parent()));
    let (undisturbed, checked) = (
        signing::check(&view, &live.client, exchanged(&parent())).await,
        checked.await.unwrap(),
    );
    let token = undisturbed.unwrap().sign().await.unwrap().token;
    let claims = Jws::parse(&token, 8192)
        .unwrap()
        .unverified_claims()
        .unwrap();
    assert_eq!(
        (&claims["ancestor_jtis"], &claims["sid"]),
        (&json!(["parent"]), &json!("s"))
    );
    let body = json!({ "client": "web" });
    let call = "POST /issuers/a/revocations";
    let (status, answer) = Api::of(&world).call(&credential, call, &body).await;
    assert_eq!(status, 201, "{answer}");
    let refused = checked.sign().await.err();
    assert_eq!(refused, Some(SignRefusal::OriginTakenBack));
    world.clock.set(BEGIN.after(Duration::from_secs(5)));
    let later = sign(
        &issuer.leased_snapshot(),
        &live.client,
        exchanged(&parent()),
    )
    .await;
    assert_eq!(later.err(), Some(SignRefusal::OriginTakenBack));
    // A token of the same client from after that is exchanged.
    let mut young = parent();
    young["iat"] = json!(BEGIN.floor_seconds() + 5);
    let token = sign(&issuer.leased_snapshot(), &live.client, exchanged(&young)).await;
    assert!(token.is_ok());
}
