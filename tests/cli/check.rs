//! `config check` and `serve` judge alike.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Runs a command with a configuration in a folder; a service that serves is ended.
fn run(folder: &Path, command: &[&str], settings: &str, environment: &[(&str, &str)]) -> Output {
    let config = folder.join("config.toml");
    fs::write(&config, settings).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(command)
        .args(["--config", "config.toml"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    let streams = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(streams).unwrap()
}

/// Both commands refuse, for the same reason, and make nothing.
fn both_refuse(settings: &str, environment: &[(&str, &str)], make: impl Fn(&Path), part: &str) {
    let folder = TempDir::new().unwrap();
    make(folder.path());
    let count = || fs::read_dir(folder.path()).unwrap().count();
    fs::write(folder.path().join("config.toml"), "").unwrap();
    let before = count();
    let said = [&["config", "check"][..], &["serve"]].map(|command| {
        let output = run(folder.path(), command, settings, environment);
        let said = text(&output);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{command:?} {settings}{said}"
        );
        assert!(
            said.contains(part),
            "{command:?} {settings}{said}\nlacks {part}"
        );
        assert_eq!(count(), before, "{command:?} {settings}made something");
        let lines = said.lines().map(str::to_owned);
        lines
            .filter(|line| line.starts_with("error: "))
            .collect::<Vec<_>>()
    });
    let [checked, served] = said;
    assert_eq!(checked, served, "{settings}");
}

fn nothing(_: &Path) {}

const TRUSTED: &str = "[[trusted_issuers]]\nname = \"cluster\"\naudience = \"keys\"\n";
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[test]
fn what_is_wrong_with_trusted_issuers_is_found_by_both() {
    let https = "issuer = \"https://id.example\"\n";
    for (settings, part) in [
        ("issuer = \"http://id.example\"\n".to_owned(), "http"),
        (
            format!("{https}jwks_url = \"http://id.example/keys\"\n"),
            "http",
        ),
        (
            format!("{https}jwks_url = \"ftp://id.example/keys\"\n"),
            "cluster",
        ),
        (format!("{https}jwks_file = \"absent.json\"\n"), "cluster"),
        (format!("{https}jwks_file = \"empty.json\"\n"), "cluster"),
        (format!("{https}jwks_file = \"folder\"\n"), "cluster"),
        (format!("{https}ca = \"absent.pem\"\n"), "absent.pem"),
        (format!("{https}ca = \"empty.json\"\n"), "certificate"),
        (format!("{https}algorithms = [\"HS256\"]\n"), "HS256"),
        (format!("{https}algorithms = [\"none\"]\n"), "none"),
        (
            format!("{https}jwks_url = \"https://id.example/keys\"\njwks_file = \"a\"\n"),
            "jwks_url and jwks_file",
        ),
        (format!("{https}{TRUSTED}{https}"), "no other has the same"),
    ] {
        let make = |folder: &Path| {
            fs::write(folder.join("empty.json"), "").unwrap();
            fs::create_dir(folder.join("folder")).unwrap();
        };
        both_refuse(&format!("{TRUSTED}{settings}"), &[], make, part);
    }
    for terms in [
        "name = \"cluster\"\nissuer = \"https://id.example\"\naudience = \"\"\n",
        "name = \"cluster\"\nissuer = \"\"\naudience = \"keys\"\n",
        "name = \"\"\nissuer = \"https://id.example\"\naudience = \"keys\"\n",
    ] {
        both_refuse(
            &format!("[[trusted_issuers]]\n{terms}"),
            &[],
            nothing,
            "trusted_issuers",
        );
    }
}

#[test]
fn a_key_set_without_a_usable_key_is_refused_with_the_reason_of_each() {
    let settings = format!("{TRUSTED}issuer = \"https://id.example\"\njwks_file = \"keys.json\"\n");
    for (keys, part) in [
        (r#"{"keys":[]}"#, "it is empty"),
        (
            r#"{"keys":[{"kty":"OKP"}]}"#,
            "key 0: kty must be EC or RSA",
        ),
        (
            r#"{"keys":[{"kty":"RSA","n":"*","e":"AQAB"}]}"#,
            "key 0: member \"n\" is neither base64url nor base64",
        ),
    ] {
        let write = |folder: &Path| fs::write(folder.join("keys.json"), keys).unwrap();
        both_refuse(&settings, &[], write, part);
    }
}

#[test]
fn what_is_wrong_with_master_keys_is_found_by_both() {
    let keys = |folder: &Path| {
        fs::write(folder.join("a.key"), KEY).unwrap();
        fs::write(folder.join("b.key"), KEY).unwrap();
        fs::write(folder.join("short.key"), "AAAA").unwrap();
        fs::write(folder.join("plain"), "no program").unwrap();
        fs::set_permissions(folder.join("plain"), fs::Permissions::from_mode(0o600)).unwrap();
    };
    let further = |name: &str| format!("[[further_master_keys]]\nfile = \"{name}\"\n");
    for (settings, part) in [
        (
            "master_key_file = \"absent.key\"\n".to_owned(),
            "absent.key",
        ),
        ("master_key_file = \"\"\n".to_owned(), "cannot read"),
        ("master_key_file = \".\"\n".to_owned(), "cannot read"),
        ("master_key_file = \"short.key\"\n".to_owned(), "short.key"),
        (further("absent.key"), "absent.key"),
        (further("short.key"), "short.key"),
        (
            format!("master_key_file = \"a.key\"\n{}", further("b.key")),
            "comes twice",
        ),
        (
            "master_key_file = \"a.key\"\nmaster_key_command = [\"true\"]\n".to_owned(),
            "named twice",
        ),
        (
            "master_key_command = [\"/absent/vault\"]\n".to_owned(),
            "cannot be run",
        ),
        (
            "master_key_command = [\"no-such-vault\"]\n".to_owned(),
            "cannot be run",
        ),
        (
            "master_key_command = [\"./plain\"]\n".to_owned(),
            "cannot be run",
        ),
    ] {
        both_refuse(&settings, &[], keys, part);
    }
    for variable in ["KEYWRIGHT_MASTER_KEY", "KEYWRIGHT_FURTHER_MASTER_KEY"] {
        both_refuse("", &[(variable, "no key")], nothing, variable);
    }
    both_refuse(
        "",
        &[],
        |folder| {
            fs::create_dir(folder.join("keys")).unwrap();
            fs::write(folder.join("keys/master.key"), "no key").unwrap();
        },
        "master.key",
    );
}

#[test]
fn what_is_wrong_with_logs_folders_and_addresses_is_found_by_both() {
    for (settings, part) in [
        ("log.filter = \"=\"\n", "log.filter"),
        ("log.filter = \"keywright=loud\"\n", "log.filter"),
        ("log.filter = \"[{\"\n", "log.filter"),
        ("internal.audience = \"\"\n", "internal.audience"),
        (
            "telemetry.otlp_endpoint = \"127.0.0.1:4318\"\n",
            "telemetry.otlp_endpoint",
        ),
        (
            "telemetry.otlp_endpoint = \"https://user:secret@otel.example\"\n",
            "telemetry.otlp_endpoint",
        ),
        ("telemetry.trace_share = 1.01\n", "telemetry.trace_share"),
        ("telemetry.trace_share = nan\n", "telemetry.trace_share"),
        (
            "issuance_log.to = \"file\"\nissuance_log.path = \"absent/log\"\n",
            "issuance_log",
        ),
        (
            "issuance_log.to = \"file\"\nissuance_log.path = \"folder\"\n",
            "issuance_log",
        ),
        (
            "issuance_log.to = \"file\"\nissuance_log.path = \"file/log\"\n",
            "issuance_log",
        ),
        ("data_dir = \"\"\n", "data_dir"),
        ("data_dir = \"file\"\n", "data_dir"),
        ("data_dir = \"file/keys\"\n", "data_dir"),
        ("data_dir = \"/proc/keys\"\n", "data_dir"),
        (
            "public.listen = \"127.0.0.1:8099\"\ninternal.listen = \"127.0.0.1:8099\"\n",
            "same port",
        ),
        (
            "public.listen = \"0.0.0.0:8099\"\ninternal.listen = \"127.0.0.1:8099\"\n",
            "same port",
        ),
        (
            "public.listen = \"[::]:8099\"\ninternal.listen = \"127.0.0.1:8099\"\n",
            "same port",
        ),
        (
            "public.listen = \"[::]:8099\"\ninternal.listen = \"[::1]:8099\"\n",
            "same port",
        ),
        ("public.listen = \"localhost\"\n", "public.listen"),
        (
            "public.listen = \"no.such.name.invalid:80\"\n",
            "public.listen",
        ),
        ("public.listen = \"127.0.0.1:80800\"\n", "listen"),
        ("store.url = \"postgres://db:port/keys\"\n", "store.url"),
        (
            "store.listen_url = \"mysql://db/keys\"\n",
            "store.listen_url",
        ),
        (
            "default_issuer.url = \"http://id.example\"\n",
            "default_issuer.url",
        ),
    ] {
        let make = |folder: &Path| {
            fs::create_dir(folder.join("folder")).unwrap();
            fs::write(folder.join("file"), "").unwrap();
        };
        both_refuse(settings, &[], make, part);
    }
}

#[test]
fn what_serves_is_ok_and_what_only_a_start_can_tell_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("public.listen = \"{}\"\n", taken.local_addr().unwrap());
    let ports = "public.listen = \"127.0.0.1:0\"\ninternal.listen = \"127.0.0.1:0\"\n";
    for settings in [
        taken.as_str(),
        "store.url = \"postgres://nobody@127.0.0.1:1/keys\"\n",
        "master_key_command = [\"false\"]\n",
        "data_dir = \"a/b/c\"\n",
        "issuance_log.to = \"file\"\nissuance_log.path = \"log\"\n",
        "public.listen = \"127.0.0.1:8099\"\ninternal.listen = \"[::1]:8099\"\n",
        ports,
    ] {
        let folder = TempDir::new().unwrap();
        let output = run(folder.path(), &["config", "check"], settings, &[]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{settings}{said}");
        assert_eq!(output.stdout, b"ok\n");
        for part in [
            "not checked",
            "addresses",
            "store",
            "master_key_command",
            "answer",
        ] {
            assert!(said.contains(part), "{said}\nlacks {part}");
        }
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "{settings}made something"
        );
    }
}

#[test]
fn a_policy_is_held_against_the_store_of_the_configuration() {
    let folder = TempDir::new().unwrap();
    // 31 retired keys for each algorithm, and 34 when each is published for five minutes more.
    let policy = r#"{"url": "https://id.example", "lead": "30s", "jwks_max_age": "1s",
        "stale_if_error": "0s", "clock_skew": "0s", "rotation": {"every": "1m"},
        "default_token_ttl": "1m", "max_token_ttl": "46m"}"#;
    fs::write(folder.path().join("policy.json"), policy).unwrap();
    let check = ["config", "check", "--policy", "policy.json"];
    let alone = run(folder.path(), &check, "", &[]);
    assert!(alone.status.success(), "{}", text(&alone));
    let shared = "store.url = \"postgres://db/keys\"\nstore.max_staleness = \"5m\"\n";
    let shared = run(folder.path(), &check, shared, &[]);
    assert_eq!(shared.status.code(), Some(1));
    assert!(
        text(&shared).contains("invalid-policy"),
        "{}",
        text(&shared)
    );
}
