//! A stream of security events whose receiver refuses a token for a week: it is told that its stream is paused.

use std::sync::Arc;
use std::time::Duration;

use keywright::access::{Limits, Role, Terms};
use keywright::authority::audit::Actor;
use keywright::authority::event_streams::{
    AuthorizationChange, EventStreamTerms, EventStreamTransmitter,
};
use keywright::authority::request::Request;
use keywright::authority::revocations::RevocationDraft;
use keywright::authority::webhooks::Sender;
use keywright::event_stream::{DeliveryMethod, SESSION_REVOKED, STREAM_UPDATED};
use keywright::revocation::Ban;
use keywright::webhook::DeliveryState;
use keywright_verifier::Jws;
use keywright_verifier::revocation::{Selector, SelectorKind};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::world::{SECOND, World};

const DAY: Duration = Duration::from_secs(86_400);

type Claims = Map<String, Value>;

/// A receiver that refuses each token but one that says something of its stream.
async fn receiver() -> (String, mpsc::UnboundedReceiver<Claims>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let (told, tokens) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut received = Vec::new();
            let token = loop {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0);
                let text = String::from_utf8_lossy(&received).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let mut lines = head.lines();
                let length = lines.find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.unwrap().parse().unwrap() {
                    break body.to_owned();
                }
            };
            let claims = Jws::inspect(&token, 65_536).unwrap().claims;
            let status = match claims["events"].get(STREAM_UPDATED) {
                Some(_) => 202,
                None => 400,
            };
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            told.send(claims).unwrap();
        }
    });
    (url, tokens)
}

/// The next token, while so much time passes at a time.
async fn next(
    world: &World,
    tokens: &mut mpsc::UnboundedReceiver<Claims>,
    step: Duration,
) -> Claims {
    let waits = async {
        loop {
            match tokens.try_recv() {
                Ok(claims) => return claims,
                Err(_) => world.pass(step).await,
            }
        }
    };
    let token = tokio::time::timeout(SECOND * 20, waits).await;
    token.expect("a token")
}

#[tokio::test]
async fn a_receiver_that_refuses_a_token_for_a_week_is_told_once_that_its_stream_is_paused() {
    let world = World::new().await;
    let authority = &world.authority;
    // No key changes meanwhile.
    let rotation = json!({"rotation": {"every": "300d"}, "max_token_ttl": "30d"});
    let issuer = world.create("a", rotation).await;
    let terms = Terms {
        name: "gateway".to_owned(),
        roles: [Role::Receiver].into(),
        limits: Limits::default(),
        certificates: Vec::new(),
        workloads: Vec::new(),
        keys: None,
    };
    let client = authority.draft_client(terms).unwrap();
    let id = client.id.clone();
    authority
        .admit_client(client, Actor::Bootstrap)
        .await
        .unwrap();
    let (url, mut tokens) = receiver().await;
    let terms = EventStreamTerms {
        method: DeliveryMethod::Push(url),
        authorization: AuthorizationChange::Erase,
        events_requested: None,
        description: None,
    };
    let actor = Actor::Bootstrap;
    let stream = authority.create_event_stream(&issuer, &id, terms, &actor);
    let stream = stream.await.unwrap();
    let local = "127.0.0.0/8".parse().unwrap();
    let transmitter = EventStreamTransmitter::new(Arc::clone(authority), Sender::new(vec![local]));
    let pushes = tokio::spawn(Arc::new(transmitter).run());
    let draft = RevocationDraft {
        selector: Selector::new(SelectorKind::Subject, &["user-1"]).unwrap(),
        ban: Some(Ban::UntilLifted),
        reason: None,
    };
    let taken = authority.take_tokens_back(&issuer, vec![draft], Request::by(Actor::Bootstrap));
    taken.await.unwrap();

    let refused = next(&world, &mut tokens, SECOND).await;
    assert!(refused["events"].get(SESSION_REVOKED).is_some());
    assert_eq!(
        next(&world, &mut tokens, SECOND).await["jti"],
        refused["jti"]
    );
    world.pass(DAY * 7).await;
    let last = next(&world, &mut tokens, SECOND).await;
    assert_eq!(last["jti"], refused["jti"]);
    let update = next(&world, &mut tokens, SECOND).await;
    let event = &update["events"][STREAM_UPDATED];
    assert_eq!(event, &json!({"status": "paused", "reason": "status 400"}));
    assert_eq!(
        update["sub_id"],
        json!({"format": "opaque", "id": stream.id})
    );
    assert_ne!(update["jti"], refused["jti"]);
    for member in ["sub", "exp", "txn"] {
        assert_eq!(update.get(member), None);
    }
    // That it took this one does not make it a receiver again.
    for _ in 0..20 {
        world.pass(DAY).await;
    }
    assert!(tokens.try_recv().is_err());
    let paused = authority.event_stream(issuer.name(), &id, &stream.id).await;
    let state = paused.unwrap().stream.delivery.state;
    assert!(matches!(state, DeliveryState::Paused { .. }), "{state:?}");
    pushes.abort();
}
