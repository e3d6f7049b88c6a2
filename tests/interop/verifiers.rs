//! The verifiers: four libraries of two other languages, each in a process that lives through a
//! test with its cache; the crate `jsonwebtoken` here, and our own.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use keywright_verifier::{RemoteKeys, Rules};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::report;
use crate::support::request;

/// Who every token in these tests is for.
pub(crate) const AUDIENCE: &str = "orders";

/// How soon after a fetch an unknown kid makes a verifier fetch again.
#[derive(Clone, Copy)]
pub(crate) enum CoolDown {
    /// What the library does by default: 30 s for panva/jose and PyJWT.
    Default,
    /// A tenth of that, for tests that have no half minutes to wait.
    Tenth,
}

/// Something that accepts or refuses tokens.
pub(crate) trait Verify: Send {
    /// Checks a token of an issuer. `jwks` is where its keys are, if not under its own URL.
    ///
    /// # Errors
    /// The verifier's own code and words.
    fn verify(&mut self, token: &str, issuer: &str, jwks: Option<&str>) -> Result<(), String>;
}

/// A verifier and how the tests call it.
pub(crate) struct Verifier {
    pub(crate) name: &'static str,
    /// Whether it fetches the set anew for each token.
    pub(crate) is_cacheless: bool,
    inner: Box<dyn Verify>,
}

impl Verifier {
    pub(crate) fn verify(&mut self, token: &str, issuer: &str) -> Result<(), String> {
        self.inner.verify(token, issuer, None)
    }

    /// Checks a token against a key set that stands elsewhere.
    pub(crate) fn verify_with(
        &mut self,
        token: &str,
        issuer: &str,
        jwks: &str,
    ) -> Result<(), String> {
        self.inner.verify(token, issuer, Some(jwks))
    }
}

/// Every verifier that can be had, with an empty cache.
pub(crate) fn all(cool_down: CoolDown) -> Vec<Verifier> {
    let library = |keeps_seconds| {
        Box::new(Library {
            keeps: Duration::from_secs(keeps_seconds),
            sets: HashMap::new(),
        })
    };
    let mut verifiers = vec![
        Verifier {
            name: "jsonwebtoken, no cache",
            is_cacheless: true,
            inner: library(0),
        },
        // It never asks again for an unknown kid, as Envoy, Istio and lestrrat-go/jwx do not.
        Verifier {
            name: "jsonwebtoken, 5 s cache",
            is_cacheless: false,
            inner: library(5),
        },
    ];
    verifiers.push(Verifier {
        name: "keywright-verifier",
        is_cacheless: false,
        inner: Box::new(Ours::new(cool_down)),
    });
    let mut add = |name, command: Command| {
        let inner = Box::new(Process::start(name, command, cool_down));
        verifiers.push(Verifier {
            name,
            is_cacheless: false,
            inner,
        });
    };
    if let Some(folder) = node() {
        add("jose", node_script(&folder, "verify-jose.mjs"));
        add(
            "jwks-rsa + jsonwebtoken",
            node_script(&folder, "verify-jwks-rsa.mjs"),
        );
    }
    if let Some(python) = python() {
        add("PyJWT", python_script(&python, "verify_pyjwt.py"));
        add("joserfc", python_script(&python, "verify_joserfc.py"));
    }
    for verifier in &mut verifiers {
        // An answer, whatever it is, tells that the process is up: tokens need not wait for that.
        let answer = verifier.verify("no token", "http://127.0.0.1:1");
        assert!(answer.is_err(), "{} accepts anything", verifier.name);
    }
    verifiers
}

/// The folder of the Node verifiers; `None` when they are to be skipped.
pub(crate) fn node() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/node");
    let installed = folder.join("node_modules/jose").is_dir();
    available("KEYWRIGHT_SKIP_NODE", "jose, jwks-rsa", installed).then_some(folder)
}

/// The interpreter of the Python verifiers; `None` when they are to be skipped.
pub(crate) fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let installed = python.exists();
    available(
        "KEYWRIGHT_SKIP_PYTHON",
        "PyJWT, joserfc, Authlib",
        installed,
    )
    .then_some(python)
}

/// Whether what a test needs is there, or fails unless it is to be skipped.
pub(crate) fn available(variable: &str, names: &str, installed: bool) -> bool {
    if std::env::var(variable).is_ok_and(|value| value == "1") {
        report(&format!("SKIPPED: {names}: {variable}=1"));
        return false;
    }
    assert!(
        installed,
        "{names} are not installed: run scripts/test, or set {variable}=1"
    );
    true
}

/// A Node script among the verifiers.
pub(crate) fn node_script(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(folder.join(script));
    command
}

pub(crate) fn python_script(python: &Path, script: &str) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/python");
    let mut command = Command::new(python);
    // -B: byte code does not belong into a source tree.
    command.arg("-B").arg(folder.join(script));
    command
}

/// A process that answers each line with one line.
pub(crate) struct Dialogue {
    name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Dialogue {
    pub(crate) fn start(name: impl Into<String>, mut command: Command) -> Self {
        let name = name.into();
        // A proxy has no business between two ends of one machine.
        command
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let input = child.stdin.take().expect("standard input is piped");
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        Self {
            name,
            child,
            input,
            output,
        }
    }

    pub(crate) fn ask(&mut self, question: &Value) -> String {
        self.tell(&question.to_string())
    }

    /// Writes a line and reads the answer.
    pub(crate) fn tell(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap_or_else(|error| panic!("{}: {error}", self.name));
        self.read()
    }

    pub(crate) fn read(&mut self) -> String {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).expect("text");
        assert_ne!(
            read, 0,
            "{} has ended; what it said stands above",
            self.name
        );
        line.trim_end().to_owned()
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Process(Dialogue);

impl Process {
    fn start(name: &'static str, mut command: Command, cool_down: CoolDown) -> Self {
        if matches!(cool_down, CoolDown::Tenth) {
            command.args(["--cool-down", "3"]);
        }
        Self(Dialogue::start(name, command))
    }
}

impl Verify for Process {
    fn verify(&mut self, token: &str, issuer: &str, jwks: Option<&str>) -> Result<(), String> {
        let mut question = json!({ "token": token, "issuer": issuer, "audience": AUDIENCE });
        if let Some(jwks) = jwks {
            question["jwks"] = jwks.into();
        }
        match self.0.ask(&question).as_str() {
            "ok" => Ok(()),
            refusal => Err(refusal.to_owned()),
        }
    }
}

/// The crate of this workspace, as a service that fetches from the issuer uses it.
struct Ours {
    runtime: Runtime,
    cool_down: Duration,
    verifiers: HashMap<String, keywright_verifier::Verifier>,
}

impl Ours {
    fn new(cool_down: CoolDown) -> Self {
        // One thread of its own, for what goes on in the background.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self {
            runtime: runtime.expect("a runtime"),
            cool_down: match cool_down {
                CoolDown::Default => Duration::from_secs(30),
                CoolDown::Tenth => Duration::from_secs(3),
            },
            verifiers: HashMap::new(),
        }
    }

    fn verifier(&self, issuer: &str, jwks: Option<&str>) -> keywright_verifier::Verifier {
        let _runtime = self.runtime.enter();
        let keys = match jwks {
            Some(url) => RemoteKeys::at(url),
            None => RemoteKeys::of_issuer(issuer),
        };
        let keys = keys
            // The sets of these tests are fresh for seconds.
            .freshness(Duration::from_secs(1)..=Duration::from_secs(3600))
            .cool_down(self.cool_down)
            .timeout(Duration::from_secs(20))
            .start()
            .expect("keys of this machine");
        let rules = Rules::new(issuer, AUDIENCE, keywright_verifier::Algorithm::ALL);
        keywright_verifier::Verifier::new(rules, keys).expect("rules")
    }
}

impl Verify for Ours {
    fn verify(&mut self, token: &str, issuer: &str, jwks: Option<&str>) -> Result<(), String> {
        let place = jwks.unwrap_or(issuer).to_owned();
        if !self.verifiers.contains_key(&place) {
            let verifier = self.verifier(issuer, jwks);
            self.verifiers.insert(place.clone(), verifier);
        }
        let verified = self
            .runtime
            .block_on(self.verifiers[&place].verify::<Value>(token));
        verified
            .map(drop)
            .map_err(|error| format!("{} {error}", error.code()))
    }
}

struct Library {
    keeps: Duration,
    sets: HashMap<String, (JwkSet, Instant)>,
}

impl Verify for Library {
    fn verify(&mut self, token: &str, issuer: &str, jwks: Option<&str>) -> Result<(), String> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
        let kid = header.kid.ok_or("no kid")?;
        let own = format!("{issuer}/.well-known/jwks.json");
        let url = jwks.unwrap_or(&own);
        // Kept since the question was asked, not since the answer came: a slow answer is no
        // fresher than a quick one.
        let asked_at = Instant::now();
        let is_fresh = |(_, since): &(JwkSet, Instant)| asked_at - *since < self.keeps;
        if !self.sets.get(url).is_some_and(is_fresh) {
            let answer = request("GET", url, &[], None);
            let set = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            self.sets.insert(url.to_owned(), (set, asked_at));
        }
        let jwk = self.sets[url]
            .0
            .find(&kid)
            .ok_or_else(|| format!("unknown kid {kid}"))?;
        verify_with(jwk, token, issuer)
    }
}

/// Checks a token with the crate `jsonwebtoken` as strictly as it can, by the algorithm that the key
/// names.
pub(crate) fn verify_with(jwk: &Jwk, token: &str, issuer: &str) -> Result<(), String> {
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let algorithm = match jwk
        .common
        .key_algorithm
        .map(|name| name.to_string())
        .as_deref()
    {
        Some("ES256") => Algorithm::ES256,
        Some("RS256") => Algorithm::RS256,
        other => return Err(format!("a key with the algorithm {other:?}")),
    };
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation);
    decoded.map(drop).map_err(|error| error.to_string())
}
