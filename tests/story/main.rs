//! Runs `examples/story`: three services, a login, and everything that can happen to a token.

#![allow(clippy::expect_used, reason = "a test that cannot go on says so")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "scripts/test says here what the machine lacks"
)]
fn the_story_goes_as_it_is_told() {
    if std::env::var("KEYWRIGHT_SKIP_EXAMPLES").is_ok_and(|value| value == "1") {
        eprintln!("SKIPPED: examples/story: KEYWRIGHT_SKIP_EXAMPLES=1");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = Path::new(env!("CARGO_BIN_EXE_keywright"))
        .parent()
        .expect("a folder");
    let mut story = Command::new("bash");
    story.arg(root.join("examples/story"));
    // What cargo tells a test about its package would make it build other packages anew.
    for (name, _) in std::env::vars_os() {
        let is_told = name.to_string_lossy().starts_with("CARGO_");
        if is_told && name != "CARGO_HOME" && name != "CARGO_TARGET_DIR" {
            story.env_remove(name);
        }
    }
    // Cargo builds the programs of other packages for their own tests only: they are here, and up to
    // date, when the whole workspace is tested. If not, the story builds them as for a reader.
    let is_current = |program: &str, sources: &[&str]| {
        let program = programs.join(program);
        let is_older = |source: &&str| changed_at(&root.join(source)) <= changed_at(&program);
        program.exists() && sources.iter().all(is_older)
    };
    if is_current(
        "identity-api",
        &["examples/identity-api/src", "verifier/src"],
    ) && is_current("order-api", &["examples/order-api/src", "verifier/src"])
    {
        story.env("STORY_PROGRAMS", programs);
    }
    let output = story.output().expect("bash runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(told.ends_with("That is the story.\n"), "{told}\n{errors}");
}

/// When a file, or the last file below a folder, was changed.
fn changed_at(path: &Path) -> SystemTime {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder");
        let entries = entries.map(|entry| changed_at(&entry.expect("an entry").path()));
        entries.max().unwrap_or(SystemTime::UNIX_EPOCH)
    } else {
        let metadata = fs::metadata(path).expect("a file");
        metadata.modified().expect("a time")
    }
}
