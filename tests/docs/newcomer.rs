//! The promise to a newcomer: the verifier's page alone, and a route is protected.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::{are_skipped, blocks, support};

const PAGE: &str = "verifier/README.md";

/// The one block of the page with this info string.
fn block(page: &str, info: &str) -> String {
    let mut found = blocks(page).into_iter().filter(|block| block.info == info);
    let body = found
        .next()
        .unwrap_or_else(|| panic!("{PAGE} has no {info}"))
        .body;
    assert!(found.next().is_none(), "{PAGE} has two blocks of {info}");
    body
}

#[test]
fn the_program_of_the_verifiers_page_protects_a_route() {
    if are_skipped(PAGE) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join(PAGE)).expect("the page");
    let program = block(&page, "rust");
    assert!(
        program.lines().count() < 30,
        "the page promises a short program"
    );

    let server = support::start("");
    let issuer = format!("{}/newcomer", server.public);
    let answer = server.call("PUT", "/v1/issuers/newcomer", Some(&json!({"url": issuer})));
    assert_eq!(answer.status, 201, "{}", answer.json());
    let address = free_address();
    let program = program
        .replace("http://127.0.0.1:8080", &issuer)
        .replace("127.0.0.1:3000", &address.to_string());
    assert!(program.contains(&issuer) && program.contains(&address.to_string()));

    let project = tempfile::tempdir().expect("a temporary folder");
    let binary = build(project.path(), "newcomer", &block(&page, "toml"), &program);
    let service = Service::start(&binary, address);
    let commands = block(&page, "sh run")
        .replace("http://127.0.0.1:3000", &format!("http://{address}"))
        .replace("token sign", "token sign --issuer newcomer");
    let printed = shell(&server, &commands);
    let answers: Vec<&str> = printed.split("HTTP/1.1 ").skip(1).collect();
    assert_eq!(answers.len(), 2, "{printed}");
    assert!(answers[0].starts_with("401 "), "{printed}");
    assert!(answers[0].contains("www-authenticate: Bearer realm=\"api\"\r\n"));
    assert!(answers[1].starts_with("200 "), "{printed}");
    assert!(answers[1].ends_with("the orders of alice\n"), "{printed}");

    // And what the page says in words.
    let without_scope = commands.replace("--claim scope=orders:read", "");
    let printed = shell(&server, &without_scope);
    assert!(printed.contains("HTTP/1.1 403 "), "{printed}");
    drop(service);
}

/// A program that fetches keys, and has an HTTP client of its own that it knows nothing special about.
const NEIGHBOUR: &str = r#"
fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url = std::env::args().nth(1).unwrap();
        let keys = keywright_verifier::RemoteKeys::at(&url).fetch().await.unwrap();
        let answer = reqwest::get(&url).await.unwrap().text().await.unwrap();
        assert!(answer.contains(keys.keys()[0].kid().as_str()));
    });
}
"#;

// Cargo unites the features of a crate that two others use: what the verifier asks of reqwest would be
// done to everyone's reqwest.
#[test]
fn the_verifier_leaves_another_http_client_of_the_program_as_it_was() {
    if are_skipped(PAGE) {
        return;
    }
    let server = support::start("");
    let project = tempfile::tempdir().expect("a temporary folder");
    let dependencies = "[dependencies]\n\
        keywright-verifier = { path = \"../keywright/verifier\", features = [\"remote\"] }\n\
        reqwest = { version = \"0.13.5\", default-features = false }\n\
        tokio = { version = \"1\", features = [\"rt-multi-thread\"] }\n";
    let binary = build(project.path(), "neighbour", dependencies, NEIGHBOUR);
    let output = Command::new(binary)
        .arg(format!("{}/.well-known/jwks.json", server.public))
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// Builds an empty project with these dependencies and this program. The crate comes from this tree,
/// and everything else in the versions of this workspace, so that nothing is fetched.
fn build(project: &Path, name: &str, dependencies: &str, program: &str) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = "\"../keywright/verifier\"";
    assert!(dependencies.contains(beside), "{dependencies}");
    let dependencies = dependencies.replace(beside, &format!("{:?}", root.join("verifier")));
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{dependencies}\n"
    );
    fs::create_dir(project.join("src")).expect("a folder");
    fs::write(project.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(project.join("src/main.rs"), program).expect("a program");
    fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock")).expect("the versions");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("newcomer");
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo tells a test about its package would make other packages build anew.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME" {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .args(["build", "--offline", "--quiet"])
        .current_dir(project)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_INCREMENTAL", "0")
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(!errors.contains("warning"), "{errors}");
    target.join("debug").join(name)
}

/// A port of this machine that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// The newcomer's service. It is killed when it is dropped.
struct Service(Child);

impl Service {
    fn start(binary: &Path, address: SocketAddr) -> Self {
        let mut service = Self(
            Command::new(binary)
                .stdin(Stdio::null())
                .spawn()
                .expect("the program runs"),
        );
        for _ in 0..200 {
            if TcpStream::connect(address).is_ok() {
                return service;
            }
            let ended = service.0.try_wait().expect("a state");
            assert!(ended.is_none(), "the program ended: {ended:?}");
            wait_a_little();
        }
        panic!("the program does not listen");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a newcomer's program does not tell when it listens"
)]
fn wait_a_little() {
    std::thread::sleep(Duration::from_millis(50));
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the commands print, all of which succeed.
fn shell(server: &support::Server, commands: &str) -> String {
    let output = crate::bash(server, &format!("set -eu\n{commands}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{commands}\n{errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}
