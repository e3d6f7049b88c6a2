//! `keywright serve`.

use std::error::Error;
use std::path::PathBuf;

use rustix::fs::Mode;
use rustix::process::umask;

use super::ServeArguments;
use crate::config::{Config, Overrides};
use crate::{service, telemetry};

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
        public_listen,
        internal_listen,
    } = arguments;
    let overrides = Overrides {
        data_dir,
        public_listen,
        internal_listen,
    };
    let config = Config::load(config.as_deref(), overrides)?;
    telemetry::start_logging(config.log.format, &config.log.filter)?;
    // Whatever this process writes is its own affair: sealed keys, hashes and secrets.
    umask(Mode::RWXG | Mode::RWXO);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(service::run(&config))
}
