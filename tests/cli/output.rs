//! Where `--output` leads, and to whom restored files belong.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use crate::support::{self, Server, start, start_in};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn done(server: &Server, arguments: &[&str]) -> Vec<u8> {
    let output = run(server.folder().path(), arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    output.stdout
}

const DOCUMENTS: [(&[&str], &str); 3] = [
    (&["backup"], "keywright-backup "),
    (&["register", "export"], "{"),
    (&["audit", "export"], "{"),
];

#[test]
fn a_dash_is_standard_output_and_no_file() {
    let server = start("");
    let folder = server.folder();
    for (command, beginning) in DOCUMENTS {
        for output in [&["--output", "-"][..], &["--output=-"], &[]] {
            let printed = done(&server, &[command, output].concat());
            assert!(
                printed.starts_with(beginning.as_bytes()),
                "{command:?} {output:?}"
            );
        }
        // A file of that name has a path.
        assert!(done(&server, &[command, &["--output", "./-"]].concat()).is_empty());
        let written = fs::read(folder.path().join("-")).unwrap();
        assert!(written.starts_with(beginning.as_bytes()));
        fs::remove_file(folder.path().join("-")).unwrap();
    }
    for names in [["--from", "-"], ["--register", "-"]] {
        let rest = ["--from", "absent", "--nothing-revoked-since"];
        let rest = if names[0] == "--from" {
            &rest[2..]
        } else {
            &rest[..2]
        };
        let output = run(folder.path(), &[&["restore"], &names[..], rest].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{names:?}: {said}");
        assert!(said.contains("name files"), "{said}");
    }
}

#[test]
fn a_backup_does_not_go_to_a_terminal() {
    let server = start("");
    for output in ["", " --output -"] {
        // `script` runs a command on a terminal of its own.
        let program = env!("CARGO_BIN_EXE_keywright");
        let typescript = Command::new("script")
            .args(["-qec", &format!("{program} backup{output}"), "/dev/null"])
            .current_dir(server.folder().path())
            .stdin(Stdio::null())
            .output();
        let Ok(typescript) = typescript else {
            support::report("SKIPPED: there is no `script`, which makes a terminal");
            return;
        };
        let said = String::from_utf8_lossy(&typescript.stdout).into_owned();
        assert!(said.contains("no text for a terminal"), "{said}");
        assert!(!said.contains("keywright-backup"), "{said}");
    }
}

#[test]
fn a_device_a_pipe_and_a_link_are_written_through_and_not_replaced() {
    let server = start("");
    let folder = server.folder();
    for (command, beginning) in DOCUMENTS {
        // Links of its own, so that a mistake replaces nothing of this machine.
        for (name, target) in [("out", "/dev/stdout"), ("null", "/dev/null")] {
            let link = folder.path().join(name);
            let _ = fs::remove_file(&link);
            symlink(target, &link).unwrap();
            let printed = done(&server, &[command, &["--output", name]].concat());
            assert_eq!(printed.starts_with(beginning.as_bytes()), name == "out");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "{name}");
        }
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        let _ = fs::remove_file(&link);
        symlink("file", &link).unwrap();
        done(&server, &[command, &["--output", "link"]].concat());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read(&file).unwrap().starts_with(beginning.as_bytes()));
        let output = run(folder.path(), &[command, &["--output", "keys"]].concat());
        assert_eq!(output.status.code(), Some(1), "a folder is no file");
    }
}

/// A folder that belongs to another user, with the master key in it.
fn of_another_user(original: &Server) -> Arc<TempDir> {
    let folder = Arc::new(TempDir::new().unwrap());
    let data = folder.path().join("keys");
    fs::create_dir(&data).unwrap();
    fs::copy(original.data().join("master.key"), data.join("master.key")).unwrap();
    for path in [&data, &data.join("master.key")] {
        chown(path, Some(4711), Some(4712)).unwrap();
    }
    folder
}

fn owners(folder: &Path) -> Vec<(String, u32, u32)> {
    let entries = fs::read_dir(folder.join("keys")).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, metadata.uid(), metadata.gid())
    });
    entries.collect()
}

#[test]
fn what_root_restores_belongs_to_the_owner_of_the_folder() {
    if !rustix_is_root() {
        support::report("SKIPPED: only root makes files for another user");
        return;
    }
    let server = start("");
    let folder = server.folder();
    done(&server, &["backup", "--output", "backup"]);
    let backup = folder.path().join("backup").display().to_string();
    let copied = server.data().join("keywright.db").display().to_string();
    let restored = of_another_user(&server);
    let copy = of_another_user(&server);
    server.terminate();
    for (target, arguments) in [
        (
            &restored,
            vec!["restore", "--from", &backup, "--nothing-revoked-since"],
        ),
        (
            &copy,
            vec![
                "store",
                "copy",
                "--to",
                "sqlite:keys/keywright.db",
                "--from",
            ],
        ),
    ] {
        let from = format!("sqlite:{copied}");
        let mut arguments = arguments;
        if arguments.contains(&"copy") {
            arguments.push(&from);
        }
        let output = run(target.path(), &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        let owners = owners(target.path());
        assert!(
            owners.iter().any(|(name, ..)| name == "keywright.db"),
            "{owners:?}"
        );
        assert!(
            owners.iter().any(|(name, ..)| name == "keywright.lock"),
            "{owners:?}"
        );
        for (name, user, group) in owners {
            assert_eq!((user, group), (4711, 4712), "{name}");
        }
    }
    // A link that the owner has put there gives nothing else away.
    let lured = of_another_user_of(&restored);
    let target = lured.path().join("roots");
    fs::write(&target, "").unwrap();
    symlink(&target, lured.path().join("keys/keywright.lock")).unwrap();
    run(
        lured.path(),
        &["restore", "--from", &backup, "--nothing-revoked-since"],
    );
    assert_eq!(fs::metadata(&target).unwrap().uid(), 0);
}

/// The same folder as another one, before anything was restored into it.
fn of_another_user_of(restored: &Arc<TempDir>) -> Arc<TempDir> {
    let folder = Arc::new(TempDir::new().unwrap());
    let data = folder.path().join("keys");
    fs::create_dir(&data).unwrap();
    fs::copy(
        restored.path().join("keys/master.key"),
        data.join("master.key"),
    )
    .unwrap();
    chown(&data, Some(4711), Some(4712)).unwrap();
    folder
}

fn rustix_is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_url_of_the_default_issuer_that_is_not_used_is_said() {
    let is_said = |server: &Server| server.log().contains("is not used");
    let url = |url: &str| format!("default_issuer.url = \"{url}\"\n");
    let server = start(&url("https://one.example"));
    assert!(!is_said(&server), "the store was empty");
    let (_, mut folder) = server.terminate();
    for (settings, said) in [
        (url("https://two.example"), true),
        (url("https://one.example"), false),
        (url("https://one.example/sub"), true),
        (String::new(), false),
    ] {
        let server = start_in(Arc::clone(&folder), &settings).unwrap();
        assert_eq!(is_said(&server), said, "{settings}{}", server.log());
        (_, folder) = server.terminate();
    }
}
