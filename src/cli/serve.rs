//! `keywright serve`.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::process::umask;

use super::ServeArguments;
use crate::config::{Config, Overrides};
use crate::service::{self, NewStore};
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
    let outcome = runtime.block_on(service::run(&config, new_store, metrics));
    log.end();
    outcome
}
