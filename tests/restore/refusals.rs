//! What cannot be trusted is refused, and nothing is written.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::site::{done, elsewhere, refused, rotate};
use crate::support::start;

/// What was kept of a service: two backups with a register each, the older ones first.
fn kept() -> Arc<TempDir> {
    let server = start("");
    let folder = server.folder();
    for number in ["1", "2"] {
        let (register, backup) = (format!("register-{number}"), format!("backup-{number}"));
        done(
            folder.path(),
            &["register", "export", "--output", &register],
        );
        done(folder.path(), &["backup", "--output", &backup]);
        rotate(&server);
    }
    done(
        folder.path(),
        &["register", "export", "--output", "register-3"],
    );
    server.kill()
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// The data folder has no store.
fn assert_nothing_written(folder: &Path) {
    assert!(!folder.join("keys/keywright.db").exists());
}

#[test]
fn a_backup_that_is_not_what_was_written_is_refused_and_nothing_is_written() {
    let kept = kept();
    let elsewhere = elsewhere(&kept.path().join("keys"));
    let bytes = fs::read(kept.path().join("backup-2")).unwrap();
    let mut altered = bytes.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let other = fs::read(kept.path().join("backup-1")).unwrap();
    let lines = |bytes: &[u8]| {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        ends.map(|(index, _)| index + 1).nth(1).unwrap()
    };
    let spliced = [&bytes[..lines(&bytes)], &other[lines(&other)..]].concat();
    for (name, bytes, reason) in [
        ("altered", altered, "altered"),
        ("cut off", bytes[..bytes.len() - 1].to_vec(), "cut off"),
        (
            "without a chunk",
            bytes[..lines(&bytes)].to_vec(),
            "cut off",
        ),
        (
            "longer",
            [&bytes[..], &[0, 0, 0, 17][..], &[0; 17]].concat(),
            "follows",
        ),
        ("spliced", spliced, "altered"),
        ("foreign", b"something else\n".to_vec(), "no backup"),
        (
            "of a later version",
            b"keywright-backup 2\n{}\n".to_vec(),
            "format 2",
        ),
        ("empty", Vec::new(), "no backup"),
    ] {
        let file = elsewhere.path().join("backup");
        fs::write(&file, bytes).unwrap();
        let arguments = ["restore", "--from", "backup", "--nothing-revoked-since"];
        let error = refused(elsewhere.path(), &arguments);
        assert!(error.contains(reason), "{name}: {error}");
        assert_nothing_written(elsewhere.path());
    }
    let whole = path(&kept, "backup-2");
    let arguments = ["restore", "--from", &whole, "--nothing-revoked-since"];
    done(elsewhere.path(), &arguments);
    // A store that is there already is not overwritten.
    let error = refused(elsewhere.path(), &arguments);
    assert!(error.contains("not empty"), "{error}");
}

#[test]
fn another_master_key_opens_no_backup() {
    let kept = kept();
    let other = start("");
    let elsewhere = elsewhere(&other.data());
    let backup = path(&kept, "backup-1");
    let arguments = ["restore", "--from", &backup, "--nothing-revoked-since"];
    let error = refused(elsewhere.path(), &arguments);
    assert!(error.contains("sealed with the master key"), "{error}");
    fs::remove_file(elsewhere.path().join("keys/master.key")).unwrap();
    let error = refused(elsewhere.path(), &arguments);
    assert!(error.contains("master.key"), "{error}");
    assert_nothing_written(elsewhere.path());
}

#[test]
fn a_register_must_be_whole_and_no_older_than_the_backup() {
    let kept = kept();
    let elsewhere = elsewhere(&kept.path().join("keys"));
    let backup = path(&kept, "backup-2");
    let register = fs::read_to_string(kept.path().join("register-3")).unwrap();
    let revived = register.replace("\"retired\"", "\"pending\"");
    assert_ne!(revived, register);
    let old = fs::read_to_string(kept.path().join("register-1")).unwrap();
    for (name, text, reason) in [
        ("older", old.as_str(), "older than the backup"),
        ("altered", &revived, "altered"),
        ("cut off", &register[..register.len() / 2], "no register"),
        ("something else", "{}", "no register"),
    ] {
        fs::write(elsewhere.path().join("register"), text).unwrap();
        let arguments = ["restore", "--from", &backup, "--register", "register"];
        let error = refused(elsewhere.path(), &arguments);
        assert!(error.contains(reason), "{name}: {error}");
        assert_nothing_written(elsewhere.path());
    }
    let fresh = path(&kept, "register-3");
    done(
        elsewhere.path(),
        &["restore", "--from", &backup, "--register", &fresh],
    );
}

#[test]
fn a_name_that_nothing_has_is_refused() {
    let kept = kept();
    let elsewhere = elsewhere(&kept.path().join("keys"));
    let backup = path(&kept, "backup-1");
    let error = refused(
        elsewhere.path(),
        &["restore", "--from", &backup, "--revoked-since", "mistyped"],
    );
    assert!(error.contains("mistyped"), "{error}");
    let nothing = ["restore", "--from", &backup, "--nothing-revoked-since"];
    let arguments = [nothing.as_slice(), &["--deleted-since", "nobody"]].concat();
    let error = refused(elsewhere.path(), &arguments);
    assert!(error.contains("nobody"), "{error}");
    assert_nothing_written(elsewhere.path());
}
