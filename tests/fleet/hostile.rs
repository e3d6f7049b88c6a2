//! A client with a small credential that takes what it can get, a caller with forged tokens and one
//! with nothing, beside everything else. What they do must cost the others nothing.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Signatory;
use crate::support::since_epoch;
use crate::world::{Address, Fleet, INTERNAL, REPLICAS, STALLED, ask};

const SIGN: &str = "/v1/issuers/default/tokens";
const BATCH: &str = "/v1/issuers/default/tokens/batch";
const PLAN: &str = "/v1/issuers/default/plan";

/// How many connections at a time are opened and not used.
const CONNECTIONS: usize = 200;

/// How many bodies at a time lack their last octet, and how many octets each has.
const BODIES: usize = 8;
const BODY: usize = 4 << 20;

/// How many forged tokens at a time wait for keys.
const FORGED: usize = 8;

/// Attacks in turn until the end.
pub(crate) struct Hostile {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

/// How often each attack had which status.
pub(crate) type Answers = BTreeMap<String, u64>;

impl Hostile {
    pub(crate) fn begin(fleet: &Fleet<'_>) -> Self {
        let key = Signatory::new("hostile");
        let rate = json!({ "signatures_per_second": 5, "burst": 5 });
        // As slow as a schema may be: one pattern, and 200 alternatives for each element of a list.
        let schema = json!({ "properties": {
            "text": { "pattern": "[ab]*a[ab]{1800}c" },
            "list": { "items": { "anyOf": vec![json!({ "minItems": 2 }); 200] } },
        }});
        let small = json!({
            "name": "hostile", "roles": ["issuer", "auditor"], "jwks": key.jwks(),
            "limits": {
                "issuers": ["default"], "rate": rate, "subjects": ["user-*"], "claims_schema": schema,
            },
        });
        let created = fleet.call(0, "POST", "/v1/clients", Some(&small)).unwrap();
        assert_eq!(created.status, 201, "{}", created.json());
        let issuer = fleet.call(0, "GET", "/v1/issuers/default", None).unwrap();
        let mut years = issuer.json()["policy"].take();
        years["rotation"] = json!({ "cron": "*/5 * * * *", "timezone": "America/New_York" });
        let text = |name: &str| created.json()[name].as_str().unwrap().to_owned();
        let over = Arc::new(AtomicBool::new(false));
        let attacker = Attacker {
            addresses: Arc::clone(&fleet.addresses),
            credential: text("credential"),
            id: text("id"),
            bootstrap: fleet.admin.clone(),
            key,
            years,
            over: Arc::clone(&over),
            answers: BTreeMap::new(),
        };
        let thread = spawn(move || attacker.run());
        Self { over, thread }
    }

    /// Ends the attacks.
    pub(crate) fn ends(self) -> Answers {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// Panics unless every attack was tried, and none was let through.
pub(crate) fn hold(answers: &Answers) {
    let of = |attack: &str| -> Vec<&str> {
        let statuses = answers.keys().filter_map(|line| line.strip_prefix(attack));
        statuses
            .filter_map(|rest| rest.strip_prefix(": "))
            .collect()
    };
    for (attack, refusals) in [
        ("1 a slow schema", &["403"][..]),
        ("2 refusals", &["403"]),
        ("3 a plan without its body", &["sent"]),
        ("4 bodies without their end", &["sent"]),
        ("5 a folded name", &["400"]),
        ("6 an assertion of the future", &["401"]),
        ("7 a credential in a URL", &["400"]),
        ("8 silent connections", &["sent"]),
        ("9 a plan of years", &["200", "429"]),
        ("10 forged tokens", &["503", "401"]),
        ("a rotation", &["403"]),
    ] {
        let got = of(attack);
        let expected = got.iter().any(|status| refusals.contains(status));
        assert!(expected, "{attack}: {got:?}");
        // A replica that is frozen, cut off or killed says something else, or nothing.
        let passed = got.contains(&"200") || got.contains(&"201");
        assert!(!passed || refusals.contains(&"200"), "{attack}: {got:?}");
    }
}

struct Attacker {
    addresses: Arc<RwLock<Vec<Address>>>,
    credential: String,
    id: String,
    bootstrap: String,
    key: Signatory,
    /// A policy that rotates each five minutes.
    years: Value,
    over: Arc<AtomicBool>,
    answers: Answers,
}

impl Attacker {
    fn run(mut self) -> Answers {
        let text: String = (0..2000_u32).map(letter).collect();
        let slow = json!({ "sub": "user-1", "text": text, "list": vec![json!([1]); 1000] });
        let folded = json!({ "claims": { "sub": "user-1", "\u{17f}ub": "admin" } });
        let small: Vec<(&str, &str, String, Option<Value>)> = vec![
            (
                "1 a slow schema",
                "POST",
                SIGN.to_owned(),
                Some(json!({ "claims": slow })),
            ),
            (
                "2 refusals",
                "POST",
                BATCH.to_owned(),
                Some(json!({ "requests": vec![json!({}); 1000] })),
            ),
            ("5 a folded name", "POST", SIGN.to_owned(), Some(folded)),
            (
                "7 a credential in a URL",
                "GET",
                format!("/v1/issuers/{}", self.credential),
                None,
            ),
            (
                "7 the bootstrap credential in a URL",
                "GET",
                format!("/v1/issuers/{}", self.bootstrap),
                None,
            ),
            (
                "9 a plan of years",
                "POST",
                format!("{PLAN}?until=99999999999"),
                Some(self.years.clone()),
            ),
            (
                "the audit log",
                "GET",
                "/v1/audit?limit=1000".to_owned(),
                None,
            ),
            (
                "a rotation",
                "POST",
                "/v1/issuers/default/rotate".to_owned(),
                Some(json!({})),
            ),
        ];
        for replica in (0..REPLICAS).cycle() {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            for (name, method, path, body) in &small {
                self.attack(
                    name,
                    replica,
                    method,
                    path,
                    &self.credential.clone(),
                    body.as_ref(),
                );
            }
            let assertion = self.assertion_of_the_future();
            let one = json!({ "claims": { "sub": "user-1" } });
            self.attack(
                "6 an assertion of the future",
                replica,
                "POST",
                SIGN,
                &assertion,
                Some(&one),
            );
            self.forged_tokens(replica);
            let plan = format!("{PLAN}?until=99999999999");
            for (name, count, path, length) in [
                (
                    "3 a plan without its body",
                    CONNECTIONS,
                    plan.as_str(),
                    1000,
                ),
                ("4 bodies without their end", BODIES, BATCH, BODY),
                ("8 silent connections", CONNECTIONS, "", 0),
            ] {
                let held = self.unfinished(replica, count, path, length);
                let outcome = if held.is_empty() { "refused" } else { "sent" };
                self.count(name, outcome);
                sleep(Duration::from_millis(300));
            }
        }
        self.answers
    }

    fn count(&mut self, attack: &str, outcome: &str) {
        *self
            .answers
            .entry(format!("{attack}: {outcome}"))
            .or_default() += 1;
    }

    fn attack(
        &mut self,
        name: &str,
        replica: usize,
        method: &str,
        path: &str,
        credential: &str,
        body: Option<&Value>,
    ) {
        let internal = self.addresses.read().unwrap()[replica].internal.clone();
        let answer = ask(method, &format!("{internal}{path}"), Some(credential), body);
        let outcome = answer.map_or("no answer".to_owned(), |answer| answer.status.to_string());
        self.count(name, &outcome);
    }

    /// A good assertion, but for its `iat`: it would be forgotten before it expires.
    fn assertion_of_the_future(&self) -> String {
        let now = since_epoch().as_secs();
        self.key.sign(&json!({
            "iss": self.id, "sub": self.id, "aud": INTERNAL, "iat": now + 200, "exp": now + 290,
            "jti": format!("{now}"),
        }))
    }

    /// Tokens of an issuer that is trusted and whose keys do not come, several at a time.
    fn forged_tokens(&mut self, replica: usize) {
        let now = since_epoch().as_secs();
        let forged = self.key.sign(&json!({
            "iss": STALLED, "aud": INTERNAL, "sub": "a", "iat": now, "exp": now + 600,
        }));
        let url = format!("{}{SIGN}", self.addresses.read().unwrap()[replica].internal);
        let outcomes: Vec<String> = std::thread::scope(|scope| {
            let ask = || ask("POST", &url, Some(&forged), Some(&json!({ "claims": {} })));
            let threads: Vec<_> = (0..FORGED).map(|_| scope.spawn(ask)).collect();
            let answers = threads.into_iter().map(|thread| thread.join().unwrap());
            answers
                .map(|answer| answer.map_or("no answer".to_owned(), |one| one.status.to_string()))
                .collect()
        });
        for outcome in outcomes {
            self.count("10 forged tokens", &outcome);
        }
    }

    /// So many connections of which a request lacks its end: announced with so many octets, of which
    /// all but the last are sent if they are many, and one otherwise. With an empty path nothing is
    /// sent, on both listeners.
    fn unfinished(
        &self,
        replica: usize,
        count: usize,
        path: &str,
        length: usize,
    ) -> Vec<TcpStream> {
        let address = self.addresses.read().unwrap()[replica].clone();
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            self.credential
        );
        request.push_str(&"[".repeat(if length == BODY { length - 1 } else { 1 }));
        let listeners = [&address.internal, &address.public];
        let opened = (0..count).filter_map(|number| {
            let listener = listeners[if path.is_empty() { number % 2 } else { 0 }];
            let mut stream = TcpStream::connect(listener.strip_prefix("http://")?).ok()?;
            if !path.is_empty() {
                stream
                    .set_write_timeout(Some(Duration::from_secs(1)))
                    .ok()?;
                // It may be closed already.
                let _ = stream.write_all(request.as_bytes());
            }
            Some(stream)
        });
        opened.collect()
    }
}

/// Letters without a period, so that the pattern is tried at every one of them.
fn letter(number: u32) -> char {
    match number.wrapping_mul(2_654_435_761) >> 31 {
        0 => 'a',
        _ => 'b',
    }
}
