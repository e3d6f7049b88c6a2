//! A commit that hangs: it has passed its deadline check, holds the lock, and lands long after the
//! replica that sent it has stopped waiting. docs/replication.md says what follows.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::world::{Fleet, REPLICAS, STALENESS};

const ISSUER: &str = "/v1/issuers/quiet";

/// How long the commit hangs.
const HANGS: Duration = Duration::from_secs(8);

/// The first commit that changes the issuer waits at its end, and neither a time-out of the statement
/// nor the end of its connection ends that.
const HANG_ONCE: &str = "
    CREATE SEQUENCE hangs;
    CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE until timestamptz := clock_timestamp() + interval '8 s';
    BEGIN
        IF nextval('hangs') > 1 THEN RETURN NULL; END IF;
        WHILE clock_timestamp() < until LOOP
            BEGIN PERFORM pg_sleep(0.1); EXCEPTION WHEN query_canceled THEN NULL; END;
        END LOOP;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER hang AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.issuer = 'quiet') EXECUTE FUNCTION hang();";

fn keys(fleet: &Fleet<'_>, index: usize) -> Option<Vec<Value>> {
    let answer = fleet.call(index, "GET", &format!("{ISSUER}/keys"), None);
    let answer = answer.ok().filter(|answer| answer.status == 200)?;
    answer.json()["keys"].as_array().cloned()
}

fn in_state<'a>(keys: &'a [Value], state: &str) -> Option<&'a str> {
    let key = keys.iter().find(|key| key["state"] == state)?;
    key["kid"].as_str()
}

/// A token's kid and when it expires; `None` when the replica signs nothing.
fn sign(fleet: &Fleet<'_>, index: usize) -> Option<(String, u64)> {
    let body = json!({ "claims": {} });
    let answer = fleet.call(index, "POST", &format!("{ISSUER}/tokens"), Some(&body));
    let token = answer.ok().filter(|answer| answer.status == 201)?.json();
    let kid = token["kid"].as_str()?.to_owned();
    Some((kid, token["expires_at"].as_u64()?))
}

#[test]
fn a_rotation_whose_commit_hangs_is_settled_when_it_lands() {
    let _turn = crate::turn();
    let Some(postgres) = Postgres::start("") else {
        return;
    };
    let fleet = Fleet::start(&postgres);
    let policy = json!({ "url": "http://127.0.0.1/quiet", "algorithms": ["ES256"] });
    assert_eq!(
        fleet.call(0, "PUT", ISSUER, Some(&policy)).unwrap().status,
        201
    );
    fleet.recovers();
    let before = eventually("every replica has the issuer", || {
        (0..REPLICAS)
            .map(|index| keys(&fleet, index))
            .collect::<Option<Vec<_>>>()
    });
    let old = in_state(&before[0], "active").unwrap().to_owned();
    let new = in_state(&before[0], "pending").unwrap().to_owned();
    let database = fleet.database_name();
    postgres.psql(&database, HANG_ONCE);

    let began = Instant::now();
    let mut tokens = Vec::new();
    let mut refused_by_all = false;
    let answer = thread::scope(|scope| {
        let rotation = scope.spawn(|| {
            let path = format!("{ISSUER}/rotate");
            let patience = Duration::from_secs(30);
            let answer = fleet.call_within(0, "POST", &path, None, patience).unwrap();
            (answer.status, answer.json(), began.elapsed())
        });
        // A second before it lands nothing may be said of it yet.
        while began.elapsed() < HANGS - Duration::from_secs(1) {
            let signed: Vec<_> = (0..REPLICAS).map(|index| sign(&fleet, index)).collect();
            refused_by_all |= signed.iter().all(Option::is_none);
            let is_over = began.elapsed() > STALENESS * 2 + Duration::from_secs(1);
            assert!(!is_over || signed.iter().all(Option::is_none), "{signed:?}");
            tokens.extend(signed.into_iter().flatten());
        }
        rotation.join().unwrap()
    });
    assert!(refused_by_all, "leases end while the store gives no answer");
    assert!(tokens.iter().all(|(kid, _)| *kid == old), "{tokens:?}");
    let (status, said, after) = answer;
    match status {
        200 => assert!(after > HANGS - Duration::from_secs(1), "{after:?}: {said}"),
        // Not known is what may be said before.
        503 => {
            let codes = ["snapshot-stale", "store-unavailable"];
            assert!(codes.iter().any(|code| said["code"] == *code), "{said}");
        }
        _ => panic!("{status}: {said}"),
    }

    fleet.recovers();
    for index in 0..REPLICAS {
        let settled = eventually("the rotation is everywhere", || {
            let keys = keys(&fleet, index)?;
            (in_state(&keys, "active") == Some(&new)).then_some(keys)
        });
        assert_eq!(in_state(&settled, "retired"), Some(old.as_str()));
        let retired = settled
            .iter()
            .find(|key| key["kid"] == old.as_str())
            .unwrap();
        let published_until = retired["published_until"].as_u64().unwrap();
        let last = tokens.iter().map(|(_, expires_at)| *expires_at).max();
        assert!(
            last.is_some_and(|last| last <= published_until),
            "{last:?} {retired}"
        );
        let (kid, _) = eventually("it signs again", || sign(&fleet, index));
        assert_eq!(kid, new);
    }
    let events = fleet.call(0, "GET", "/v1/audit?event=key-activated&issuer=quiet", None);
    let events = events.unwrap().json();
    let activated = events["events"].as_array().unwrap();
    let of_new = activated
        .iter()
        .filter(|event| event.to_string().contains(&new));
    assert_eq!(of_new.count(), 1, "{events}");
}
