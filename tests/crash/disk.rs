//! A disk that says that it has not kept what it was told to keep (`EIO` from `fsync`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use crate::changes::set_policy;
use crate::report;
use crate::state::State;
use crate::support::{Server, start_in, start_with};

/// A library that makes `fsync` fail while a file exists; `None`, and a line that says so, where
/// there is no C compiler.
fn fault(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/disk.c");
    let library = folder.join("disk.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    match compiled {
        Ok(status) => {
            assert!(status.success(), "disk.c does not compile");
            Some(library)
        }
        Err(error) => {
            report(&format!("SKIPPED: failing fsync: no C compiler: {error}"));
            None
        }
    }
}

fn change(server: &Server, turn: usize) -> u16 {
    let change = set_policy("shop", turn, &State::of(server));
    let answer = server.call(change.method, &change.path, Some(&change.body));
    answer.status
}

#[test]
fn what_the_disk_did_not_keep_is_not_acknowledged_and_is_there_whole_or_not_at_all() {
    let tools = TempDir::new().unwrap();
    let Some(library) = fault(tools.path()) else {
        return;
    };
    let sign = tools.path().join("broken");
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("BROKEN_WHILE_EXISTS", sign.to_str().unwrap()),
    ];
    let mut folder = Arc::new(TempDir::new().unwrap());
    for round in 0..5 {
        let server =
            start_with(folder, "", &environment).unwrap_or_else(|log| panic!("no start: {log}"));
        if round == 0 {
            let policy = json!({
                "url": format!("{}/shop", server.public), "algorithms": ["ES256"],
            });
            let created = server.call("PUT", "/v1/issuers/shop", Some(&policy));
            assert_eq!(created.status, 201);
        }
        assert_eq!(change(&server, 10 * round + 1), 200);
        let before = State::of(&server);
        fs::write(&sign, "").unwrap();
        for turn in 2..5 {
            let status = change(&server, 10 * round + turn);
            assert!(status >= 500, "acknowledged with {status}");
        }
        // Every other time the disk recovers under the running service.
        let recovers = round % 2 == 0;
        if recovers {
            fs::remove_file(&sign).unwrap();
            assert_eq!(change(&server, 10 * round + 5), 200);
        }
        let last = State::of(&server);
        last.check();
        folder = server.kill();
        let _ = fs::remove_file(&sign);
        let restarted =
            start_in(Arc::clone(&folder), "").unwrap_or_else(|log| panic!("no restart: {log}"));
        let after = State::of(&restarted);
        after.check();
        assert_eq!(after.events[..before.events.len()], before.events);
        if recovers {
            assert_eq!(after, last, "what was acknowledged is lost");
        }
        folder = restarted.kill();
    }
}
