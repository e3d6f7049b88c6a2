//! The keywright binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    keywright::cli::run()
}
