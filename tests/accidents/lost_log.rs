//! The service's log cannot be written: nothing fails, nothing waits, and lost lines are counted.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ok;
use crate::support::mounted::Mounted;
use crate::support::{Answer, eventually, request};

/// A service whose standard error is what a test says.
struct Service {
    child: Child,
    internal: String,
    admin: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start(folder: &Path, log: Stdio) -> Self {
        let data = folder.join("keys");
        let child = Command::new(env!("CARGO_BIN_EXE_keywright"))
            .args(["serve", "--public-listen", "127.0.0.1:0"])
            .args(["--internal-listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .env_clear()
            // Every request leaves lines.
            .env("KEYWRIGHT_LOG__FILTER", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let addresses = eventually("a start", || {
            let text = std::fs::read(data.join("listen.json")).ok()?;
            serde_json::from_slice::<Value>(&text).ok()
        });
        let service = Self {
            child,
            internal: addresses["internal"].as_str().unwrap().to_owned(),
            admin: std::fs::read_to_string(data.join("admin.token")).unwrap(),
        };
        eventually("an answer", || {
            crate::support::try_request("GET", &format!("{}/metrics", service.internal), &[], None)
                .ok()
        });
        service
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let headers = [("authorization", format!("Bearer {}", self.admin))];
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        request(method, &format!("{}{path}", self.internal), &headers, body)
    }

    fn lost(&self) -> u64 {
        let report = ok(self.call("GET", "/v1/health", None));
        let lost = report["log_lines_lost"].as_u64().unwrap();
        let text = String::from_utf8(self.call("GET", "/metrics", None).body).unwrap();
        let mut counts = text
            .lines()
            .filter_map(|line| line.strip_prefix("keywright_log_lines_lost_total "));
        let counted: u64 = counts.next().unwrap().parse().unwrap();
        assert!(counted >= lost, "{counted} {lost}");
        lost
    }

    /// Signs, changes keys and clients, and is refused; each has its answer.
    fn work(&self) {
        let issuer = "/v1/issuers/hurried";
        let policy = json!({
            "url": "http://127.0.0.1:8080/hurried", "algorithms": ["ES256"],
            "lead": "1s", "jwks_max_age": "1s", "stale_if_error": "0s", "clock_skew": "0s",
            "rotation": { "every": "2s" }, "default_token_ttl": "1s", "max_token_ttl": "1s",
        });
        ok(self.call("PUT", issuer, Some(&policy)));
        for _ in 0..20 {
            let signed = self.call(
                "POST",
                &format!("{issuer}/tokens"),
                Some(&json!({ "claims": { "sub": "u" } })),
            );
            assert_eq!(signed.status, 201);
            let client = json!({ "name": "a", "roles": ["issuer"] });
            let client = ok(self.call("POST", "/v1/clients", Some(&client)));
            let path = format!("/v1/clients/{}", client["id"].as_str().unwrap());
            ok(self.call("DELETE", &path, None));
            assert_eq!(self.call("DELETE", &path, None).status, 404);
            ok(self.call(
                "POST",
                &format!("{issuer}/rotate"),
                Some(&json!({ "force": true })),
            ));
        }
        // The schedule goes on as well.
        let version = || {
            ok(self.call("GET", issuer, None))["version"]
                .as_u64()
                .unwrap()
        };
        for _ in 0..2 {
            let before = version();
            eventually("the next rotation", || (version() > before).then_some(()));
        }
        let report = ok(self.call("GET", "/v1/health", None));
        for task in report["tasks"].as_array().unwrap() {
            assert_eq!(
                (&task["state"], &task["restarts"]),
                (&json!("running"), &json!(0))
            );
        }
    }

    fn terminate(mut self) -> Duration {
        let process = self.child.id().to_string();
        let began = Instant::now();
        assert!(
            Command::new("kill")
                .arg(process)
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        began.elapsed()
    }
}

#[test]
fn a_log_whose_reader_has_gone_costs_its_lines_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, log) = std::io::pipe().unwrap();
    let service = Service::start(folder.path(), log.into());
    drop(reader);
    service.work();
    assert!(service.lost() > 20);
    service.terminate();
}

#[test]
fn a_log_on_a_full_disk_costs_its_lines_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let log = File::options().write(true).open("/dev/full").unwrap();
    let service = Service::start(folder.path(), log.into());
    service.work();
    assert!(service.lost() > 20);
    service.terminate();
}

#[test]
fn a_log_whose_reader_has_stopped_holds_no_request_up() {
    let folder = tempfile::tempdir().unwrap();
    // No process reads, and none closes the other end.
    let (reader, log) = std::io::pipe().unwrap();
    let service = Service::start(folder.path(), log.into());
    let began = Instant::now();
    let signed = || {
        let path = "/v1/issuers/default/tokens";
        service.call("POST", path, Some(&json!({ "claims": { "sub": "u" } })))
    };
    // The pipe and the queue are full by then.
    while service.lost() == 0 {
        assert!(began.elapsed() < Duration::from_secs(60));
        assert_eq!(signed().status, 201);
    }
    service.work();
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(signed().status, 201);
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    // The reader that goes on learns how much it has missed.
    let mut lines = BufReader::new(reader).lines();
    let remark = "lines of this log were lost";
    assert!(lines.any(|line| line.unwrap_or_default().contains(remark)));
    let drained = std::thread::spawn(move || lines.map_while(Result::ok).count());
    service.terminate();
    drained.join().unwrap();
}

#[test]
fn a_reader_that_has_stopped_does_not_keep_the_process_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let (_reader, log) = std::io::pipe().unwrap();
    let service = Service::start(folder.path(), log.into());
    for _ in 0..200 {
        let path = "/v1/issuers/default/tokens";
        service.call("POST", path, Some(&json!({ "claims": { "sub": "u" } })));
    }
    let took = service.terminate();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_log_on_the_disk_of_the_store_leaves_half_of_what_the_reserve_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::at(&folder.path().join("keys"), "size=24m") else {
        return;
    };
    let path = disk.path().join("service.log");
    let log = File::options()
        .append(true)
        .create(true)
        .open(&path)
        .unwrap();
    let service = Service::start(folder.path(), log.into());
    let filler = disk.path().join("filler");
    let mut file = File::create(&filler).unwrap();
    let zeroes = vec![0; 4096];
    while std::io::Write::write_all(&mut file, &zeroes).is_ok() {}
    let before = std::fs::metadata(&path).unwrap().len();
    // The disk is full, and the first revocation gives the reserve up: 3 MiB.
    let keys = ok(service.call("GET", "/v1/issuers/default/keys", None));
    let kid = keys["keys"][0]["kid"].as_str().unwrap().to_owned();
    let revoke = format!("/v1/issuers/default/keys/{kid}/revoke");
    ok(service.call("POST", &revoke, Some(&json!({ "reason": "a test" }))));
    let began = Instant::now();
    while service.lost() < 20_000 && began.elapsed() < Duration::from_secs(30) {
        for _ in 0..50 {
            service.call("GET", "/v1/issuers", None);
        }
    }
    let grown = std::fs::metadata(&path).unwrap().len() - before;
    assert!(grown < (3 << 20) / 2 + (1 << 20) / 4, "{grown}");
    ok(service.call(
        "POST",
        "/v1/issuers/default/rotate",
        Some(&json!({ "force": true })),
    ));
}

#[test]
fn the_last_lines_are_written_before_the_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (mut reader, log) = std::io::pipe().unwrap();
    let text = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let service = Service::start(folder.path(), log.into());
    service.terminate();
    let text = text.join().unwrap();
    assert!(text.contains("keywright has ended"), "{text}");
    assert!(!text.contains("were lost"), "{text}");
}
