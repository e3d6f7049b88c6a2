//! Crashes in the middle of a change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::state::{IssuerState, State, Token, published, verifies};
use crate::support::postgres::{self, Postgres};
use crate::support::{Server, eventually, start_in, try_request};
use crate::{Moments, report, since_epoch};

/// What is killed, of what, and how often.
struct Trial<'a> {
    what: &'static str,
    /// The service's configuration.
    settings: String,
    victim: Victim<'a>,
    /// At least so many crashes, of which at least so many come before the commit and after it.
    crashes: usize,
    on_each_side: usize,
}

/// What is killed.
#[derive(Clone, Copy)]
enum Victim<'a> {
    /// The service, and then it is started anew.
    Service,
    /// The database that it uses. The service goes on.
    Database(&'a Postgres),
}

/// After that a trial gives up, on however slow a machine; a good one needs 45 s.
const PATIENCE: Duration = Duration::from_secs(400);

/// The issuers that are changed and rotate by command alone, so that a version tells what happened.
const CALM: [&str; 3] = ["calm-1", "calm-2", "calm-3"];

fn calm_policy(server: &Server, name: &str) -> Value {
    json!({
        "url": format!("{}/{name}", server.public), "algorithms": ["ES256"],
        "default_token_ttl": "1h", "max_token_ttl": "1h",
    })
}

/// A change, and how to tell whether it happened.
pub(crate) struct Change {
    pub(crate) what: &'static str,
    issuer: String,
    algorithm: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: Value,
    /// Events that it must leave, in this order among others.
    leaves: &'static [&'static str],
    /// What must be true of the issuer when it has happened.
    effect: Box<dyn Fn(&IssuerState) + Sync>,
}

#[test]
fn a_change_that_is_killed_anywhere_has_happened_whole_or_not_at_all() {
    run(&Trial {
        what: "changes",
        settings: String::new(),
        victim: Victim::Service,
        crashes: 55,
        on_each_side: 10,
    });
}

/// A service on a shared database.
fn shared_by(database: &Postgres, max_staleness: &str) -> String {
    format!(
        "[store]\nurl = \"{}\"\nmax_staleness = \"{max_staleness}\"\nstatement_timeout = \"2s\"\n",
        database.database()
    )
}

#[test]
fn a_change_of_a_shared_store_that_is_killed_anywhere_has_happened_whole_or_not_at_all() {
    let Some(database) = postgres::shared() else {
        return;
    };
    run(&Trial {
        what: "changes of a shared store",
        // The others do not wait for long for a replica that was killed.
        settings: shared_by(database, "2s"),
        victim: Victim::Service,
        crashes: 24,
        on_each_side: 5,
    });
}

#[test]
fn a_change_whose_database_is_killed_anywhere_has_happened_whole_or_not_at_all() {
    let Some(database) = Postgres::start("") else {
        return;
    };
    run(&Trial {
        what: "crashes of the database",
        // It goes on signing while the database comes back.
        settings: shared_by(&database, "20s"),
        victim: Victim::Database(&database),
        crashes: 12,
        on_each_side: 3,
    });
}

fn run(trial: &Trial<'_>) {
    let began = Instant::now();
    let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    let mut server =
        start_in(folder, &trial.settings).unwrap_or_else(|log| panic!("no start: {log}"));
    let create = |name: &str, policy: &Value| {
        let answer = server.call("PUT", &format!("/v1/issuers/{name}"), Some(policy));
        assert_eq!(answer.status, 201, "{}", answer.json());
    };
    for name in CALM {
        create(name, &calm_policy(&server, name));
    }
    let mut rsa = calm_policy(&server, "rsa");
    rsa["algorithms"] = json!(["RS256"]);
    create("rsa", &rsa);
    // It is overdue after every restart, so that crashes meet the schedule at work, too.
    let ticking = json!({
        "url": format!("{}/ticking", server.public), "algorithms": ["ES256"],
        "rotation": { "every": "2s" }, "lead": "1s", "jwks_max_age": "1s", "stale_if_error": "0s",
        "clock_skew": "0s", "default_token_ttl": "20s", "max_token_ttl": "20s",
    });
    create("ticking", &ticking);

    let mut moments = Moments::new(trial.what);
    let mut tokens: Vec<Token> = Vec::new();
    // How long after the request the crash comes at the latest, in milliseconds. It follows the
    // machine, so that about as many crashes come before the commit as after it.
    let mut span = 60.0_f64;
    let (mut acknowledged, mut in_between, mut undone) = (0, 0, 0);
    let mut crashes = 0;
    while crashes < trial.crashes
        || undone < trial.on_each_side
        || acknowledged + in_between < trial.on_each_side
    {
        assert!(
            began.elapsed() < PATIENCE,
            "after {crashes} crashes only {undone} before and {acknowledged} + {in_between} after \
             the commit"
        );
        let before = State::of(&server);
        let change = choose(crashes, &before, &server);
        // An RSA key takes its time: there the moment is anywhere in the making of two.
        let latest = if change.algorithm == "RS256" {
            800.0
        } else {
            span
        };
        let wait = Duration::from_millis(moments.below(latest as u64));
        let (answer, handed_out, survivor) = crash(server, &change, wait, trial);
        crashes += 1;
        server = survivor;
        let after = State::of(&server);
        after.check();
        let whole = format!("{} of {} after {wait:?}", change.what, change.issuer);
        assert_eq!(
            after.events[..before.events.len()],
            before.events,
            "{whole}: the log changed"
        );
        let happened = check_change(&change, &before, &after, &whole);
        match answer {
            // The service tells that the database does not answer, and knows no more than that.
            Some((500.., _)) if matches!(trial.victim, Victim::Database(_)) => {
                *(if happened {
                    &mut in_between
                } else {
                    &mut undone
                }) += 1;
            }
            Some((status, answer)) => {
                assert!(
                    (200..300).contains(&status),
                    "{whole} was refused: {answer}"
                );
                assert!(happened, "{whole} was acknowledged and is not there");
                acknowledged += 1;
            }
            None if happened => in_between += 1,
            None => undone += 1,
        }
        if change.algorithm == "ES256" {
            let next = if happened { span * 0.9 } else { span * 1.1 };
            span = next.clamp(10.0, 500.0);
        }
        tokens.extend(handed_out);
        check_tokens(&server, &after, &mut tokens);
    }
    report(&format!(
        "{}: {crashes} crashes: {acknowledged} after the answer, {in_between} between commit and \
         answer, {undone} before the commit; {} tokens; {:?}",
        trial.what,
        tokens.len(),
        began.elapsed()
    ));
    assert_eq!(server.fetch("/readyz").status, 200);
    let report = server.call("GET", "/v1/health", None).json();
    assert_eq!(report["issuers"], json!([]), "issuers that have a fault");
}

/// The internal listener of a service that may end before it has answered.
pub(crate) struct Door {
    internal: String,
    headers: [(&'static str, String); 1],
}

impl Door {
    pub(crate) fn of(server: &Server) -> Self {
        Self {
            internal: server.internal.clone(),
            headers: [("authorization", format!("Bearer {}", server.admin))],
        }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let url = format!("{}{path}", self.internal);
        let body = Some(("application/json", body.to_string().into_bytes()));
        let answer = try_request(method, &url, &self.headers, body).ok()?;
        Some((answer.status, answer.json()))
    }
}

/// Asks for the change while tokens are signed, and kills the victim a moment later. Answers with
/// the service as it is back.
fn crash(
    server: Server,
    change: &Change,
    wait: Duration,
    trial: &Trial<'_>,
) -> (Option<(u16, Value)>, Vec<Token>, Server) {
    let door = Door::of(&server);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let signing = scope.spawn(|| sign_until(&ended, &door, change));
        let asked = scope.spawn(|| door.ask(change.method, &change.path, &change.body));
        std::thread::sleep(wait);
        let killed = match trial.victim {
            Victim::Service => Err(server.kill()),
            Victim::Database(database) => {
                // Whether its processes end at once or tell each other first.
                if wait.as_millis().is_multiple_of(2) {
                    database.kill();
                } else {
                    database.stop_immediately();
                }
                Ok((server, database))
            }
        };
        ended.store(true, Ordering::Relaxed);
        let (answer, tokens) = (asked.join().unwrap(), signing.join().unwrap());
        let server = match killed {
            Err(folder) => {
                start_in(folder, &trial.settings).unwrap_or_else(|log| panic!("no restart: {log}"))
            }
            Ok((server, database)) => {
                database.resume();
                server
            }
        };
        eventually("the service is ready", || {
            let log = server.call("GET", "/v1/audit?limit=1", None).status;
            ([log, server.fetch("/readyz").status] == [200, 200]).then_some(())
        });
        (answer, tokens, server)
    })
}

/// Signs without a pause, so that a token falls also between the steps of a change, and answers
/// what was handed out.
fn sign_until(ended: &AtomicBool, door: &Door, change: &Change) -> Vec<Token> {
    let changed = (change.issuer.as_str(), change.algorithm);
    let mut tokens = Vec::new();
    for (issuer, algorithm) in [changed, changed, changed, ("ticking", "ES256")]
        .iter()
        .cycle()
    {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let path = format!("/v1/issuers/{issuer}/tokens");
        let body = json!({ "claims": { "sub": "user-1" }, "alg": algorithm });
        match door.ask("POST", &path, &body) {
            Some((201, answer)) => tokens.push(token(issuer, &answer)),
            // The issuer is being created, or the database has not been heard of for too long.
            Some((status, answer)) => assert!([404, 503].contains(&status), "{answer}"),
            None => {}
        }
    }
    tokens
}

pub(crate) fn token(issuer: &str, answer: &Value) -> Token {
    Token {
        issuer: issuer.to_owned(),
        kid: answer["kid"].as_str().expect("a kid").to_owned(),
        expires_at: answer["expires_at"].as_u64().expect("a time"),
        text: answer["token"].as_str().expect("a token").to_owned(),
    }
}

/// Whether the change has happened; fails when it did by halves.
fn check_change(change: &Change, before: &State, after: &State, whole: &str) -> bool {
    for (name, issuer) in &before.issuers {
        if *name != change.issuer && name != "ticking" {
            assert_eq!(&after.issuers[name], issuer, "{whole}: {name} has changed");
        }
    }
    let known: BTreeSet<_> = before.issuers.keys().chain([&change.issuer]).collect();
    assert!(
        after.issuers.keys().all(|name| known.contains(name)),
        "{whole}: a new issuer"
    );
    let versions = [before, after].map(|state| state.issuers.get(&change.issuer));
    let versions = versions.map(|issuer| issuer.map_or(0, |issuer| issuer.version));
    let events = after.events_of(&change.issuer);
    let new_events = &events[before.events_of(&change.issuer).len()..];
    if versions[0] == versions[1] {
        let [before, after] = [before, after].map(|state| state.issuers.get(&change.issuer));
        assert_eq!(before, after, "{whole}: a change without a version");
        assert_eq!(
            new_events,
            &[] as &[&Value],
            "{whole}: events without a change"
        );
        return false;
    }
    // The key that it wanted is published by a change of its own.
    let publishes = new_events
        .last()
        .is_some_and(|event| event["event"] == "key-published");
    let most = versions[0] + 1 + u64::from(publishes);
    assert!(
        (versions[0] + 1..=most).contains(&versions[1]),
        "{whole}: more than one change: {versions:?}, {new_events:?}"
    );
    let mut left = new_events.iter().map(|event| &event["event"]);
    for kind in change.leaves {
        assert!(
            left.any(|event| event == kind),
            "{whole}: no {kind} in {new_events:?}"
        );
    }
    (change.effect)(&after.issuers[&change.issuer]);
    true
}

/// Every token of a key that was not revoked verifies; the expired are forgotten.
fn check_tokens(server: &Server, state: &State, tokens: &mut Vec<Token>) {
    let unknown = |token: &&Token| !state.issuers.contains_key(&token.issuer);
    if let Some(token) = tokens.iter().find(unknown) {
        panic!("{} signed and is not known", token.issuer);
    }
    for (name, issuer) in &state.issuers {
        let set = published(server, state, name);
        for token in tokens.iter().filter(|token| token.issuer == *name) {
            let known = issuer.state_of(&token.kid);
            assert!(
                known.is_some(),
                "{} signed a token of {name} and is not known",
                token.kid
            );
            if known == Some("revoked") {
                assert!(set.find(&token.kid).is_none(), "{} is revoked", token.kid);
            } else if token.expires_at > now_seconds() + 2 {
                assert_eq!(
                    verifies(token, &set),
                    Ok(()),
                    "a token of {name}, {known:?}"
                );
            }
        }
        for algorithm in issuer.algorithms() {
            let body = json!({ "claims": { "sub": "user-1" }, "alg": algorithm });
            let path = format!("/v1/issuers/{name}/tokens");
            let answer = server.call("POST", &path, Some(&body));
            assert_eq!(
                answer.status,
                201,
                "{name} does not sign: {}",
                answer.json()
            );
            tokens.push(token(name, &answer.json()));
        }
    }
    tokens.retain(|token| token.expires_at > now_seconds());
}

fn now_seconds() -> u64 {
    since_epoch().as_secs()
}

/// The changes take turns, and so do the issuers.
fn choose(turn: usize, state: &State, server: &Server) -> Change {
    let issuer = CALM[(turn / 8) % CALM.len()];
    match turn % 8 {
        // Every third time with RSA.
        0 if turn.is_multiple_of(24) => rotate("rsa", "RS256", state),
        1 if turn % 24 == 1 => revoke("rsa", "RS256", "active", state),
        0 | 5 => rotate(issuer, "ES256", state),
        1 => revoke(issuer, "ES256", "active", state),
        2 => import(issuer, "pending"),
        3 => import(issuer, "retired"),
        4 => create(&format!("new-{turn}"), server),
        6 => revoke(issuer, "ES256", "pending", state),
        _ => set_policy(issuer, turn, state),
    }
}

pub(crate) fn rotate(issuer: &str, algorithm: &'static str, state: &State) -> Change {
    let retires = state.issuers[issuer].kids(algorithm, "active")[0].to_owned();
    Change {
        what: "rotation",
        issuer: issuer.to_owned(),
        algorithm,
        method: "POST",
        path: format!("/v1/issuers/{issuer}/rotate"),
        body: json!({ "force": true, "reason": "a test" }),
        leaves: &["key-retired", "key-activated"],
        effect: Box::new(move |issuer| assert_eq!(issuer.state_of(&retires), Some("retired"))),
    }
}

pub(crate) fn revoke(issuer: &str, algorithm: &'static str, key: &str, state: &State) -> Change {
    let kid = state.issuers[issuer].kids(algorithm, key)[0].to_owned();
    Change {
        what: "revocation",
        issuer: issuer.to_owned(),
        algorithm,
        method: "POST",
        path: format!("/v1/issuers/{issuer}/keys/{kid}/revoke"),
        body: json!({ "reason": "a test" }),
        leaves: if key == "active" {
            &["key-revoked", "key-activated"]
        } else {
            &["key-revoked"]
        },
        effect: Box::new(move |issuer| assert_eq!(issuer.state_of(&kid), Some("revoked"))),
    }
}

pub(crate) fn import(issuer: &str, state: &'static str) -> Change {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("a key");
    let point = pair.public_key().as_ref();
    let kid = format!("foreign-{}", URL_SAFE_NO_PAD.encode(&point[1..9]));
    let mut body = json!({ "algorithm": "ES256", "kid": kid, "state": state });
    if state == "retired" {
        let coordinate = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (coordinate(&point[1..33]), coordinate(&point[33..]));
        body["public_key"] = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y });
    } else {
        let text = STANDARD.encode(document.as_ref());
        let (head, foot) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        body["private_key"] = format!("{head}\n{}\n{foot}\n", lines.join("\n")).into();
    }
    Change {
        what: "import",
        issuer: issuer.to_owned(),
        algorithm: "ES256",
        method: "POST",
        path: format!("/v1/issuers/{issuer}/keys"),
        body,
        leaves: if state == "retired" {
            &["key-retired"]
        } else {
            &["key-published"]
        },
        effect: Box::new(move |issuer| assert_eq!(issuer.state_of(&kid), Some(state))),
    }
}

fn create(name: &str, server: &Server) -> Change {
    Change {
        what: "creation",
        issuer: name.to_owned(),
        algorithm: "ES256",
        method: "PUT",
        path: format!("/v1/issuers/{name}"),
        body: calm_policy(server, name),
        leaves: &[
            "issuer-created",
            "key-published",
            "key-activated",
            "key-published",
        ],
        effect: Box::new(|issuer| assert_eq!(issuer.version, 1)),
    }
}

pub(crate) fn set_policy(issuer: &str, turn: usize, state: &State) -> Change {
    let mut policy = state.issuers[issuer].policy.clone();
    policy["max_token_bytes"] = json!(4096 + turn);
    let expected = policy.clone();
    Change {
        what: "change of policy",
        issuer: issuer.to_owned(),
        algorithm: "ES256",
        method: "PUT",
        path: format!("/v1/issuers/{issuer}"),
        body: policy,
        leaves: &["policy-changed"],
        effect: Box::new(move |issuer| assert_eq!(issuer.policy, expected)),
    }
}
