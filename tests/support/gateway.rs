//! nginx and Envoy, as `scripts/test` fetches them, and programs of others that tests start.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(60);

/// A process that ends with the test.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The machine's nginx, or the one that scripts/test has unpacked; or why it is left out.
pub fn nginx() -> Result<String, String> {
    let unpacked = concat!(env!("CARGO_MANIFEST_DIR"), "/target/nginx/usr/sbin/nginx");
    let mut available = Err(String::new());
    for program in ["nginx", "/usr/sbin/nginx", unpacked] {
        available = runs(program, &["-v"]).map(|()| program.to_owned());
        if available.is_ok() {
            break;
        }
    }
    wanted("NGINX", available)
}

/// The Envoy that scripts/test has installed; or why it is left out.
pub fn envoy() -> Result<String, String> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/envoy").to_owned();
    let available = runs(&program, &["--version"]);
    wanted("ENVOY", available.map(|()| program))
}

/// Whether something is there and not to be skipped.
#[expect(
    clippy::disallowed_methods,
    reason = "scripts/test says here what the machine lacks"
)]
pub fn wanted<T>(name: &str, available: Result<T, String>) -> Result<T, String> {
    let variable = format!("KEYWRIGHT_SKIP_{name}");
    if std::env::var(&variable).is_ok_and(|value| value == "1") {
        return Err(format!("{variable}=1"));
    }
    available
}

/// Whether a program runs and succeeds; what it said when it does not.
pub fn runs(program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    match command.args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).replace('\n', " ")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// A port that is free at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Starts nginx with a configuration, and waits until it listens on `port`. Its files are in `folder`.
pub fn run_nginx(program: &str, folder: &Path, configuration: &str, port: u16) -> Running {
    // Where nginx puts bodies and logs by default belongs to root.
    let folder = folder.display().to_string();
    let mut own = String::from("http {\n  access_log off;\n");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        own.push_str(&format!("  {kind}_temp_path {folder}/{kind};\n"));
    }
    assert!(configuration.contains("http {\n"), "{configuration}");
    let file = format!("{folder}/nginx.conf");
    std::fs::write(&file, configuration.replace("http {\n", &own)).expect("a file");
    let mut command = Command::new(program);
    command
        .args(["-p", &folder, "-e", "stderr", "-c", &file, "-g"])
        // In one process, which ends when it is killed.
        .arg(format!(
            "daemon off; master_process off; pid {folder}/nginx.pid;"
        ));
    run(command, port, "nginx")
}

/// Starts Envoy with a configuration, and waits until it listens on `port`.
pub fn run_envoy(program: &str, folder: &Path, configuration: &str, port: u16) -> Running {
    let file = folder.join("envoy.yaml");
    std::fs::write(&file, configuration).expect("a file");
    let mut command = Command::new(program);
    let arguments = ["--disable-hot-restart", "--concurrency", "1", "-l", "error"];
    command.args(arguments).arg("-c").arg(file);
    run(command, port, "Envoy")
}

/// Starts a server and waits until it listens.
#[expect(
    clippy::disallowed_methods,
    reason = "a process under test is waited for in real time"
)]
pub fn run(mut command: Command, port: u16, name: &str) -> Running {
    command.env("NO_PROXY", "127.0.0.1").stdin(Stdio::null());
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut running = Running(child);
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = running.0.try_wait().expect("a state");
        assert!(
            ended.is_none(),
            "{name} has ended; what it said stands above"
        );
        assert!(began.elapsed() < START, "{name} does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    running
}
