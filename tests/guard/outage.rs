//! The issuer goes away and comes back; the guard ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::gateway::free_port;
use crate::support::{
    Server, eventually, start as start_service, start_with as start_service_with,
};
use crate::world::{Guard, ban, create_issuer, settings, start, token};

/// A service whose public listener is at the same address each time that it starts.
fn service_at(port: u16, folder: Arc<TempDir>) -> Server {
    let address = format!("127.0.0.1:{port}");
    let environment = [("KEYWRIGHT_PUBLIC__LISTEN", address.as_str())];
    start_service_with(folder, "", &environment).expect("the service starts")
}

fn accepted() -> (u16, String) {
    (200, "accepted".to_owned())
}

#[test]
fn without_keys_nothing_is_judged_until_the_issuer_is_there() {
    let port = free_port();
    let server = service_at(port, Arc::new(tempfile::tempdir().unwrap()));
    let issuer = create_issuer(&server, "shop", json!({}));
    let good = token(&server, "shop", json!({}));
    let folder = server.kill();

    let guard = start(&settings(&issuer, ""));
    let answer = guard.ask("/", &good);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["code"], "keys-unavailable");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(
        guard.readiness(),
        (503, format!("the keys of {issuer} are not available\n"))
    );
    assert_eq!(guard.probe("/livez").status, 200);
    assert_eq!(guard.metric("keywright_guard_ready"), Some(0.0));
    // What is no token at all needs no keys.
    assert_eq!(guard.verdict("a.b.c").0, 401);

    let _server = service_at(port, folder);
    let guard = guard.ready();
    assert_eq!(guard.verdict(&good), accepted());
}

#[test]
fn an_outage_is_borne_for_as_long_as_the_bound_and_ends_with_it() {
    let port = free_port();
    let server = service_at(port, Arc::new(tempfile::tempdir().unwrap()));
    let issuer = create_issuer(&server, "shop", json!({ "revocation_max_age": "5s" }));
    let good = token(&server, "shop", json!({}));
    let banned = token(&server, "shop", json!({ "sub": "user-9" }));
    let with = |more: &str| start(&format!("{}{more}\n", settings(&issuer, ""))).ready();
    let guard = with("");
    let long = with("vouched_within = \"1h\"");
    let lax = with("danger_without_bound = true");
    let all = [&guard, &long, &lax];
    ban(&server, "shop", "user-9");
    for guard in all {
        eventually("the ban", || {
            (guard.verdict(&banned).1 == "revoked").then_some(())
        });
    }

    let folder = server.kill();
    let cut_at = Instant::now();
    for guard in all {
        assert_eq!(guard.verdict(&good), accepted());
    }
    eventually("the bound", || {
        (guard.verdict(&good).0 == 503).then_some(())
    });
    let borne = cut_at.elapsed();
    assert!(borne < Duration::from_secs(7), "{borne:?}");
    let answer = guard.ask("/", &good);
    assert_eq!(answer.json()["code"], "revocations-stale");
    assert_eq!(answer.header("retry-after"), Some("5"));
    let (status, reason) = guard.readiness();
    assert_eq!(status, 503);
    assert!(
        reason.contains("could not be refreshed for too long"),
        "{reason}"
    );
    let age = format!("keywright_guard_revocations_age_seconds{{issuer=\"{issuer}\"}}");
    assert!(guard.metric(&age).unwrap() > 4.0);
    for guard in [&long, &lax] {
        assert_eq!(guard.verdict(&good), accepted());
        assert_eq!(guard.readiness().0, 200);
    }
    // What was revoked stays so, also while nothing new is learned.
    for guard in all {
        assert_eq!(guard.verdict(&banned).1, "revoked");
    }

    let _server = service_at(port, folder);
    let guard = guard.ready();
    assert_eq!(guard.verdict(&good), accepted());
    assert_eq!(guard.verdict(&banned).1, "revoked");
}

#[test]
fn a_guard_that_is_told_to_end_answers_what_it_has_begun() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    let guard: Guard = start(&settings(&issuer, "")).ready();
    let url = guard.url.clone();
    assert_eq!(guard.terminate(), Some(0));
    let address = url.strip_prefix("http://").unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
}
