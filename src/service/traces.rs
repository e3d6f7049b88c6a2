//! What is traced, and the task that exports it. A build without the feature `otlp` traces nothing: its
//! configuration refuses a collector.

use std::error::Error;
use std::sync::Arc;

use super::Background;
use crate::config;
use crate::telemetry::{Metrics, Tracer};

#[cfg(feature = "otlp")]
use {
    crate::engine::random_identifier,
    crate::telemetry::traces::{SpanExporter, SpanQueue},
    tokio::task::JoinHandle,
};

/// The traces of a process.
#[derive(Default)]
pub(super) struct Traces {
    tracer: Tracer,
    #[cfg(feature = "otlp")]
    exporter: Option<Arc<SpanExporter>>,
    /// The exporter's, once it runs.
    #[cfg(feature = "otlp")]
    task: Option<JoinHandle<()>>,
}

impl Traces {
    /// Traces as they are configured; nothing is exported yet.
    ///
    /// # Errors
    /// When the collector's certificate cannot be verified.
    #[cfg(feature = "otlp")]
    pub(super) fn of(
        settings: &config::Telemetry,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Box<dyn Error>> {
        let Some(endpoint) = &settings.otlp_endpoint else {
            return Ok(Self::default());
        };
        let queue = Arc::new(SpanQueue::new(metrics.spans().dropped().clone()));
        let exporter = SpanExporter::new(
            Arc::clone(&queue),
            endpoint.url(),
            random_identifier(),
            Arc::clone(metrics),
        )
        .map_err(|error| format!("telemetry.otlp_endpoint: {error}"))?;
        Ok(Self {
            tracer: Tracer::new(queue, settings.trace_share.into(), random_identifier),
            exporter: Some(Arc::new(exporter)),
            task: None,
        })
    }

    /// No traces.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "otlp"))]
    pub(super) fn of(_: &config::Telemetry, _: &Arc<Metrics>) -> Result<Self, Box<dyn Error>> {
        Ok(Self::default())
    }

    /// Begins traces.
    pub(super) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Begins to export.
    #[cfg_attr(
        not(feature = "otlp"),
        expect(unused_variables, unused_mut, reason = "there is no exporter")
    )]
    pub(super) fn start(mut self, background: &Background) -> Self {
        #[cfg(feature = "otlp")]
        {
            let exporter = self.exporter.as_ref();
            self.task = exporter.map(|one| background.spawn("span-export", one, SpanExporter::run));
        }
        self
    }

    /// Exports what waits, for a second at most.
    pub(super) async fn end(self) {
        #[cfg(feature = "otlp")]
        if let (Some(exporter), Some(task)) = (self.exporter, self.task) {
            exporter.end(task).await;
        }
    }
}
