//! A real keywright process in a folder of its own, for tests that go through the front door.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test target uses its own part of this module"
)]

pub mod endpoint;
pub mod gateway;
pub mod mounted;
pub mod page;
pub mod postgres;
mod signatory;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

pub use signatory::Signatory;

/// Prints a line past the capture of the test runner, which hides what passing tests say.
pub fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}: {line}", env!("CARGO_CRATE_NAME"));
}

/// The time since 1970, for tests that wait for a real process.
#[expect(
    clippy::disallowed_methods,
    reason = "a process under test has no other clock"
)]
pub fn since_epoch() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970")
}

/// Asks again and again until there is an answer.
#[expect(
    clippy::disallowed_methods,
    reason = "a process under test is waited for in real time"
)]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} never happened");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn now_millis() -> u64 {
    u64::try_from(since_epoch().as_millis()).expect("a clock before the end of time")
}

/// A running service. It is killed when it is dropped.
pub struct Server {
    child: Child,
    folder: Arc<TempDir>,
    log: Arc<Mutex<String>>,
    /// The public listener's URL.
    pub public: String,
    /// The internal listener's URL.
    pub internal: String,
    /// The bootstrap credential.
    pub admin: String,
}

/// What a request was answered with.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body))
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(named)
            .map(|(_, value)| value.as_str())
    }
}

/// A service in a fresh folder, with more configuration (TOML) if need be.
pub fn start(extra: &str) -> Server {
    let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    start_in(folder, extra).expect("the service starts")
}

/// Which build runs, and what it finds in its environment.
pub struct Program {
    path: PathBuf,
    environment: Vec<(String, String)>,
}

impl Default for Program {
    /// The build that is tested, with nothing in its environment but `PATH`.
    fn default() -> Self {
        Self::at(Path::new(env!("CARGO_BIN_EXE_keywright")))
    }
}

impl Program {
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            environment: Vec::new(),
        }
    }

    /// The build that is tested, with more in its environment.
    pub fn within(environment: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            environment: environment.iter().map(owned).collect(),
            ..Self::default()
        }
    }
}

/// A service in a folder that may have a past. `Err` has the log of a service that did not start.
pub fn start_in(folder: Arc<TempDir>, extra: &str) -> Result<Server, String> {
    start_program(&Program::default(), folder, extra)
}

/// The same with more in its environment.
pub fn start_with(
    folder: Arc<TempDir>,
    extra: &str,
    environment: &[(&str, &str)],
) -> Result<Server, String> {
    start_program(&Program::within(environment), folder, extra)
}

/// The same with another program.
pub fn start_program(
    program: &Program,
    folder: Arc<TempDir>,
    extra: &str,
) -> Result<Server, String> {
    let data = folder.path().join("keys");
    let listen = data.join("listen.json");
    let _ = std::fs::remove_file(&listen);
    let mut child = spawn_program(program, folder.path(), extra);
    let log = Arc::new(Mutex::new(String::new()));
    let (started, wait) = std::sync::mpsc::channel();
    let stderr = child.stderr.take().expect("standard error is piped");
    let lines = Arc::clone(&log);
    // The log tells when the service serves; the thread ends with the process.
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let serves = line.contains("keywright serves");
            let mut log = lines.lock().expect("no reader panics");
            log.push_str(&line);
            log.push('\n');
            drop(log);
            if serves {
                let _ = started.send(());
            }
        }
    });
    if wait.recv_timeout(Duration::from_secs(60)).is_err() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(log.lock().expect("no reader panics").clone());
    }
    let addresses: Value =
        serde_json::from_slice(&std::fs::read(&listen).expect("listen.json")).expect("JSON");
    let url = |name: &str| addresses[name].as_str().expect("a URL").to_owned();
    // Where an admin is declared there is none.
    let admin = std::fs::read_to_string(data.join("admin.token")).unwrap_or_default();
    Ok(Server {
        public: url("public"),
        internal: url("internal"),
        admin,
        child,
        folder,
        log,
    })
}

/// The process alone, which may not have come far yet.
pub fn spawn_in(folder: &Path, extra: &str) -> Child {
    spawn_program(&Program::default(), folder, extra)
}

/// The same with more in its environment.
pub fn spawn_with(folder: &Path, extra: &str, environment: &[(&str, &str)]) -> Child {
    spawn_program(&Program::within(environment), folder, extra)
}

/// Waits for the end of a process that was spawned here: its exit code, and what it has said.
#[expect(
    clippy::disallowed_methods,
    reason = "a process under test is waited for in real time"
)]
pub fn end_of(mut child: Child) -> (i32, String) {
    use std::io::Read as _;
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().expect("a process of ours").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("a process of ours");
            child.wait().expect("a process of ours");
            panic!("the process runs on");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut said = String::new();
    let mut errors = child.stderr.take().expect("a pipe");
    errors.read_to_string(&mut said).expect("text");
    let status = child.wait().expect("a process of ours");
    (status.code().expect("an exit code"), said)
}

fn spawn_program(program: &Program, folder: &Path, extra: &str) -> Child {
    let data = folder.join("keys");
    let config = folder.join("config.toml");
    let addresses = "public.listen = \"127.0.0.1:0\"\ninternal.listen = \"127.0.0.1:0\"\n";
    std::fs::write(&config, format!("{addresses}{extra}")).expect("a configuration file");
    Command::new(&program.path)
        .arg("serve")
        .args([
            "--config".as_ref(),
            config.as_os_str(),
            "--data-dir".as_ref(),
            data.as_os_str(),
        ])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(program.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

impl Server {
    /// The folder around the data folder.
    pub fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// Everything that was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no writer panics").clone()
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Arc<TempDir> {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("it ends");
        Arc::clone(&self.folder)
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(mut self) -> (Option<i32>, Arc<TempDir>) {
        let killed = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(killed.expect("kill runs").success());
        let code = self.child.wait().expect("it ends").code();
        (code, Arc::clone(&self.folder))
    }

    /// The exit code of a process that ends by itself.
    pub fn exit_code(mut self) -> Option<i32> {
        let ended = eventually("the end", || self.child.try_wait().expect("a child"));
        ended.code()
    }

    /// A request to the internal listener with the bootstrap credential.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        self.call_as(Some(&self.admin), method, path, body)
    }

    /// A request to the internal listener with any credential and body.
    pub fn call_as(
        &self,
        credential: Option<&str>,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Answer {
        let mut headers = Vec::new();
        if let Some(credential) = credential {
            headers.push(("authorization", format!("Bearer {credential}")));
        }
        request(method, &format!("{}{path}", self.internal), &headers, body)
    }

    /// A request to the public listener.
    pub fn fetch(&self, path: &str) -> Answer {
        request("GET", &format!("{}{path}", self.public), &[], None)
    }

    /// Signs and answers the token.
    pub fn sign(&self, issuer: &str, request: &Value) -> String {
        let answer = self.call(
            "POST",
            &format!("/v1/issuers/{issuer}/tokens"),
            Some(request),
        );
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["token"].as_str().expect("a token").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One HTTP request, whatever the status of its answer.
pub fn request(
    method: &str,
    url: &str,
    headers: &[(&str, String)],
    body: Option<(&str, Vec<u8>)>,
) -> Answer {
    try_request(method, url, headers, body).expect("an answer")
}

/// One HTTP request to a service that may end before it has answered.
pub fn try_request(
    method: &str,
    url: &str,
    headers: &[(&str, String)],
    body: Option<(&str, Vec<u8>)>,
) -> Result<Answer, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut builder = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    let response = match body {
        Some((content_type, body)) => agent.run(
            builder
                .header("content-type", content_type)
                .body(body)
                .expect("a request"),
        ),
        None => agent.run(builder.body(()).expect("a request")),
    };
    let mut response = response?;
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                value.to_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_vec()?;
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// Whether a file below the folder has these bytes.
pub fn files_contain(folder: &Path, needle: &[u8]) -> bool {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .any(|path| {
            if path.is_dir() {
                files_contain(&path, needle)
            } else {
                let bytes = std::fs::read(&path).unwrap_or_default();
                bytes.windows(needle.len()).any(|window| window == needle)
            }
        })
}
