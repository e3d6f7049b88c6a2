//! Commands that are run beside a real service.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::Server;

/// Runs a command in a folder, with nothing in its environment and nothing to read.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The exit code, and what was said on both streams.
pub fn said(server: &Server, arguments: &[&str]) -> (i32, String) {
    let output = run(server.folder().path(), arguments);
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

/// What a command says that succeeds.
pub fn done(server: &Server, arguments: &[&str]) -> String {
    let (code, text) = said(server, arguments);
    assert_eq!(code, 0, "{arguments:?}: {text}");
    text
}
