//! docs/guard.md, as a reader would follow it.
//!
//! Its blocks whose info string is `sh guard` run in order in one shell, in the folder of a service whose
//! issuer is where the page says, but for the ports. `toml guard FILE` is a file that they use.

use std::path::Path;
use std::process::Command;

use crate::support::gateway::free_port;
use crate::support::page::blocks;
use crate::support::start_with;

#[test]
fn the_examples_of_the_page_run_as_they_are_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guard.md");
    let page = std::fs::read_to_string(page).unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let url = format!("http://{address}");
    let environment = [
        ("KEYWRIGHT_PUBLIC__LISTEN", address.as_str()),
        ("KEYWRIGHT_DEFAULT_ISSUER__URL", &url),
    ];
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let server = start_with(folder, "", &environment).unwrap();
    let [guard, health] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let here = |text: &str| {
        text.replace("http://127.0.0.1:8080", &url)
            .replace("127.0.0.1:9000", &guard)
            .replace("127.0.0.1:9001", &health)
    };
    let mut script =
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    let mut ran = 0;
    for block in blocks(&page) {
        match block.info.split_whitespace().collect::<Vec<_>>()[..] {
            ["sh", "guard"] => {
                script.push_str(&format!("{}\n", here(&block.body)));
                ran += 1;
            }
            ["toml", "guard", file] => {
                std::fs::write(server.folder().path().join(file), here(&block.body)).unwrap();
            }
            _ => {}
        }
    }
    assert!(ran >= 3, "the page has too few examples");
    let program = Path::new(env!("CARGO_BIN_EXE_keywright"));
    let folder = program.parent().unwrap().display();
    // An example that waits for something waits indefinitely if it never happens.
    let output = Command::new("timeout")
        .args(["60", "bash", "-c", &script])
        .current_dir(server.folder().path())
        .env_clear()
        .env("PATH", format!("{folder}:/usr/local/bin:/usr/bin:/bin"))
        .output()
        .unwrap();
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{script}\n{said}");
    for shown in [
        "x-auth-subject: user-1",
        "401 Unauthorized",
        "error=\"invalid_token\"",
        "403 Forbidden",
    ] {
        assert!(said.contains(shown), "{shown} is missing:\n{said}");
    }
}
