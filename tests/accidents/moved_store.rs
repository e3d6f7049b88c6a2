//! The data folder or its database goes away while the service runs: nothing is acknowledged that
//! would not be there after a restart.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::mounted::Mounted;
use crate::support::{Server, end_of, eventually, spawn_in, start, start_in};
use crate::{create_client, health, kid, ok, revoke};

fn database(server: &Server) -> PathBuf {
    server.data().join("keywright.db")
}

/// What an accident leaves behind that must live on.
type Kept = Box<dyn std::any::Any>;

struct Accident {
    name: &'static str,
    /// What happens to the data folder. `None` when it cannot be had here.
    happens: fn(&Server, &Path) -> Option<Kept>,
}

fn kept(value: impl std::any::Any) -> Option<Kept> {
    Some(Box::new(value))
}

/// `copy` is the database as it was before the last changes.
const ACCIDENTS: [Accident; 10] = [
    Accident {
        name: "folder renamed",
        happens: |server, _| {
            fs::rename(server.data(), server.data().with_extension("old")).unwrap();
            kept(())
        },
    },
    Accident {
        name: "folder renamed, and another one in its place",
        happens: |server, copy| {
            fs::rename(server.data(), server.data().with_extension("old")).unwrap();
            fs::create_dir(server.data()).unwrap();
            fs::copy(copy, database(server)).unwrap();
            kept(())
        },
    },
    Accident {
        name: "folder deleted",
        happens: |server, _| {
            fs::remove_dir_all(server.data()).unwrap();
            kept(())
        },
    },
    Accident {
        name: "database deleted",
        happens: |server, _| {
            fs::remove_file(database(server)).unwrap();
            kept(())
        },
    },
    Accident {
        name: "database replaced by an older copy",
        happens: |server, copy| {
            let draft = server.data().join("draft");
            fs::copy(copy, &draft).unwrap();
            fs::rename(&draft, database(server)).unwrap();
            kept(())
        },
    },
    Accident {
        name: "database overwritten by an older copy",
        happens: |server, copy| {
            fs::copy(copy, database(server)).unwrap();
            kept(())
        },
    },
    Accident {
        name: "database replaced by a symlink",
        happens: |server, copy| {
            fs::remove_file(database(server)).unwrap();
            symlink(copy, database(server)).unwrap();
            kept(())
        },
    },
    Accident {
        name: "write-ahead log deleted",
        happens: |server, _| {
            fs::remove_file(database(server).with_extension("db-wal")).unwrap();
            kept(())
        },
    },
    Accident {
        name: "shared memory deleted",
        happens: |server, _| {
            fs::remove_file(database(server).with_extension("db-shm")).unwrap();
            kept(())
        },
    },
    Accident {
        name: "file system mounted over the folder",
        happens: |server, _| kept(Mounted::at(&server.data(), "size=8m")?),
    },
];

#[test]
fn nothing_is_acknowledged_into_files_that_have_gone() {
    for Accident { name, happens } in ACCIDENTS {
        let server = start("");
        let copy = server.folder().path().join("older.db");
        fs::copy(database(&server), &copy).unwrap();
        let client = create_client(&server, "a", &["issuer"]);
        ok(server.call(
            "POST",
            "/v1/issuers/default/rotate",
            Some(&json!({ "force": true })),
        ));
        let active = kid(&server, "default", "active").unwrap();
        // That commit is in the write-ahead log.
        eventually("a full set", || kid(&server, "default", "pending"));
        let Some(_kept) = happens(&server, &copy) else {
            continue;
        };
        // At once, before any look that is taken once a second.
        let client = format!("/v1/clients/{}", client["id"].as_str().unwrap());
        let rotate = json!({ "force": true });
        let calls: [(&str, &str, Option<&Value>); 2] = [
            ("DELETE", &client, None),
            ("POST", "/v1/issuers/default/rotate", Some(&rotate)),
        ];
        let refused = revoke(&server, "default", &active);
        assert_eq!(refused.status, 503, "{name}: {}", refused.json());
        assert_eq!(refused.json()["code"], "store-replaced", "{name}");
        for (method, path, body) in calls {
            let refused = server.call(method, path, body);
            assert_eq!(refused.status, 503, "{name}: {path}");
        }
        let probe = eventually(name, || {
            let probe = server.fetch("/readyz");
            (probe.status == 503).then_some(probe.body)
        });
        let probe = String::from_utf8(probe).unwrap();
        assert!(
            probe.contains("moved, deleted or replaced"),
            "{name}: {probe}"
        );
        let report = health(&server);
        assert_eq!(
            (&report["ready"], &report["store"]["answers"]),
            (&json!(false), &json!(false))
        );
        eventually("a line", || {
            let log = server.log();
            log.contains("is not the file that this process has opened")
                .then_some(())
        });
        // What is in memory is the last that was true: it signs, and says so with its old keys.
        server.sign("default", &json!({ "claims": {} }));
        assert_eq!(
            kid(&server, "default", "active").as_deref(),
            Some(&*active),
            "{name}"
        );
    }
}

#[test]
fn a_folder_that_comes_back_is_used_again() {
    let server = start("");
    let away = server.data().with_extension("away");
    fs::rename(server.data(), &away).unwrap();
    eventually("not ready", || {
        (server.fetch("/readyz").status == 503).then_some(())
    });
    fs::rename(&away, server.data()).unwrap();
    eventually("ready", || {
        (server.fetch("/readyz").status == 200).then_some(())
    });
    let active = kid(&server, "default", "active").unwrap();
    ok(revoke(&server, "default", &active));
    let folder = server.kill();
    let restarted = start_in(folder, "").unwrap();
    let path = format!("/v1/issuers/default/keys/{active}");
    assert_eq!(ok(restarted.call("GET", &path, None))["state"], "revoked");
}

#[test]
fn a_shell_that_writes_to_the_database_does_not_make_it_another_one() {
    let server = start("");
    let url = format!("sqlite://{}", database(&server).display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        use sqlx::Connection as _;
        let mut shell = sqlx::SqliteConnection::connect(&url).await.unwrap();
        for statement in [
            "CREATE TABLE note (text TEXT)",
            "INSERT INTO note VALUES (zeroblob(100000))",
            "PRAGMA wal_checkpoint(PASSIVE)",
        ] {
            sqlx::query(statement).execute(&mut shell).await.unwrap();
        }
        shell.close().await.unwrap();
    });
    let active = kid(&server, "default", "active").unwrap();
    ok(revoke(&server, "default", &active));
    assert_eq!(server.fetch("/readyz").status, 200);
}

/// A second process that must not come up.
fn refused(folder: &Path) -> String {
    let (code, said) = end_of(spawn_in(folder, ""));
    assert_eq!(code, 1, "{said}");
    said
}

#[test]
fn a_lock_file_that_is_gone_or_another_one_lets_no_second_process_in() {
    let server = start("");
    let lock = server.data().join("keywright.lock");
    let other = lock.with_extension("other");
    for name in [
        "deleted",
        "replaced",
        "moved away",
        "a link to another file",
    ] {
        match name {
            "deleted" => fs::remove_file(&lock).unwrap(),
            "replaced" => {
                fs::write(&other, "").unwrap();
                fs::rename(&other, &lock).unwrap();
            }
            "moved away" => fs::rename(&lock, lock.with_extension("away")).unwrap(),
            _ => {
                let _ = fs::remove_file(&lock);
                symlink(&other, &lock).unwrap();
            }
        }
        let said = refused(server.folder().path());
        assert!(
            said.contains("in use by another keywright process"),
            "{name}: {said}"
        );
        server.sign("default", &json!({ "claims": {} }));
    }
    let folder = server.kill();
    start_in(folder, "").unwrap();
}

#[test]
fn the_command_line_tools_do_not_open_a_folder_that_is_in_use_without_its_lock_file() {
    let server = start("");
    fs::remove_file(server.data().join("keywright.lock")).unwrap();
    let target = server.folder().path().join("copy/keywright.db");
    let copied = Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(["store", "copy", "--from"])
        .arg(format!("sqlite:{}", database(&server).display()))
        .arg("--to")
        .arg(format!("sqlite:{}", target.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&copied.stderr).into_owned();
    assert!(!copied.status.success());
    assert!(
        said.contains("in use by another keywright process"),
        "{said}"
    );
}
