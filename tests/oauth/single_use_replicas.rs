//! Tokens that count once at three real replicas: 100 callers at once, lost answers, and kills.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::lines::folder_like;
use crate::single_use::{consumer, single_use};
use crate::support::postgres::shared;
use crate::support::{Server, report, start_in, try_request};
use crate::world::{Client, escape};

const CALLERS: usize = 100;
const ROUNDS: usize = 6;

/// Uses a token up at one replica: the status, if an answer came.
fn use_up(url: &str, client: &Client, token: &str, key: &str) -> Option<u16> {
    let headers = [
        ("authorization", client.basic()),
        ("idempotency-key", key.to_owned()),
    ];
    let form = format!("token={}", escape(token)).into_bytes();
    let form = ("application/x-www-form-urlencoded", form);
    let answer = try_request("POST", &format!("{url}/consume"), &headers, Some(form)).ok()?;
    Some(answer.status)
}

/// The same until there is an answer that says what became of the token.
fn insist(url: &Mutex<String>, client: &Client, token: &str, key: &str) -> u16 {
    let began = Instant::now();
    loop {
        let at = url.lock().unwrap().clone();
        match use_up(&at, client, token, key) {
            Some(status) if status < 429 => return status,
            _ => assert!(began.elapsed() < Duration::from_secs(50), "no answer"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn of_a_hundred_callers_at_three_replicas_one_uses_a_token_up_whatever_is_killed() {
    let Some(postgres) = shared() else {
        return;
    };
    let url = postgres.database();
    let settings =
        format!("oauth.enabled = true\nstore.url = \"{url}\"\nstore.max_staleness = \"3s\"\n");
    let first = start_in(Arc::new(tempfile::tempdir().unwrap()), &settings).unwrap();
    let service = consumer(&first, json!(["orders"]));
    let tokens: Vec<String> = (0..ROUNDS).map(|_| single_use(&first)).collect();
    let mut servers = vec![Some(first)];
    for _ in 1..3 {
        let folder = folder_like(servers[0].as_ref().unwrap());
        servers.push(Some(start_in(folder, &settings).unwrap()));
    }
    let public = |server: &Option<Server>| Mutex::new(server.as_ref().unwrap().public.clone());
    let urls: Vec<Mutex<String>> = servers.iter().map(public).collect();
    for (round, token) in tokens.iter().enumerate() {
        let (used, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let begin = Barrier::new(CALLERS + 1);
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (urls, service, begin) = (&urls, &service, &begin);
                let (used, refused) = (&used, &refused);
                scope.spawn(move || {
                    begin.wait();
                    let key = format!("{round}-{caller}");
                    // An answer is lost, at another replica than the one that is asked again.
                    if caller % 10 == 0 {
                        let lost = urls[(caller + 1) % 3].lock().unwrap().clone();
                        use_up(&lost, service, token, &key);
                    }
                    match insist(&urls[caller % 3], service, token, &key) {
                        200 => used.fetch_add(1, Ordering::SeqCst),
                        409 => refused.fetch_add(1, Ordering::SeqCst),
                        status => panic!("{status}"),
                    };
                });
            }
            begin.wait();
            if round % 2 == 1 {
                thread::sleep(Duration::from_millis(20));
                let index = round % 3;
                let folder = servers[index].take().unwrap().kill();
                let server = start_in(folder, &settings).unwrap();
                *urls[index].lock().unwrap() = server.public.clone();
                servers[index] = Some(server);
            }
        });
        let counted = (used.into_inner(), refused.into_inner());
        assert_eq!(counted, (1, CALLERS - 1), "round {round}");
    }
    report(&format!("{ROUNDS} tokens, {CALLERS} callers of each"));
}
