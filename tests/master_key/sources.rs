//! Where a master key comes from, and that it is seen nowhere else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::support::{Server, files_contain, start_in, start_with};
use crate::world::{Key, folder, named, refused, serve, sign, state, verifies};

/// A program that prints a key as a secret store's would.
fn program(folder: &Path, script: &str) -> String {
    let path = folder.join("secret-store");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What everyone on the machine can read of a process, and what `config print` says.
fn told_of(server: &Server, environment: &[(&str, &str)]) -> Vec<u8> {
    let mut told = server.log().into_bytes();
    let process = format!("/proc/{}/cmdline", server.process());
    told.extend(std::fs::read(process).unwrap());
    for format in [&["--json"][..], &[]] {
        let printed = Command::new(env!("CARGO_BIN_EXE_keywright"))
            .args(["config", "print", "--config"])
            .arg(server.folder().path().join("config.toml"))
            .args(format)
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert!(printed.status.success(), "{printed:?}");
        told.extend(printed.stdout);
        told.extend(printed.stderr);
    }
    told
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let mut windows = haystack.windows(needle.len());
    windows.any(|window| window == needle)
}

/// Starts a new store with the first key from a source and a further one from another, signs, and
/// starts it again with the same keys from files.
fn seals_a_store(settings: &str, environment: &[(&str, &str)], folder: &Arc<tempfile::TempDir>) {
    let (first, further) = (Key::new(1), Key::new(2));
    let settings = format!("log.filter = \"trace\"\n{settings}");
    let server = start_with(Arc::clone(folder), &settings, environment)
        .unwrap_or_else(|log| panic!("no start: {log}"));
    assert!(!server.data().join("master.key").exists());
    let state = state(&server);
    assert_eq!(state["sealing"], first.fingerprint());
    let keys = state["keys"].as_array().unwrap();
    let known = |key: &Key| {
        keys.iter()
            .any(|one| one["fingerprint"] == key.fingerprint())
    };
    assert!(known(&first) && known(&further), "{state}");
    let token = sign(&server, "default");
    let told = told_of(&server, environment);
    assert!(contains(&told, b"DEBUG"), "the log is talkative");
    for form in first.forms().iter().chain(&further.forms()) {
        assert!(!contains(&told, form), "a master key was told");
        assert!(
            !files_contain(&server.data(), form),
            "a master key is in the data folder"
        );
    }
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0));
    let server = serve(&folder, &[&first]);
    verifies(&server, "default", &token).unwrap();
    sign(&server, "default");
}

#[test]
fn a_key_comes_from_a_file() {
    let folder = folder();
    let settings = named(folder.path(), &[&Key::new(1), &Key::new(2)]);
    seals_a_store(&settings, &[], &folder);
}

#[test]
fn a_key_comes_from_the_environment() {
    let (first, further) = (Key::new(1), Key::new(2));
    let environment = [
        ("KEYWRIGHT_MASTER_KEY", first.text.as_str()),
        ("KEYWRIGHT_FURTHER_MASTER_KEY", further.text.as_str()),
    ];
    seals_a_store("", &environment, &folder());
}

#[test]
fn a_key_comes_from_a_systemd_credential() {
    let folder = folder();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    Key::new(1).put(&credentials, "keywright.master-key");
    Key::new(2).put(&credentials, "keywright.further-master-key");
    let environment = [("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())];
    seals_a_store("", &environment, &folder);
}

#[test]
fn a_key_comes_from_a_command() {
    let folder = folder();
    // The arguments name the key; the program gets no key of ours beside it.
    let script = format!(
        "test -z \"$KEYWRIGHT_FURTHER_MASTER_KEY\" || exit 9\n\
         case \"$1 $2\" in 'read first key') echo {} ;; *) exit 8 ;; esac",
        Key::new(1).text
    );
    let program = program(folder.path(), &script);
    let settings = format!("master_key_command = [{program:?}, \"read\", \"first key\"]\n");
    let further = Key::new(2);
    let environment = [("KEYWRIGHT_FURTHER_MASTER_KEY", further.text.as_str())];
    seals_a_store(&settings, &environment, &folder);
}

#[test]
fn a_further_key_comes_from_a_command() {
    let folder = folder();
    let program = program(folder.path(), &format!("echo {}", Key::new(2).text));
    let settings = named(folder.path(), &[&Key::new(1)]);
    let settings = format!("{settings}[[further_master_keys]]\ncommand = [{program:?}]\n");
    seals_a_store(&settings, &[], &folder);
}

#[test]
fn two_places_for_one_key_are_both_named() {
    let folder = folder();
    let key = Key::new(1);
    let settings = named(folder.path(), &[&key]);
    let environment = [("KEYWRIGHT_MASTER_KEY", key.text.as_str())];
    let command = "master_key_command = [\"/bin/vault\", \"a-word\"]\n";
    for (settings, environment, places) in [
        (
            settings.clone(),
            &environment[..],
            ["master_key_file", "KEYWRIGHT_MASTER_KEY"],
        ),
        (
            format!("{settings}{command}"),
            &[],
            ["master_key_file", "/bin/vault"],
        ),
        (
            command.to_owned(),
            &environment[..],
            ["/bin/vault", "KEYWRIGHT_MASTER_KEY"],
        ),
    ] {
        let said = refused(folder.path(), &settings, environment);
        assert!(said.contains("named twice"), "{said}");
        assert!(places.iter().all(|place| said.contains(place)), "{said}");
        assert!(
            !said.contains(&key.text) && !said.contains("a-word"),
            "{said}"
        );
    }
    for further in ["", "file = \"/a\"\ncommand = [\"/b\"]\n"] {
        let settings = format!("[[further_master_keys]]\n{further}");
        let said = refused(folder.path(), &settings, &[]);
        assert!(said.contains("either a file or a command"), "{said}");
    }
    // The same key under two names would make a rotation do nothing.
    let said = refused(folder.path(), &named(folder.path(), &[&key, &key]), &[]);
    assert!(
        said.contains("comes twice") && said.contains(&key.fingerprint()),
        "{said}"
    );
}

#[test]
fn a_command_that_does_not_give_a_key_is_told_without_what_it_said() {
    let folder = folder();
    for (script, expected) in [
        ("echo hunter2 >&2; echo hunter2; exit 3", "exit status: 3"),
        ("echo hunter2", "does not have a master key"),
        ("true", "printed no text"),
        ("head -c 100000 /dev/zero", "the command"),
    ] {
        let program = program(folder.path(), script);
        let settings = format!("log.filter = \"trace\"\nmaster_key_command = [{program:?}]\n");
        let said = refused(folder.path(), &settings, &[]);
        assert!(
            said.contains(expected) && said.contains("master_key_command"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    let settings = "master_key_command = [\"/nowhere/vault\"]\n";
    let said = refused(folder.path(), settings, &[]);
    assert!(
        said.contains("/nowhere/vault") && said.contains("cannot be run"),
        "{said}"
    );
}

#[test]
fn a_variable_that_has_no_key_is_named_and_not_shown() {
    for text in [
        " ",
        "hunter2hunter2",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let environment = [("KEYWRIGHT_MASTER_KEY", text)];
        let said = refused(folder().path(), "log.filter = \"trace\"\n", &environment);
        assert!(
            said.contains("KEYWRIGHT_MASTER_KEY does not have a master key"),
            "{said}"
        );
        assert!(text.trim().is_empty() || !said.contains(text), "{said}");
    }
}

#[test]
fn an_empty_variable_and_an_empty_credential_name_no_key() {
    let folder = folder();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("keywright.master-key"), "").unwrap();
    let key = Key::new(1);
    let settings = named(folder.path(), &[&key]);
    let environment = [
        ("KEYWRIGHT_MASTER_KEY", ""),
        ("KEYWRIGHT_FURTHER_MASTER_KEY", ""),
        ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()),
    ];
    let server = start_with(Arc::clone(&folder), &settings, &environment).unwrap();
    assert_eq!(state(&server)["sealing"], key.fingerprint());
    // A store that is sealed does not get another key for that.
    let (_, folder) = server.terminate();
    let said = refused(folder.path(), "", &environment);
    assert!(said.contains("put that key back"), "{said}");
}

#[test]
fn another_key_than_the_stores_is_refused_with_both_names() {
    let folder = folder();
    let (right, wrong, other) = (Key::new(1), Key::new(2), Key::new(3));
    serve(&folder, &[&right]).terminate();
    let said = refused(folder.path(), &named(folder.path(), &[&wrong, &other]), &[]);
    for name in [&right, &wrong, &other].map(Key::fingerprint) {
        assert!(said.contains(&name), "{said}");
    }
    assert!(
        said.contains("master_key_file") && said.contains("further_master_keys"),
        "{said}"
    );
    assert!(said.contains("keywright master-key replace"), "{said}");
}

#[test]
fn the_store_says_which_key_seals_and_not_the_order_of_the_configuration() {
    let folder = folder();
    let (first, second) = (Key::new(1), Key::new(2));
    serve(&folder, &[&first]).terminate();
    let server = start_in(
        Arc::clone(&folder),
        &named(folder.path(), &[&second, &first]),
    )
    .unwrap();
    crate::world::create_issuer(&server, "orders");
    let state = state(&server);
    assert_eq!(state["sealing"], first.fingerprint());
    for key in state["keys"].as_array().unwrap() {
        let is_first = key["fingerprint"] == first.fingerprint();
        assert_eq!(key["records"].as_u64().unwrap() > 0, is_first, "{state}");
    }
}
