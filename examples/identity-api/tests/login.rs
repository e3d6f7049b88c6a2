//! The login by itself, with keywright away. `examples/story` has the rest.

#![allow(clippy::expect_used, reason = "a test that cannot go on says so")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A running service. It is killed when it is dropped.
struct Service {
    child: Child,
    url: String,
    /// It has the service's credential.
    _folder: TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The service with these users; nothing listens where it looks for keywright.
fn start(users: &Path) -> Option<Service> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let credential = folder.path().join("credential");
    std::fs::write(&credential, "kw_1_nobody\n").expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_identity-api"))
        .args(["--issuer-url", "http://127.0.0.1:9"])
        .args(["--keywright", "http://127.0.0.1:9", "--credential-file"])
        .args([&credential, Path::new("--users"), users])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("standard output is piped");
    BufReader::new(stdout).read_line(&mut line).expect("text");
    let url = line.strip_prefix("listening on ").map(str::trim);
    let url = url.unwrap_or_default().to_owned();
    let service = Service {
        child,
        url,
        _folder: folder,
    };
    (!service.url.is_empty()).then_some(service)
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn log_in(service: &Service, body: &Value) -> (u16, String) {
    post(service, "/login", body)
}

/// Status and body.
fn post(service: &Service, path: &str, body: &Value) -> (u16, String) {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build();
    let agent: ureq::Agent = agent.into();
    let request = agent.post(format!("{}{path}", service.url));
    let request = request.header("content-type", "application/json");
    let mut answer = request.send(body.to_string()).expect("an answer");
    let body = answer.body_mut().read_to_string().expect("text");
    (answer.status().as_u16(), body)
}

#[test]
fn without_keywright_the_right_password_gets_503_and_a_wrong_one_401() {
    let service = start(&example("users.json")).expect("the service starts");
    let login = |password| log_in(&service, &json!({"user": "bob", "password": password}));
    assert_eq!(
        login("hunter2hunter2"),
        (503, r#"{"code":"try-later"}"#.to_owned())
    );
    assert_eq!(
        login("guess"),
        (401, r#"{"code":"login-failed"}"#.to_owned())
    );
}

#[test]
fn nobody_gets_more_scope_than_they_have() {
    let service = start(&example("users.json")).expect("the service starts");
    let status = |changes: Value| {
        let mut login = json!({"user": "bob", "password": "hunter2hunter2"});
        let members = login.as_object_mut().expect("an object");
        members.extend(changes.as_object().expect("an object").clone());
        log_in(&service, &login).0
    };
    // 503: it would be signed.
    assert_eq!(status(json!({"scope": "orders:read"})), 503);
    assert_eq!(status(json!({"scope": ""})), 503);
    assert_eq!(status(json!({"scope": "orders:write"})), 403);
    assert_eq!(status(json!({"scope": "orders:read orders:write"})), 403);
    assert_eq!(
        status(json!({"scope": "orders:read", "order": "1003"})),
        503
    );
    let carol = json!({"user": "carol", "password": "no orders for me"});
    assert_eq!(log_in(&service, &carol).0, 503);
    let carols_order = json!({"user": "carol", "password": "no orders for me", "order": "1"});
    assert_eq!(log_in(&service, &carols_order).0, 403);
}

#[test]
fn without_a_token_nobody_ends_a_session_or_bans_anybody() {
    let service = start(&example("users.json")).expect("the service starts");
    let ban = json!({"user": "bob", "reason": "envy"});
    for path in ["/logout", "/logout/everywhere", "/ban"] {
        let (status, body) = post(&service, path, &ban);
        assert_eq!(status, 401, "{path}: {body}");
        assert!(body.contains("token-missing"), "{path}: {body}");
    }
}

#[test]
fn a_request_that_is_too_long_or_unknown_is_refused() {
    let service = start(&example("users.json")).expect("the service starts");
    let long = json!({"user": "bob", "password": "x".repeat(2000)});
    assert_eq!(log_in(&service, &long).0, 413);
    let unknown = json!({"user": "bob", "password": "x", "roles": ["admin"]});
    assert_eq!(log_in(&service, &unknown).0, 422);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the time of an answer is what is tested"
)]
fn the_time_of_an_answer_does_not_tell_whether_a_user_exists() {
    let service = start(&example("users.json")).expect("the service starts");
    let time = |user: &str| -> Duration {
        let login = json!({"user": user, "password": "guess"});
        let began = Instant::now();
        assert_eq!(log_in(&service, &login).0, 401);
        began.elapsed()
    };
    // The fastest of many, in turns, because the machine has other things to do.
    let times = (0..10).map(|_| (time("alice"), time("nobody")));
    let fastest = times.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)));
    let (known, unknown) = fastest.expect("a time");
    // Without the same work for both it is a factor of ten and more.
    let is_alike = unknown * 4 > known && known * 4 > unknown;
    assert!(is_alike, "{known:?} and {unknown:?}");
}

#[test]
fn a_hash_that_costs_less_than_the_decoy_is_not_started_with() {
    let text = std::fs::read_to_string(example("users.json")).expect("the users");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cheaper = folder.path().join("users.json");
    std::fs::write(&cheaper, text.replacen("t=2", "t=1", 1)).expect("a file");
    assert!(start(&cheaper).is_none());
}

#[test]
fn a_token_that_is_handed_on_is_not_renewed() {
    let service = start(&example("users.json")).expect("the service starts");
    let login = |order: Value| {
        let mut login =
            json!({"user": "bob", "password": "hunter2hunter2", "stay_logged_in": true});
        if !order.is_null() {
            login["order"] = order;
        }
        log_in(&service, &login).0
    };
    assert_eq!(login(json!("1003")), 403);
    // 503: a grant would be opened.
    assert_eq!(login(Value::Null), 503);
}
