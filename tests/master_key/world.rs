//! What several tests stand on: keys, folders, rows, and processes that must not come up.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywright::store::seal::{MasterKey, MasterKeys};
use keywright_verifier::{Algorithm, JwkSet, Jws};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::support::{Answer, Server, eventually, spawn_with, start_in};

/// A master key for tests.
pub(crate) struct Key {
    pub(crate) bytes: [u8; 32],
    pub(crate) text: String,
}

impl Key {
    /// Keys of different numbers are different.
    pub(crate) fn new(number: u8) -> Self {
        let bytes = std::array::from_fn(|index| (index as u8).wrapping_mul(37) ^ number);
        let text = STANDARD.encode(bytes);
        Self { bytes, text }
    }

    pub(crate) fn master(&self) -> MasterKey {
        MasterKey::new(&zeroize::Zeroizing::new(self.bytes)).unwrap()
    }

    pub(crate) fn fingerprint(&self) -> String {
        self.master().fingerprint().to_string()
    }

    /// Every form in which it could have been written somewhere.
    pub(crate) fn forms(&self) -> Vec<Vec<u8>> {
        let hex: String = self
            .bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let numbers: Vec<String> = self.bytes.iter().map(u8::to_string).collect();
        vec![
            self.bytes.to_vec(),
            self.text.trim_end_matches('=').as_bytes().to_vec(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
            numbers.join(", ").into_bytes(),
        ]
    }

    /// Puts it into a file beside the data folder.
    pub(crate) fn put(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, format!("{}\n", self.text)).unwrap();
        path
    }
}

pub(crate) fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// The settings that name these keys by files: the first one, then further ones.
pub(crate) fn named(folder: &Path, keys: &[&Key]) -> String {
    let mut settings = String::new();
    for (index, key) in keys.iter().enumerate() {
        let path = key.put(folder, &format!("{}.key", key.fingerprint()));
        let setting = match index {
            0 => format!("master_key_file = {path:?}\n"),
            _ => format!("[[further_master_keys]]\nfile = {path:?}\n"),
        };
        settings.push_str(&setting);
    }
    settings
}

/// A service that has these keys.
pub(crate) fn serve(folder: &Arc<TempDir>, keys: &[&Key]) -> Server {
    let settings = named(folder.path(), keys);
    start_in(Arc::clone(folder), &settings).unwrap_or_else(|log| panic!("no start: {log}"))
}

pub(crate) fn ok(answer: Answer) -> Value {
    assert!((200..300).contains(&answer.status), "{}", answer.json());
    answer.json()
}

pub(crate) fn create_issuer(server: &Server, name: &str) {
    let policy = json!({
        "url": format!("http://127.0.0.1:8080/{name}"), "algorithms": ["ES256"],
        "default_token_ttl": "1h", "max_token_ttl": "1h",
    });
    ok(server.call("PUT", &format!("/v1/issuers/{name}"), Some(&policy)));
}

pub(crate) fn sign(server: &Server, issuer: &str) -> String {
    server.sign(issuer, &json!({ "claims": { "sub": "user-1" } }))
}

pub(crate) fn verifies(server: &Server, issuer: &str, token: &str) -> Result<(), String> {
    let path = match issuer {
        "default" => "/.well-known/jwks.json".to_owned(),
        name => format!("/{name}/.well-known/jwks.json"),
    };
    let set = JwkSet::parse(&server.fetch(&path).body).unwrap();
    let jws = Jws::parse(token, 4096).unwrap();
    let verified = jws.verify(&set, &Algorithm::ALL);
    verified.map(drop).map_err(|error| error.to_string())
}

pub(crate) fn state(server: &Server) -> Value {
    ok(server.call("GET", "/v1/master-key", None))
}

pub(crate) fn rotate(server: &Server, to: &Key) -> Value {
    let body = json!({ "to": to.fingerprint(), "reason": "a test" });
    ok(server.call("POST", "/v1/master-key/rotate", Some(&body)))
}

/// The words of all events that concern the master key.
pub(crate) fn events(server: &Server) -> Vec<Value> {
    let page = ok(server.call("GET", "/v1/audit?limit=1000", None));
    let events = page["events"].as_array().unwrap().iter();
    let meant = |event: &&Value| {
        let word = event["event"].as_str().unwrap();
        word.starts_with("master-key")
    };
    events.filter(meant).cloned().collect()
}

/// A process that must not come up: everything that it said.
pub(crate) fn refused(folder: &Path, extra: &str, environment: &[(&str, &str)]) -> String {
    let mut child = spawn_with(folder, extra, environment);
    let code = eventually("the end of the process", || {
        child.try_wait().unwrap().map(|status| status.code())
    });
    let said = everything(child);
    assert_eq!(code, Some(1), "{said}");
    said
}

fn everything(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command on the folder of a service that need not run.
pub(crate) fn keywright(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(arguments)
        .arg("--data-dir")
        .arg(folder.join("keys"))
        .env_clear()
        .output()
        .unwrap()
}

/// `master-key replace` with the configuration that the folder was last served with.
pub(crate) fn replace(folder: &Path) -> Output {
    let config = folder.join("config.toml");
    let config = config.to_str().unwrap();
    let reason = "the key was in a fire";
    keywright(
        folder,
        &[
            "master-key",
            "replace",
            "--config",
            config,
            "--yes",
            "--reason",
            reason,
        ],
    )
}

/// A sealed private half and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) issuer: String,
    pub(crate) kid: String,
    pub(crate) sealed: Vec<u8>,
}

impl Row {
    pub(crate) fn opens(&self, keys: &MasterKeys) -> bool {
        let (issuer, kid) = (self.issuer.parse_issuer(), self.kid.parse().unwrap());
        keys.open(&issuer, &kid, &self.sealed).is_ok()
    }
}

trait ParseIssuer {
    fn parse_issuer(&self) -> keywright::lifecycle::IssuerName;
}

impl ParseIssuer for str {
    fn parse_issuer(&self) -> keywright::lifecycle::IssuerName {
        keywright::lifecycle::IssuerName::parse(self).unwrap()
    }
}

/// Works on the database of a service.
pub(crate) fn database<T>(
    folder: &Path,
    work: impl AsyncFnOnce(&mut sqlx::SqliteConnection) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let url = format!("sqlite://{}", folder.join("keys/keywright.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let outcome = work(&mut connection).await;
        connection.close().await.unwrap();
        outcome
    })
}

/// Every sealed private half.
pub(crate) fn rows(folder: &Path) -> Vec<Row> {
    database(folder, async |connection| {
        let rows: Vec<(String, String, Vec<u8>)> = sqlx::query_as(
            "SELECT owner, id, sealed FROM records WHERE kind = 'key' AND sealed IS NOT NULL ORDER BY owner, id",
        )
        .fetch_all(connection)
        .await
        .unwrap();
        let row = |(issuer, kid, sealed)| Row {
            issuer,
            kid,
            sealed,
        };
        rows.into_iter().map(row).collect()
    })
}

pub(crate) fn setting(folder: &Path) -> Vec<u8> {
    database(folder, async |connection| {
        sqlx::query_scalar(
            "SELECT sealed FROM records WHERE kind = 'setting' AND id = 'master-key-check'",
        )
        .fetch_one(connection)
        .await
        .unwrap()
    })
}
