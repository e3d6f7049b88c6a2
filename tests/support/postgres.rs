//! A real PostgreSQL server in a folder of its own, and pgbouncer in front of it.
//!
//! A server stops and its folder goes when this process ends, however it ends: a shell that waits
//! for the end of its input sees to that.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::{eventually, report};

/// The role that owns everything.
pub const ROLE: &str = "keywright";

/// Its password.
pub const PASSWORD: &str = "the-password-of-the-database";

/// A server that listens on a port of 127.0.0.1 and on a socket in its folder.
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    programs: PathBuf,
    // Its input is open for as long as this process lives.
    keeper: Child,
}

/// Stops the server, or the pooler, whose process file is named, and removes its folder.
const KEEPER: &str = "trap '' INT TERM HUP; cat >/dev/null; \
    for process in $(cat \"$2\" 2>/dev/null | head -n 1); do \
    kill -CONT $process; kill -QUIT $process; \
    for _ in $(seq 100); do [ -e \"$2\" ] && kill -0 $process 2>/dev/null || break; sleep 0.05; done; \
    kill -KILL $process 2>/dev/null; done; rm -rf \"$1\"";

fn keeper(folder: &Path, process_file: &Path) -> Child {
    Command::new("sh")
        .args(["-c", KEEPER, "keeper"])
        .args([folder, process_file])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell")
}

/// The server that all tests of this process share; `None`, and a line that says so, where there
/// is none.
pub fn shared() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::start("")).as_ref()
}

impl Postgres {
    /// A server of one's own, with more settings if need be; `None`, and a line that says so,
    /// where none is installed.
    pub fn start(settings: &str) -> Option<Self> {
        if is_skipped("KEYWRIGHT_SKIP_POSTGRES") {
            report("SKIPPED: PostgreSQL: KEYWRIGHT_SKIP_POSTGRES=1");
            return None;
        }
        let Some(programs) = programs() else {
            report("SKIPPED: PostgreSQL: no initdb in PATH or /usr/lib/postgresql/*/bin");
            return None;
        };
        let folder = private_folder();
        let data = folder.join("data");
        let password = folder.join("password");
        fs::write(&password, PASSWORD).expect("a file");
        owned(&password);
        let made = unprivileged(&programs.join("initdb"))
            .args([
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
            ])
            .args(["--locale=C.UTF-8", "--username", ROLE, "--pwfile"])
            .arg(&password)
            .arg("--pgdata")
            .arg(&data)
            .output();
        succeeded("initdb", made);
        let port = free_port();
        let configuration = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nmax_connections = 300\n\
             unix_socket_directories = '{}'\nshared_buffers = 32MB\nfsync = on\n\
             log_min_messages = warning\n{settings}\n",
            folder.display()
        );
        let file = data.join("postgresql.auto.conf");
        fs::write(&file, configuration).expect("a file");
        let keeper = keeper(&folder, &data.join("postmaster.pid"));
        let postgres = Self {
            folder,
            port,
            programs,
            keeper,
        };
        postgres.resume();
        Some(postgres)
    }

    /// Starts it again with these files in its folder, which `settings` may name.
    pub fn reconfigure(&self, files: &[(&str, &str)], settings: &str) {
        let configuration = self.data().join("postgresql.auto.conf");
        let before = fs::read_to_string(&configuration).expect("a configuration");
        fs::write(&configuration, format!("{before}{settings}\n")).expect("a file");
        for (name, contents) in files {
            let path = self.data().join(name);
            fs::write(&path, contents).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
            owned(&path);
        }
        self.stop_immediately();
        self.resume();
    }

    /// Starts the server where it was stopped or killed.
    pub fn resume(&self) {
        eventually("the server starts", || {
            let started = unprivileged(&self.programs.join("pg_ctl"))
                .args(["--silent", "--wait", "--timeout=60", "start", "--pgdata"])
                .arg(self.data())
                .arg("--log")
                .arg(self.folder.join("log"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            started.is_ok_and(|status| status.success()).then_some(())
        });
    }

    /// Ends all its processes without a word, as a power cut would: what it has not written is lost.
    pub fn kill(&self) {
        let all = self.processes();
        signal("KILL", &all);
        eventually("the processes end", || {
            let gone = |process: &u32| !Path::new(&format!("/proc/{process}/cmdline")).exists();
            all.iter().all(gone).then_some(())
        });
    }

    /// `pg_ctl stop --mode=immediate`.
    pub fn stop_immediately(&self) {
        let stopped = unprivileged(&self.programs.join("pg_ctl"))
            .args(["--silent", "--wait", "--mode=immediate", "stop", "--pgdata"])
            .arg(self.data())
            .output();
        succeeded("pg_ctl stop", stopped);
    }

    /// Stops it for as long as its data is copied: what a standby has that receives nothing more.
    pub fn copy(&self) -> PathBuf {
        let copy = self.folder.join("copy");
        self.stop_immediately();
        copied(&self.data(), &copy);
        self.resume();
        copy
    }

    /// Lets the copy take its place: what was committed since is lost.
    pub fn fail_over_to(&self, copy: &Path) {
        self.stop_immediately();
        fs::remove_dir_all(self.data()).expect("a folder of ours");
        copied(copy, &self.data());
        self.resume();
    }

    /// Stops all its processes where they are: it answers nothing and refuses nothing.
    pub fn freeze(&self) {
        signal("STOP", &self.processes());
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        signal("CONT", &self.processes());
    }

    /// The server and all that it has started.
    fn processes(&self) -> Vec<u32> {
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(file).expect("a running server");
        let server: u32 = text
            .lines()
            .next()
            .expect("a line")
            .parse()
            .expect("a number");
        let entries = fs::read_dir("/proc").expect("/proc");
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let children = numbers.filter(|process: &u32| parent(*process) == Some(server));
        std::iter::once(server).chain(children).collect()
    }

    /// A new database's name.
    pub fn create_database(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("db{}", COUNT.fetch_add(1, Ordering::SeqCst));
        succeeded("createdb", self.client("createdb").arg(&name).output());
        name
    }

    /// The URL of a new database.
    pub fn database(&self) -> String {
        self.url(&self.create_database())
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// The URL of a database by the socket in the server's folder.
    pub fn socket_url(&self, database: &str) -> String {
        let (folder, port) = (self.folder.display(), self.port);
        format!("postgres:///{database}?host={folder}&port={port}&user={ROLE}")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with its configuration.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What `psql` prints when it runs the statements.
    pub fn psql(&self, database: &str, statements: &str) -> String {
        let told = self
            .client("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set=ON_ERROR_STOP=1", "--dbname", database, "--command"])
            .arg(statements)
            .output();
        succeeded("psql", told)
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env("PGHOST", &self.folder)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", ROLE);
        command
    }
}

fn copied(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).output();
    succeeded("cp", copied);
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// pgbouncer in front of a server, which hands out connections for one transaction at a time.
pub struct Pooler {
    folder: PathBuf,
    port: u16,
    keeper: Child,
}

impl Pooler {
    /// `None`, and a line that says so, where none is installed.
    pub fn start(server: &Postgres) -> Option<Self> {
        if is_skipped("KEYWRIGHT_SKIP_PGBOUNCER") {
            report("SKIPPED: pgbouncer: KEYWRIGHT_SKIP_PGBOUNCER=1");
            return None;
        }
        let Some((program, libraries)) = pooler_program() else {
            report("SKIPPED: pgbouncer: it is not installed; run scripts/test");
            return None;
        };
        let folder = private_folder();
        let port = free_port();
        let path = |name: &str| folder.join(name).display().to_string();
        let configuration = format!(
            "[databases]\n* = host={} port={} user={ROLE}\n[pgbouncer]\npool_mode = transaction\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\npidfile = {}\nlogfile = {}\n\
             default_pool_size = 4\nmax_client_conn = 500\n",
            server.folder.display(),
            server.port,
            path("users"),
            path("pid"),
            path("log"),
        );
        for (name, contents) in [
            ("users", format!("\"{ROLE}\" \"{PASSWORD}\"\n")),
            ("pgbouncer.ini", configuration),
        ] {
            fs::write(folder.join(name), contents).expect("a file");
            owned(&folder.join(name));
        }
        let keeper = keeper(&folder, &folder.join("pid"));
        let started = unprivileged(&program)
            .env("LD_LIBRARY_PATH", libraries)
            .args(["--daemon", "--quiet"])
            .arg(folder.join("pgbouncer.ini"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(started.expect("pgbouncer runs").success());
        eventually("pgbouncer listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Some(Self {
            folder,
            port,
            keeper,
        })
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment says what is left out"
)]
fn is_skipped(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{ROLE}:{PASSWORD}@127.0.0.1:{port}/{database}")
}

/// Where the newest server's programs are.
fn programs() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let folders = versions.into_iter().rev().map(|(_, folder)| folder);
    folders
        .chain(searched())
        .find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
}

/// pgbouncer, and where its libraries are if it was unpacked and not installed.
fn pooler_program() -> Option<(PathBuf, PathBuf)> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pgbouncer/usr");
    let libraries = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    let installed = searched().chain(["/usr/sbin".into()]);
    installed
        .chain([unpacked.join("sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.exists())
        .map(|program| (program, unpacked.join(libraries)))
}

fn searched() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.into_iter()
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("an address").port()
}

/// A program that refuses to run as root, which this process may be.
fn unprivileged(program: &Path) -> Command {
    let mut command = match servant() {
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", &user.to_string(), "--regid", &group.to_string()])
                .args(["--clear-groups", "--"])
                .arg(program);
            command
        }
        None => Command::new(program),
    };
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// Whom a server runs as where this process is root.
fn servant() -> Option<(u32, u32)> {
    let number = |flag: &str, user: &str| {
        let told = Command::new("id").args([flag, user]).output().ok()?;
        String::from_utf8(told.stdout).ok()?.trim().parse().ok()
    };
    let identity = |user| Some((number("-u", user)?, number("-g", user)?));
    let myself = Command::new("id").arg("-u").output().expect("id runs");
    (myself.stdout == b"0\n").then(|| {
        let servant = identity("postgres").or_else(|| identity("nobody"));
        servant.expect("a user that is not root")
    })
}

/// Gives a file to the user that the server runs as.
fn owned(path: &Path) {
    if let Some((user, group)) = servant() {
        chown(path, Some(user), Some(group)).expect("the owner can be changed");
    }
}

/// A folder that only the server may look into. Its keeper removes it.
fn private_folder() -> PathBuf {
    let folder = TempDir::new().expect("a temporary folder").keep();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("a folder of ours");
    owned(&folder);
    folder
}

/// The parent of a process: the second field after the name, which is in parentheses.
fn parent(process: u32) -> Option<u32> {
    let mut text = String::new();
    let mut file = fs::File::open(format!("/proc/{process}/stat")).ok()?;
    file.read_to_string(&mut text).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

fn signal(name: &str, processes: &[u32]) {
    let numbers = processes.iter().map(u32::to_string);
    // One of them may have ended by itself.
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .args(numbers)
        .stderr(Stdio::null())
        .status();
}

fn succeeded(what: &str, outcome: std::io::Result<Output>) -> String {
    let output = outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
