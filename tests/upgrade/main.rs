//! Three replicas of an earlier build, replaced one by one, while tokens are signed at all of them and
//! verified with what any of them publishes; and a store of that build, which this one opens.
//!
//! `scripts/test` builds the earlier one from this repository's history: `previous.txt` has its
//! commit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]

#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use keywright_verifier::{Algorithm, JwkSet, Rules, Verifier};
use serde_json::{Value, json};
use support::postgres::Postgres;
use support::{
    Answer, Program, Server, eventually, report, since_epoch, start_program, try_request,
};
use tempfile::TempDir;

const REPLICAS: usize = 3;

/// The earlier build, if there is one.
fn previous() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/previous");
    let built = std::fs::read_to_string(folder.join("commit")).unwrap_or_default();
    if built.trim() == include_str!("previous.txt").trim() {
        return Some(folder.join("keywright"));
    }
    report("SKIPPED: upgrade: target/previous has no earlier build; scripts/test makes it");
    None
}

/// The public and the internal URL of each replica that serves.
type Addresses = RwLock<Vec<Option<(String, String)>>>;

/// Three replicas on one database, and where each can be reached while it serves.
struct Fleet {
    settings: String,
    servers: Vec<Option<Server>>,
    addresses: Arc<Addresses>,
    admin: String,
}

impl Fleet {
    fn start(postgres: &Postgres, program: &Path) -> Self {
        let settings = format!(
            "store.url = \"{}\"\nstore.max_staleness = \"5s\"\n",
            postgres.database()
        );
        let mut fleet = Self {
            settings,
            servers: Vec::new(),
            addresses: Arc::default(),
            admin: String::new(),
        };
        let folders: Vec<_> = (0..REPLICAS)
            .map(|_| Arc::new(tempfile::tempdir().unwrap()))
            .collect();
        for folder in &folders {
            let data = folder.path().join("keys");
            std::fs::create_dir_all(&data).unwrap();
            if !fleet.admin.is_empty() {
                std::fs::write(data.join("admin.token"), &fleet.admin).unwrap();
                let key = std::fs::read(folders[0].path().join("keys/master.key")).unwrap();
                std::fs::write(data.join("master.key"), key).unwrap();
            }
            let server = fleet.launch(program, Arc::clone(folder));
            fleet.admin = server.admin.clone();
            let addresses = (server.public.clone(), server.internal.clone());
            fleet.addresses.write().unwrap().push(Some(addresses));
            fleet.servers.push(Some(server));
        }
        fleet
    }

    fn launch(&self, program: &Path, folder: Arc<TempDir>) -> Server {
        let program = Program::at(program);
        start_program(&program, folder, &self.settings).unwrap_or_else(|log| panic!("{log}"))
    }

    /// Takes a replica out of the load balancer, ends it, and puts another build in its place.
    fn replace(&mut self, index: usize, program: &Path) {
        let folder = self.stop(index);
        self.begin(index, program, folder);
    }

    /// Starts a replica, and gives it to the load balancer.
    fn begin(&mut self, index: usize, program: &Path, folder: Arc<TempDir>) {
        let server = self.launch(program, folder);
        eventually("readiness", || {
            (server.fetch("/readyz").status == 200).then_some(())
        });
        let addresses = (server.public.clone(), server.internal.clone());
        self.addresses.write().unwrap()[index] = Some(addresses);
        self.servers[index] = Some(server);
    }

    /// Ends a replica.
    fn stop(&mut self, index: usize) -> Arc<TempDir> {
        self.addresses.write().unwrap()[index] = None;
        let (code, folder) = self.servers[index].take().unwrap().terminate();
        assert_eq!(code, Some(0), "it drains");
        folder
    }

    fn any(&self) -> &Server {
        self.servers.iter().flatten().next().unwrap()
    }
}

/// What signers and verifiers have met.
#[derive(Default)]
struct Counts {
    signed: Vec<String>,
    refused_requests: Vec<String>,
    refused_tokens: Vec<String>,
}

fn verify(jwks: &[u8], token: &str) -> Result<(), String> {
    let set = JwkSet::parse(jwks).map_err(|error| error.to_string())?;
    let rules = Rules::new("http://127.0.0.1:8080", "orders", [Algorithm::Es256]);
    let verifier = Verifier::new(rules, set).map_err(|error| error.to_string())?;
    let verified = verifier.verify_with_held_keys::<Value>(token, UNIX_EPOCH + since_epoch());
    verified.map(drop).map_err(|error| error.to_string())
}

#[test]
fn three_replicas_are_replaced_one_by_one_and_no_token_is_refused() {
    let Some(previous) = previous() else { return };
    let Some(postgres) = Postgres::start("") else {
        return;
    };
    let current = Path::new(env!("CARGO_BIN_EXE_keywright"));
    let mut fleet = Fleet::start(&postgres, &previous);
    let counts = Arc::new(Mutex::new(Counts::default()));
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..REPLICAS)
        .map(|preferred| {
            let (addresses, admin) = (Arc::clone(&fleet.addresses), fleet.admin.clone());
            let (counts, over) = (Arc::clone(&counts), Arc::clone(&over));
            thread::spawn(move || call(preferred, &addresses, &admin, &counts, &over))
        })
        .collect();

    let signed = |at_least: usize| {
        let goal = counts.lock().unwrap().signed.len() + at_least;
        eventually("signatures", || {
            (counts.lock().unwrap().signed.len() >= goal).then_some(())
        });
    };
    signed(50);
    for index in 0..REPLICAS {
        fleet.replace(index, current);
        signed(50);
        // Those of before and after take over what any of them has changed.
        if index == 0 {
            let rotated = json!({ "algorithm": "ES256", "reason": "upgrade" });
            let path = "/v1/issuers/default/rotate";
            let answer = fleet.any().call("POST", path, Some(&rotated));
            assert_eq!(answer.status, 200, "{}", answer.json());
            // What the new build takes back, the old ones refuse to sign.
            let banned = json!({ "subject": "user-2", "ban": true, "reason": "a theft" });
            let answer = fleet.any().call("POST", REVOCATIONS, Some(&banned));
            assert_eq!(answer.status, 201, "{}", answer.json());
            for server in fleet.servers.iter().flatten() {
                assert_eq!(sign(server, "user-2").json()["code"], "banned");
            }
        }
        signed(50);
    }
    over.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.join().unwrap();
    }

    let counts = Arc::into_inner(counts).unwrap().into_inner().unwrap();
    report(&format!(
        "{} tokens signed, {} requests refused, {} tokens refused",
        counts.signed.len(),
        counts.refused_requests.len(),
        counts.refused_tokens.len()
    ));
    assert_eq!(counts.refused_requests, [""; 0]);
    assert_eq!(counts.refused_tokens, [""; 0]);
    // Nothing that was signed before the upgrade is lost by it.
    let jwks = fleet.any().fetch("/.well-known/jwks.json").body;
    for token in &counts.signed {
        verify(&jwks, token).unwrap();
    }
    let roll = fleet.any().call("GET", "/v1/replicas", None).json();
    assert_eq!(
        roll["replicas"].as_array().unwrap().len(),
        REPLICAS,
        "{roll}"
    );
}

const REVOCATIONS: &str = "/v1/issuers/default/revocations";

fn sign(server: &Server, subject: &str) -> Answer {
    let body = json!({ "claims": { "sub": subject, "aud": "orders" }, "alg": "ES256" });
    server.call("POST", "/v1/issuers/default/tokens", Some(&body))
}

fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_store_of_an_earlier_build_opens_with_everything_in_it() {
    let Some(previous) = previous() else { return };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let previous = Program::at(&previous);
    let server = start_program(&previous, Arc::clone(&folder), "").unwrap();
    let revoked = token(&sign(&server, "user-1"));
    let keys = server.call("GET", "/v1/issuers/default/keys", None).json();
    let is_active = |key: &&Value| key["state"] == "active" && key["algorithm"] == "ES256";
    let active = keys["keys"].as_array().unwrap().iter().find(is_active);
    let kid = active.unwrap()["kid"].as_str().unwrap();
    let path = format!("/v1/issuers/default/keys/{kid}/revoke");
    let answer = server.call("POST", &path, Some(&json!({ "reason": "a leak" })));
    assert_eq!(answer.status, 200, "{}", answer.json());
    let banned = json!({ "subject": "user-2", "ban": true, "reason": "a theft" });
    let answer = server.call("POST", REVOCATIONS, Some(&banned));
    assert_eq!(answer.status, 201, "{}", answer.json());
    let kept = token(&sign(&server, "user-1"));
    let all = |server: &Server| {
        let get = |path: &str| server.call("GET", path, None).json();
        let mut clients = get("/v1/clients")["clients"].clone();
        // It is used as we look.
        clients[0]["credentials"][0]["last_used_at"].take();
        let keys = get("/v1/issuers/default/keys")["keys"].clone();
        (keys, clients, get(REVOCATIONS)["revocations"].clone())
    };
    let events = |server: &Server| {
        let page = server.call("GET", "/v1/audit?limit=1000", None).json();
        page["events"].as_array().unwrap().clone()
    };
    let (before, events_before) = (all(&server), events(&server));
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0), "it drains");

    let server = start_program(&Program::default(), folder, "").unwrap();
    assert_eq!(all(&server), before);
    assert_eq!(events(&server)[..events_before.len()], events_before);
    assert_eq!(sign(&server, "user-2").json()["code"], "banned");
    let jwks = server.fetch("/.well-known/jwks.json").body;
    verify(&jwks, &kept).unwrap();
    assert!(verify(&jwks, &revoked).is_err());
    verify(&jwks, &token(&sign(&server, "user-1"))).unwrap();
}

/// Signs at one replica, or at the next one that the load balancer has, and verifies with what
/// another one publishes.
#[expect(
    clippy::disallowed_methods,
    reason = "callers of real processes have no other clock"
)]
fn call(
    preferred: usize,
    addresses: &Addresses,
    admin: &str,
    counts: &Mutex<Counts>,
    over: &AtomicBool,
) {
    let body =
        json!({ "claims": { "sub": "user-1", "aud": "orders" }, "alg": "ES256" }).to_string();
    let headers = [("authorization", format!("Bearer {admin}"))];
    let mut turn = preferred;
    while !over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
        turn += 1;
        let serving = addresses.read().unwrap().clone();
        let serving: Vec<_> = serving.into_iter().flatten().collect();
        let (_, internal) = &serving[turn % serving.len()];
        let url = format!("{internal}/v1/issuers/default/tokens");
        let request = ("application/json", body.clone().into_bytes());
        // One that is being stopped accepts no more connections: the next one is asked.
        let Ok(answer) = try_request("POST", &url, &headers, Some(request)) else {
            continue;
        };
        if answer.status != 201 {
            let refused = String::from_utf8_lossy(&answer.body).into_owned();
            counts.lock().unwrap().refused_requests.push(refused);
            continue;
        }
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        let (public, _) = &serving[(turn + 1) % serving.len()];
        let url = format!("{public}/.well-known/jwks.json");
        if let Ok(jwks) = try_request("GET", &url, &[], None)
            && let Err(refused) = verify(&jwks.body, &token)
        {
            counts.lock().unwrap().refused_tokens.push(refused);
        }
        counts.lock().unwrap().signed.push(token);
    }
}
