//! What `deploy/` has: every metric that it names exists, and tools that know the formats accept it.
//!
//! No container engine runs here: the Dockerfile is linted, the compose file is held against the
//! schema of the Compose Specification, manifests against Kubernetes' own, and the unit against
//! systemd.

#![allow(
    clippy::disallowed_methods,
    reason = "scripts/test says in the environment what the machine lacks"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keywright::config::{Config, Overrides};
use keywright::lifecycle::Timestamp;
use keywright::telemetry::Metrics;
use keywright_verifier::Algorithm;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A tool, unless `scripts/test` could not have it.
fn tool(variable: &str, what: &str, places: &[&str]) -> Option<PathBuf> {
    if std::env::var(format!("KEYWRIGHT_SKIP_{variable}")).is_ok_and(|value| value == "1") {
        eprintln!("SKIPPED: {what}: KEYWRIGHT_SKIP_{variable}=1");
        return None;
    }
    let mut places = places.iter().map(|place| root().join(place));
    let found = places.find(|place| place.exists());
    Some(found.unwrap_or_else(|| {
        panic!("{what} is missing: run scripts/test, or set KEYWRIGHT_SKIP_{variable}=1")
    }))
}

fn accepts(command: &mut Command) {
    let output = command.current_dir(root()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The names of every metric, as they are exposed.
fn metrics() -> BTreeSet<String> {
    let metrics = Metrics::default();
    let now = Timestamp::from_seconds(1_800_000_000);
    // A family without a member is not shown.
    let signing = metrics.signing("default", Algorithm::Es256);
    signing.count_signed(Duration::from_millis(1));
    metrics.issuers().observe_key(
        "default",
        Algorithm::Es256,
        Duration::ZERO,
        Some(Duration::ZERO),
    );
    metrics.issuers().report_rotation_failure("default");
    metrics.count_jwks_response(200);
    metrics.count_internal_response(200);
    metrics.count_oauth_response(200);
    metrics.grants().observe_live([("default", 1)]);
    metrics.grants().count_renewal("renewed");
    metrics.grants().count_ended("reused", 1);
    metrics.observe_tls_certificate("public", now, now);
    metrics.report_tls_failure("public");
    metrics.observe_lease(Duration::ZERO);
    metrics.observe_disk_reserve(true);
    metrics.issuers().observe_fault("default", "store-failing");
    metrics.tasks().report_panic("scheduler", now);
    let text = metrics.render();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.flat_map(names).collect()
}

/// The names of metrics in a text.
fn names(text: &str) -> Vec<String> {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !word(character));
    words
        .filter(|word| word.starts_with("keywright_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn alerts_and_dashboard_name_metrics_that_exist() {
    let exposed = metrics();
    for path in [
        "deploy/prometheus/alerts.yaml",
        "deploy/grafana/keywright.json",
    ] {
        let named = names(&read(path));
        assert!(!named.is_empty(), "{path} names no metric");
        for name in named {
            assert!(exposed.contains(&name), "{path}: {name} does not exist");
        }
    }
}

#[test]
fn the_manual_has_every_metric() {
    let manual: BTreeSet<String> = names(&read("docs/monitoring.md")).into_iter().collect();
    let parts = ["_bucket", "_sum", "_count"];
    for name in metrics() {
        let whole = parts.iter().find_map(|part| name.strip_suffix(part));
        let name = whole.unwrap_or(&name);
        // The table joins two that go together as `…_bytes_total`.
        let joined = name == "keywright_issuance_log_bytes_total";
        assert!(joined || manual.contains(name), "{name} is not explained");
    }
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let places = ["target/prometheus/usr/bin/promtool", "/usr/bin/promtool"];
    let Some(promtool) = tool("PROMTOOL", "promtool", &places) else {
        return;
    };
    accepts(Command::new(&promtool).args(["check", "rules", "deploy/prometheus/alerts.yaml"]));
    accepts(Command::new(&promtool).args(["test", "rules", "tests/deploy/alerts.yaml"]));
    let (rules, tests) = (
        read("deploy/prometheus/alerts.yaml"),
        read("tests/deploy/alerts.yaml"),
    );
    for rule in rules.lines().filter_map(|line| line.split_once("alert: ")) {
        let tested = format!("alertname: {}", rule.1);
        assert!(tests.contains(&tested), "no test has {tested}");
    }
}

#[test]
fn the_dockerfile_passes_its_linter() {
    let places = ["target/venv/bin/hadolint"];
    if let Some(hadolint) = tool("PYTHON", "hadolint", &places) {
        accepts(Command::new(hadolint).arg("deploy/Dockerfile"));
    }
}

/// The image is built from these folders alone.
#[test]
fn the_image_is_built_from_every_crate_of_the_workspace() {
    let context = read("deploy/Dockerfile.dockerignore");
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    for member in members {
        let folder = member.as_str().unwrap().split('/').next().unwrap();
        let line = format!("!{folder}");
        assert!(context.lines().any(|known| known == line), "no {line}");
    }
}

#[test]
fn the_compose_file_is_one_of_the_compose_specification() {
    let places = ["tests/interop/node/node_modules/.bin/dclint"];
    if let Some(dclint) = tool("NODE", "dclint", &places) {
        accepts(Command::new(dclint).args(["--quiet", "deploy/compose.yaml"]));
    }
}

#[test]
fn the_settings_in_the_compose_file_are_accepted() {
    let compose = read("deploy/compose.yaml");
    let (_, rest) = compose.split_once("    environment:\n").unwrap();
    let (settings, _) = rest.split_once("    ports:\n").unwrap();
    let secrets = tempfile::tempdir().unwrap();
    let folder = secrets.path().to_str().unwrap();
    let key = secrets.path().join("master-key");
    std::fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_keywright"));
    check.args(["config", "check"]);
    let set: Vec<(&str, &str)> = settings
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(variable, _)| *variable != "#")
        .collect();
    assert!(set.len() > 5, "{set:?}");
    for (variable, value) in set {
        let value = value.trim_matches('"').replace("/run/secrets", folder);
        let value = match value.split_once(":-") {
            Some((_, default)) => default.trim_end_matches('}').to_owned(),
            None => value,
        };
        check.env(variable, value);
    }
    accepts(&mut check);
}

#[test]
fn manifests_have_what_kubernetes_knows_and_nothing_else() {
    let places = ["target/venv/bin/kubernetes-validate"];
    if let Some(validate) = tool("PYTHON", "kubernetes-validate", &places) {
        accepts(Command::new(validate).args(["--strict", "deploy/kubernetes/keywright.yaml"]));
    }
}

#[test]
fn the_unit_is_one_that_systemd_understands() {
    let places = ["/usr/bin/systemd-analyze"];
    let Some(analyze) = tool("SYSTEMD", "systemd-analyze", &places) else {
        return;
    };
    // The program is not where it would be installed.
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("keywright.service");
    let text = read("deploy/keywright.service");
    let installed = text.replace("/usr/local/bin/keywright", env!("CARGO_BIN_EXE_keywright"));
    std::fs::write(&unit, installed).unwrap();
    accepts(Command::new(&analyze).arg("verify").arg(&unit));
    let security = ["security", "--offline=true", "--threshold=20"];
    accepts(Command::new(&analyze).args(security).arg(&unit));
}

#[test]
fn the_configuration_in_the_manifests_is_accepted() {
    let manifests = read("deploy/kubernetes/keywright.yaml");
    let (_, rest) = manifests.split_once("keywright.toml: |\n").unwrap();
    let indented = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let settings: Vec<&str> = indented.map(str::trim_start).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keywright.toml");
    std::fs::write(&file, settings.join("\n")).unwrap();
    let config = Config::load(Some(&file), Overrides::default()).unwrap();
    assert_eq!(config.default_issuer.url, "https://id.example.com");
}
