//! A client with a small credential that takes what it can get, and a stranger with none, beside
//! everything else. What they do must cost the others nothing.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Address, Fleet, REPLICAS, ask};

const SIGN: &str = "/v1/issuers/default/tokens";
const BATCH: &str = "/v1/issuers/default/tokens/batch";
const PLAN: &str = "/v1/issuers/default/plan";

/// How many connections at a time are opened and not used.
const CONNECTIONS: usize = 100;

/// Attacks in turn until the end.
pub(crate) struct Hostile {
    over: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, u64>>,
}

impl Hostile {
    pub(crate) fn begin(fleet: &Fleet<'_>) -> Self {
        let rate = json!({ "signatures_per_second": 1, "burst": 1 });
        let small = json!({
            "name": "hostile", "roles": ["issuer", "auditor"],
            "limits": { "issuers": ["default"], "rate": rate },
        });
        let created = fleet.call(0, "POST", "/v1/clients", Some(&small)).unwrap();
        assert_eq!(created.status, 201, "{}", created.json());
        let credential = created.json()["credential"].clone();
        let over = Arc::new(AtomicBool::new(false));
        let attacker = Attacker {
            addresses: Arc::clone(&fleet.addresses),
            credential: credential.as_str().unwrap().to_owned(),
            over: Arc::clone(&over),
        };
        let thread = spawn(move || attacker.run());
        Self { over, thread }
    }

    /// What was answered to each attack, by status.
    pub(crate) fn ends(self) -> BTreeMap<String, u64> {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

struct Attacker {
    addresses: Arc<RwLock<Vec<Address>>>,
    credential: String,
    over: Arc<AtomicBool>,
}

impl Attacker {
    fn run(self) -> BTreeMap<String, u64> {
        let refusals = json!({ "requests": vec![json!({}); 1000] });
        let mut deep = Value::Null;
        for _ in 0..28 {
            deep = json!([deep, 1]);
        }
        let deep = json!({ "claims": { "deep": deep } });
        let hidden = json!({ "claims": { "sub\u{200b}": "admin" } });
        let wide = json!({ "claims": { "wide": vec![Value::Null; 12_000] } });
        let policy = json!({
            "url": "http://127.0.0.1:8080", "algorithms": ["ES256", "RS256"],
            "rotation": { "cron": "*/5 * * * *", "timezone": "America/New_York" },
        });
        let body = |value: &Value| Some(value.clone());
        let attacks = [
            ("refusals", "POST", BATCH.to_owned(), body(&refusals)),
            ("deep claims", "POST", SIGN.to_owned(), body(&deep)),
            ("hidden claims", "POST", SIGN.to_owned(), body(&hidden)),
            ("wide claims", "POST", SIGN.to_owned(), body(&wide)),
            (
                "a plan of years",
                "POST",
                format!("{PLAN}?until=3650d"),
                body(&policy),
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
                body(&json!({})),
            ),
            (
                "a credential in a URL",
                "GET",
                format!("/v1/issuers/{}", self.credential),
                None,
            ),
        ];
        let mut answers = BTreeMap::new();
        let mut replica = 0;
        while !self.over.load(Ordering::SeqCst) {
            for (name, method, path, body) in &attacks {
                replica = (replica + 1) % REPLICAS;
                let internal = self.addresses.read().unwrap()[replica].internal.clone();
                let url = format!("{internal}{path}");
                let answer = ask(method, &url, Some(&self.credential), body.as_ref());
                let answer =
                    answer.map_or("no answer".to_owned(), |answer| answer.status.to_string());
                *answers.entry(format!("{name}: {answer}")).or_default() += 1;
                let guessed = ask("GET", &url, Some("kw_guessed"), None);
                drop(guessed);
            }
            let held = self.unused_connections(replica);
            sleep(Duration::from_millis(300));
            drop(held);
        }
        answers
    }

    /// Connections on both listeners: silent ones, and requests of which the end is missing.
    fn unused_connections(&self, replica: usize) -> Vec<TcpStream> {
        let address = self.addresses.read().unwrap()[replica].clone();
        let request = format!(
            "POST {BATCH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: 4000000\r\n\r\n{{",
            self.credential
        );
        let texts = ["", "GET / HT", request.as_str()];
        let listeners = [&address.public, &address.internal];
        let opened = (0..CONNECTIONS).filter_map(|number| {
            let listener = listeners[number % 2].strip_prefix("http://")?;
            let mut stream = TcpStream::connect(listener).ok()?;
            // It may be closed already.
            let _ = stream.write_all(texts[number % texts.len()].as_bytes());
            Some(stream)
        });
        opened.collect()
    }
}
