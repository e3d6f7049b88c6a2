//! A standby that lacks the last commit takes the place of the database. What the replicas have in
//! memory and what is committed instead have the same numbers.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::{eventually, since_epoch};
use crate::world::{Fleet, REPLICAS, ask};

const KEYS: &str = "/v1/issuers/quiet/keys";

/// An issuer that no schedule changes meanwhile.
fn put(fleet: &Fleet<'_>, max_token_bytes: u64) -> Value {
    let policy = json!({
        "url": "http://127.0.0.1/quiet", "algorithms": ["ES256"], "max_token_bytes": max_token_bytes,
    });
    let answer = fleet.call(0, "PUT", "/v1/issuers/quiet", Some(&policy));
    let answer = answer.unwrap();
    assert!([200, 201].contains(&answer.status), "{}", answer.json());
    answer.json()
}

fn get(fleet: &Fleet<'_>, index: usize, path: &str) -> Option<Value> {
    let answer = fleet.call(index, "GET", path, None).ok()?;
    (answer.status == 200).then(|| answer.json())
}

fn state(keys: &Value, kid: &str) -> Option<String> {
    let keys = keys["keys"].as_array()?;
    let key = keys.iter().find(|key| key["kid"] == kid)?;
    key["state"].as_str().map(str::to_owned)
}

/// Which key signs at a replica; `None` when it signs nothing.
fn signs(fleet: &Fleet<'_>, index: usize) -> Option<String> {
    let body = json!({ "claims": {} });
    let answer = fleet.call(index, "POST", "/v1/issuers/quiet/tokens", Some(&body));
    let answer = answer.ok().filter(|answer| answer.status == 201)?;
    answer.json()["kid"].as_str().map(str::to_owned)
}

fn publishes(fleet: &Fleet<'_>, index: usize, kid: &str) -> bool {
    let public = fleet.addresses.read().unwrap()[index].public.clone();
    let url = format!("{public}/quiet/.well-known/jwks.json");
    let set = ask("GET", &url, None, None).unwrap();
    assert_eq!(set.status, 200);
    set.json().to_string().contains(kid)
}

#[test]
fn a_revoked_key_does_not_return_when_a_standby_without_the_last_commit_takes_over() {
    let _turn = crate::turn();
    let Some(postgres) = Postgres::start("") else {
        return;
    };
    let fleet = Fleet::start(&postgres);
    put(&fleet, 2048);
    let standby = postgres.copy();
    fleet.recovers();
    let version = put(&fleet, 2049)["version"].clone();
    for index in 0..REPLICAS {
        eventually("every replica has the last commit", || {
            let issuer = get(&fleet, index, "/v1/issuers/quiet")?;
            (issuer["version"] == version).then_some(())
        });
    }
    let leaked = signs(&fleet, 1).unwrap();

    postgres.fail_over_to(&standby);
    let path = format!("{KEYS}/{leaked}/revoke");
    let revoked = eventually("the database answers", || {
        let answer = fleet.call(0, "POST", &path, Some(&json!({ "reason": "leak" })));
        let answer = answer.ok().filter(|answer| answer.status != 503)?;
        assert_eq!(answer.status, 200, "{}", answer.json());
        Some(answer.json())
    });
    // The number is the one of the commit that was lost.
    let issuer = get(&fleet, 0, "/v1/issuers/quiet").unwrap();
    assert!(issuer["version"].as_u64() >= version.as_u64());
    let in_force = revoked["in_force_everywhere_at"].as_u64().unwrap();
    eventually("it is in force everywhere", || {
        (since_epoch() >= Duration::from_secs(in_force)).then_some(())
    });
    for _ in 0..20 {
        for index in 0..REPLICAS {
            assert_ne!(signs(&fleet, index).as_ref(), Some(&leaked));
        }
        sleep(Duration::from_millis(50));
    }
    fleet.recovers();
    for index in 0..REPLICAS {
        assert!(!publishes(&fleet, index, &leaked), "replica {index}");
    }
    // Another replica writes the set: what it had before does not come back.
    eventually("a rotation on another replica", || {
        let force = json!({ "force": true, "reason": "drill" });
        let answer = fleet.call(1, "POST", "/v1/issuers/quiet/rotate", Some(&force));
        answer.ok().filter(|answer| answer.status == 200)
    });
    for index in 0..REPLICAS {
        eventually("every replica says that it is revoked", || {
            let keys = get(&fleet, index, KEYS)?;
            (state(&keys, &leaked).as_deref() == Some("revoked")).then_some(())
        });
        assert_ne!(signs(&fleet, index).as_ref(), Some(&leaked));
        assert!(!publishes(&fleet, index, &leaked), "replica {index}");
    }
}
