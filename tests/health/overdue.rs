//! A rotation that is late, told to a receiver of webhooks: from the clock to the message.

use std::sync::Arc;
use std::time::Duration;

use keywright::authority::audit::Actor;
use keywright::authority::webhooks::{Sender, WebhookDeliverer};
use keywright::authority::{health, scheduler};
use keywright_api::WebhookEvent;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::world::{SECOND, World, active, eventually, ten_minutes};

/// A receiver of messages, which refuses the first one.
async fn receiver() -> (String, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (told, messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut status = 500;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut received = Vec::new();
            let (id, body) = loop {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0);
                let text = String::from_utf8_lossy(&received).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let header = |name: &str| {
                    let mut lines = head.lines();
                    lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
                };
                if body.len() >= header("content-length: ").unwrap().parse().unwrap() {
                    assert!(header("webhook-signature: v1,").is_some(), "{head}");
                    break (header("webhook-id: ").unwrap(), body.to_owned());
                }
            };
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            status = 204;
            told.send((id, serde_json::from_str(&body).unwrap()))
                .unwrap();
        }
    });
    (url, messages)
}

/// The next message, while time passes.
async fn next(
    world: &World,
    messages: &mut mpsc::UnboundedReceiver<(String, Value)>,
) -> (String, Value) {
    let waits = async {
        loop {
            match messages.try_recv() {
                Ok(message) => return message,
                Err(_) => world.pass(Duration::from_millis(100)).await,
            }
        }
    };
    tokio::time::timeout(SECOND * 20, waits)
        .await
        .expect("a message")
}

#[tokio::test]
async fn a_rotation_that_is_late_is_told_to_a_webhook_once_for_each_time_at_which_it_was_due() {
    let world = World::new().await;
    let issuer = world.create("a", ten_minutes()).await;
    let first = active(&issuer);
    let (url, mut messages) = receiver().await;
    let events = vec![WebhookEvent::RotationLate];
    let made = world
        .authority
        .create_webhook(url, events, &Actor::Bootstrap);
    made.await.unwrap();
    let local = "127.0.0.0/8".parse().unwrap();
    let deliverer = WebhookDeliverer::new(Arc::clone(&world.authority), Sender::new(vec![local]));
    let delivery = tokio::spawn(Arc::new(deliverer).run());
    let watch = world.spawn("issuers", health::watch_issuers);

    // Nothing rotates here, and the time has not come.
    world.pass(SECOND * 601).await;
    world.pass(SECOND * 30).await;
    assert!(messages.try_recv().is_err());
    world.pass(SECOND * 60).await;
    let (id, message) = next(&world, &mut messages).await;
    assert_eq!(message["type"], "rotation.late");
    let data = &message["data"];
    assert_eq!(
        (&data["event"], &data["issuer"], &data["algorithm"]),
        (&"rotation-overdue".into(), &"a".into(), &"ES256".into())
    );
    let due_at = data["due_at"].as_u64().unwrap();
    assert_eq!(due_at, crate::world::BEGIN.floor_seconds() + 600);
    // The receiver has failed: the same comes again, and nothing else while the rotation stays late.
    assert_eq!(
        next(&world, &mut messages).await,
        (id.clone(), message.clone())
    );
    for _ in 0..20 {
        world.pass(SECOND * 30).await;
    }
    assert!(messages.try_recv().is_err());

    // It rotates, and is late another time.
    let schedule = world.spawn("scheduler", scheduler::run);
    world.pass(SECOND * 60).await;
    eventually("the rotation", || active(&issuer) != first).await;
    schedule.abort();
    for _ in 0..12 {
        world.pass(SECOND * 60).await;
    }
    let (other, later) = next(&world, &mut messages).await;
    assert_ne!(other, id);
    assert!(
        later["data"]["due_at"].as_u64().unwrap() > due_at,
        "{later}"
    );
    watch.abort();
    delivery.abort();
}
