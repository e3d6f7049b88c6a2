//! `keywright serve`.

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::process::umask;

use super::ServeArguments;
use crate::config::{Config, IssuanceLogTo, Overrides};
use crate::service::{self, FirstStart, NewStore};
use crate::telemetry::{Metrics, ServiceLog};

/// Runs the service until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting, in one sentence for the operator.
pub(super) fn serve(
    arguments: ServeArguments,
    data_dir: Option<PathBuf>,
) -> Result<(), Box<dyn Error>> {
    let ServeArguments {
        config,
        new,
        public_listen,
        internal_listen,
    } = arguments;
    let overrides = Overrides {
        data_dir,
        public_listen,
        internal_listen,
    };
    let config = Config::load(config.as_deref(), overrides)?;
    let metrics = Arc::new(Metrics::default());
    let log = ServiceLog::start(config.log.format, &config.log.filter, &metrics)?;
    // Whatever this process writes is its own affair: sealed keys, hashes and secrets.
    umask(Mode::RWXG | Mode::RWXO);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let new_store = if new {
        NewStore::Allowed
    } else {
        NewStore::RefusedBesideTraces
    };
    // Entries of the issuance log may have standard output to themselves.
    let has_output = config.issuance_log.to != IssuanceLogTo::Stdout;
    let on_first_start = |first: &FirstStart| {
        if has_output {
            show(first);
        }
    };
    let outcome = runtime.block_on(service::run(&config, new_store, metrics, on_first_start));
    log.end();
    outcome
}

/// For people where they look on, for programs otherwise. An output that is closed is no reason to
/// end.
fn show(first: &FirstStart) {
    let mut output = io::stdout();
    let _ = if output.is_terminal() {
        writeln!(
            output,
            "\nThis was the first start of keywright here.\n\n{first}\n"
        )
    } else {
        writeln!(output, "{}", first.to_json())
    };
}
