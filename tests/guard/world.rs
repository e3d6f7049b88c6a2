//! A service with an issuer, and guards that follow it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, Server, eventually, request};

/// The audience that guards accept unless they are told otherwise.
pub const AUDIENCE: &str = "orders";

/// Every header of claims, as docs/guard.md lists them.
pub const HEADERS: [&str; 9] = [
    "x-auth-subject",
    "x-auth-client",
    "x-auth-scope",
    "x-auth-session",
    "x-auth-jti",
    "x-auth-expires",
    "x-auth-issuer",
    "x-auth-audience",
    "x-auth-vouched-at",
];

/// Creates an issuer on a service; its URL.
pub fn create_issuer(server: &Server, name: &str, mut policy: Value) -> String {
    let url = format!("{}/{name}", server.public);
    policy["url"] = url.as_str().into();
    let answer = server.call("PUT", &format!("/v1/issuers/{name}"), Some(&policy));
    assert_eq!(answer.status, 201, "{}", answer.json());
    url
}

/// A token for the audience with more claims.
pub fn token(server: &Server, issuer: &str, claims: Value) -> String {
    let mut all = json!({ "sub": "user-1", "aud": AUDIENCE });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    server.sign(issuer, &json!({ "claims": all }))
}

/// The file of a guard that accepts an issuer's tokens for the audience, with more settings above.
pub fn settings(issuer: &str, more: &str) -> String {
    format!("{more}\n[[issuers]]\nissuer = \"{issuer}\"\naudiences = [\"{AUDIENCE}\"]\n")
}

/// A running guard. It is killed when it is dropped.
pub struct Guard {
    child: Child,
    log: Arc<Mutex<String>>,
    _folder: TempDir,
    /// Where gateways ask.
    pub url: String,
    /// Where probes are answered.
    pub health: String,
}

/// A guard with a file, on free ports.
pub fn start(settings: &str) -> Guard {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guard.toml");
    std::fs::write(&file, settings).unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    start_with(folder, &arguments)
}

/// A guard with flags, on free ports, in a folder where nothing else is.
pub fn start_with(folder: TempDir, arguments: &[&str]) -> Guard {
    let mut child = command(arguments)
        .args(["--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let log = Arc::new(Mutex::new(String::new()));
    let lines = Arc::clone(&log);
    let stderr = child.stderr.take().expect("a pipe");
    let (started, wait) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            lines.lock().unwrap().push_str(&format!("{line}\n"));
            if line.contains("keywright guard serves") {
                let _ = started.send(line);
            }
        }
    });
    let Ok(line) = wait.recv_timeout(Duration::from_secs(60)) else {
        let _ = child.kill();
        panic!("the guard does not start: {}", log.lock().unwrap());
    };
    let address = |name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).expect(name);
        rest.split('"').next().unwrap().to_owned()
    };
    Guard {
        child,
        log,
        url: address("listen"),
        health: address("health"),
        _folder: folder,
    }
}

/// The command alone, with nothing in its environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywright"));
    command
        .arg("guard")
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null());
    command
}

impl Guard {
    /// Waits until it can judge tokens of any age.
    pub fn ready(self) -> Self {
        eventually("readiness", || (self.readiness().0 == 200).then_some(()));
        self
    }

    /// What `/readyz` says.
    pub fn readiness(&self) -> (u16, String) {
        let answer = self.probe("/readyz");
        (answer.status, text(&answer))
    }

    pub fn probe(&self, path: &str) -> Answer {
        request("GET", &format!("{}{path}", self.health), &[], None)
    }

    /// Asks as a gateway does.
    pub fn ask(&self, path: &str, token: &str) -> Answer {
        let headers = [("authorization", format!("Bearer {token}"))];
        request("GET", &format!("{}{path}", self.url), &headers, None)
    }

    /// The status and the code of a verdict.
    pub fn verdict(&self, token: &str) -> (u16, String) {
        verdict_of(&self.ask("/", token))
    }

    /// A metric's value, by its line up to the value.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let metrics = text(&self.probe("/metrics"));
        let line = metrics.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Everything that was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status of an answer and its code, `accepted` without one.
pub fn verdict_of(answer: &Answer) -> (u16, String) {
    let code = match answer.status {
        200 => "accepted".to_owned(),
        _ => answer.json()["code"].as_str().unwrap().to_owned(),
    };
    (answer.status, code)
}

pub fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// Bans a subject; the answer.
pub fn ban(server: &Server, issuer: &str, subject: &str) -> Value {
    let body = json!({ "subject": subject, "ban": true, "reason": "a test" });
    let path = format!("/v1/issuers/{issuer}/revocations");
    let answer = server.call("POST", &path, Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}
