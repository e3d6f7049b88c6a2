//! `keywright guard`.

use std::path::PathBuf;
use std::sync::Arc;

use super::failure::Failure;
use super::tls::TlsArguments;
use crate::config::{Guard, GuardIssuer, GuardOverrides, ListenAddress};
use crate::guard;
use crate::telemetry::{Metrics, ServiceLog};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A configuration file (TOML), for several issuers, requirements and more headers.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the gateway asks, as IP:PORT or NAME:PORT; port 0 takes a free one [default:
    /// 127.0.0.1:9000].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<ListenAddress>,
    /// Where /livez, /readyz and /metrics are answered [default: nowhere].
    #[arg(long, value_name = "ADDRESS")]
    health_listen: Option<ListenAddress>,
    /// The issuer whose tokens are accepted.
    #[arg(long, value_name = "URL", requires = "audience")]
    issuer: Option<String>,
    /// The audience that its tokens must have; repeat it for one of several.
    #[arg(long, value_name = "NAME", requires = "issuer")]
    audience: Vec<String>,
}

/// Answers gateways until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting, in one sentence for the operator.
pub(super) fn run(arguments: Arguments, tls: &TlsArguments) -> Result<(), Failure> {
    let Arguments {
        config,
        listen,
        health_listen,
        issuer,
        audience,
    } = arguments;
    let overrides = GuardOverrides {
        listen,
        health_listen,
        issuer: issuer.map(|issuer| GuardIssuer::new(issuer, audience)),
        ca: tls.ca().map(ToOwned::to_owned),
    };
    let outcome = (|| {
        let settings = Guard::load(config.as_deref(), overrides)?;
        let metrics = Arc::new(Metrics::default());
        let log = ServiceLog::start(settings.log.format, &settings.log.filter, &metrics)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let outcome = runtime.block_on(guard::run(&settings, metrics));
        log.end();
        outcome
    })();
    outcome.map_err(Failure::Service)
}
