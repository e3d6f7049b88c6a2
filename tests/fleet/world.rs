//! Three replicas, each with its own way to the database and its own clock.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::support::postgres::Postgres;
use crate::support::{Answer, Server, report, start_with};

pub(crate) const REPLICAS: usize = 3;

/// How long a replica may take to start, or to be ready again.
const PATIENCE: Duration = Duration::from_secs(20);

/// For how long a replica may use what it has read.
pub(crate) const STALENESS: Duration = Duration::from_secs(2);

/// The issuer of the tokens.
pub(crate) const ISSUER: &str = "http://127.0.0.1:8080";

/// The audience of the internal listener: who authenticates by an assertion names it.
pub(crate) const INTERNAL: &str = "https://keys.example/internal";

/// An issuer that is trusted, and whose keys never come.
pub(crate) const STALLED: &str = "https://stalled.example";

/// Where a replica is reached.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) public: String,
    pub(crate) internal: String,
}

pub(crate) struct Fleet<'p> {
    pub(crate) postgres: &'p Postgres,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) addresses: Arc<RwLock<Vec<Address>>>,
    pub(crate) admin: String,
    /// Whether the last replica's clock can be set.
    pub(crate) has_clock: bool,
    servers: Vec<Option<Server>>,
    /// It accepts connections, and never answers one.
    stalled: TcpListener,
    folders: Vec<Arc<TempDir>>,
    database: String,
}

impl<'p> Fleet<'p> {
    pub(crate) fn start(postgres: &'p Postgres) -> Self {
        let folder = |_| Arc::new(tempfile::tempdir().unwrap());
        let mut fleet = Self {
            postgres,
            proxies: (0..REPLICAS).map(|_| Proxy::to(postgres.port())).collect(),
            addresses: Arc::default(),
            admin: String::new(),
            has_clock: faketime().is_some(),
            servers: Vec::new(),
            stalled: TcpListener::bind("127.0.0.1:0").unwrap(),
            folders: (0..REPLICAS).map(folder).collect(),
            database: postgres.database(),
        };
        if !fleet.has_clock {
            report("SKIPPED: clocks that jump: libfaketime is missing");
        }
        for index in 0..REPLICAS {
            let data = fleet.folders[index].path().join("keys");
            fs::create_dir_all(&data).unwrap();
            if index > 0 {
                let first = fleet.folders[0].path().join("keys");
                for file in ["master.key", "admin.token"] {
                    fs::copy(first.join(file), data.join(file)).unwrap();
                }
            }
            let server = fleet.launch(index);
            fleet.admin = server.admin.clone();
            fleet.addresses.write().unwrap().push(address(&server));
            fleet.servers.push(Some(server));
        }
        let mut policy = fleet
            .call(0, "GET", "/v1/issuers/default", None)
            .unwrap()
            .json()["policy"]
            .take();
        for (name, value) in [
            ("algorithms", json!(["ES256"])),
            ("default_algorithm", json!("ES256")),
            ("rotation", json!({ "every": "6s" })),
            ("lead", json!("3s")),
            ("jwks_max_age", json!("1s")),
            ("stale_if_error", json!("0s")),
            ("clock_skew", json!("2s")),
            ("default_token_ttl", json!("6s")),
            ("max_token_ttl", json!("6s")),
        ] {
            policy[name] = value;
        }
        let answer = fleet
            .call(0, "PUT", "/v1/issuers/default", Some(&policy))
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        fleet.recovers();
        fleet
    }

    fn launch(&self, index: usize) -> Server {
        let direct = format!(":{}/", self.postgres.port());
        let url = self
            .database
            .replace(&direct, &format!(":{}/", self.proxies[index].port));
        let settings = format!(
            "store.url = \"{url}\"\nstore.max_staleness = \"{}s\"\nstore.statement_timeout = \"1s\"\n\
             internal.audience = \"{INTERNAL}\"\n\
             [[trusted_issuers]]\nname = \"stalled\"\nissuer = \"{STALLED}\"\n\
             audience = \"{INTERNAL}\"\njwks_url = \"http://{}/jwks\"\n",
            STALENESS.as_secs(),
            self.stalled.local_addr().unwrap()
        );
        let mut environment = Vec::new();
        let clock = self.clock(index);
        let library = faketime();
        if index == REPLICAS - 1
            && let Some(library) = &library
        {
            fs::write(&clock, "+0").unwrap();
            environment = vec![
                ("LD_PRELOAD", library.to_str().unwrap()),
                ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
                ("FAKETIME_NO_CACHE", "1"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ];
        }
        // As what runs it would: a start that the database answers too late is tried again.
        let began = Instant::now();
        loop {
            let folder = Arc::clone(&self.folders[index]);
            match start_with(folder, &settings, &environment) {
                Ok(server) => return server,
                Err(log) => assert!(began.elapsed() < PATIENCE, "{log}"),
            }
        }
    }

    fn clock(&self, index: usize) -> PathBuf {
        self.folders[index].path().join("clock")
    }

    /// Sets the last replica's clock this far ahead or back.
    pub(crate) fn set_clock(&self, ahead: &str) {
        fs::write(self.clock(REPLICAS - 1), ahead).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, index: usize) {
        drop(self.servers[index].take().unwrap().kill());
    }

    pub(crate) fn restart(&mut self, index: usize) {
        let server = self.launch(index);
        self.addresses.write().unwrap()[index] = address(&server);
        self.servers[index] = Some(server);
    }

    /// Sends a signal to a replica.
    pub(crate) fn signal(&self, index: usize, name: &str) {
        let process = self.servers[index].as_ref().unwrap().process();
        let sent = std::process::Command::new("kill")
            .args([&format!("-{name}"), &process.to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until every replica is ready.
    pub(crate) fn recovers(&self) {
        let began = Instant::now();
        for index in 0..REPLICAS {
            loop {
                let url = format!("{}/readyz", self.addresses.read().unwrap()[index].public);
                let answer = ask("GET", &url, None, None);
                if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                    break;
                }
                if began.elapsed() > PATIENCE {
                    let said = answer.map(|answer| String::from_utf8(answer.body));
                    let log = self.servers[index].as_ref().unwrap().log();
                    panic!("replica {index} does not recover: {said:?}\n{log}");
                }
                sleep(Duration::from_millis(50));
            }
        }
    }

    /// What the database is called.
    pub(crate) fn database_name(&self) -> String {
        let (_, name) = self.database.rsplit_once('/').unwrap();
        name.split('?').next().unwrap().to_owned()
    }

    /// A request to a replica's internal listener.
    pub(crate) fn call(
        &self,
        index: usize,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ureq::Error> {
        self.call_within(index, method, path, body, Duration::from_secs(10))
    }

    pub(crate) fn call_within(
        &self,
        index: usize,
        method: &str,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer, ureq::Error> {
        let url = format!("{}{path}", self.addresses.read().unwrap()[index].internal);
        ask_within(method, &url, Some(&self.admin), body, patience)
    }
}

fn address(server: &Server) -> Address {
    Address {
        public: server.public.clone(),
        internal: server.internal.clone(),
    }
}

/// The library that fakes the time of day, where there is one.
fn faketime() -> Option<PathBuf> {
    let architecture = format!("{}-linux-gnu", std::env::consts::ARCH);
    let library = format!("usr/lib/{architecture}/faketime/libfaketimeMT.so.1");
    let fetched = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/faketime");
    let places = [PathBuf::from("/"), fetched];
    places
        .into_iter()
        .map(|place| place.join(&library))
        .find(|path| path.exists())
}

/// A request that is not waited for long.
pub(crate) fn ask(
    method: &str,
    url: &str,
    credential: Option<&str>,
    body: Option<&Value>,
) -> Result<Answer, ureq::Error> {
    ask_within(method, url, credential, body, Duration::from_millis(1500))
}

pub(crate) fn ask_within(
    method: &str,
    url: &str,
    credential: Option<&str>,
    body: Option<&Value>,
    patience: Duration,
) -> Result<Answer, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(patience))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(credential) = credential {
        request = request.header("authorization", format!("Bearer {credential}"));
    }
    let mut response = match body {
        Some(body) => {
            let request = request.header("content-type", "application/json");
            agent.run(request.body(body.to_string()).unwrap())?
        }
        None => agent.run(request.body(()).unwrap())?,
    };
    let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
        (
            name.to_string(),
            value.to_str().unwrap_or_default().to_owned(),
        )
    };
    let headers = response.headers().iter().map(header).collect();
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_vec()?;
    Ok(Answer {
        status,
        headers,
        body,
    })
}
