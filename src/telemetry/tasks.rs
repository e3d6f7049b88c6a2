//! How the tasks of the background are doing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use keywright_api::TaskState;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::lifecycle::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    task: &'static str,
}

/// How a task of the background is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskHealth {
    /// What it does now.
    pub state: TaskState,
    /// How often it has panicked, and was or will be started again.
    pub restarts: u64,
    /// When it panicked last.
    pub last_failure_at: Option<Timestamp>,
}

/// How the tasks of the background are doing, by name.
#[derive(Default)]
pub struct TaskMetrics {
    restarts: Family<TaskLabels, Counter>,
    last_failure: Family<TaskLabels, Gauge>,
    tasks: Mutex<BTreeMap<&'static str, TaskHealth>>,
}

impl TaskMetrics {
    /// Notes that a task starts, for the first time or again.
    pub fn report_running(&self, task: &'static str) {
        self.lock().entry(task).or_default().state = TaskState::Running;
        // The count is there from the beginning, at 0.
        drop(self.restarts.get_or_create(&TaskLabels { task }));
    }

    /// Notes that a task has ended by itself.
    pub fn report_ended(&self, task: &'static str) {
        self.lock().entry(task).or_default().state = TaskState::Ended;
    }

    /// Counts a panic of a task, which will be started again.
    pub fn report_panic(&self, task: &'static str, now: Timestamp) {
        let labels = TaskLabels { task };
        self.restarts.get_or_create(&labels).inc();
        let seconds = i64::try_from(now.floor_seconds()).unwrap_or(i64::MAX);
        self.last_failure.get_or_create(&labels).set(seconds);
        let mut tasks = self.lock();
        let health = tasks.entry(task).or_default();
        health.state = TaskState::Restarting;
        health.restarts += 1;
        health.last_failure_at = Some(now);
    }

    /// Every task, by name.
    pub fn all(&self) -> BTreeMap<&'static str, TaskHealth> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, TaskHealth>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "task_restarts",
            "Tasks of the background that panicked and were started again",
            Family::clone(&self.restarts),
        );
        registry.register_with_unit(
            "task_last_failure_timestamp",
            "When a task of the background last panicked, in Unix time",
            Unit::Seconds,
            Family::clone(&self.last_failure),
        );
    }
}
