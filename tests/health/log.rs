//! A log that panics at one of its lines.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// A log that every other thread writes to. Without one, a line that such a thread is the first to
/// write is noted as of no interest, and no log is told of it later.
static OF_OTHERS: Once = Once::new();

/// What a log has been told, and the line at which it panics next.
#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    fatal: Arc<Mutex<Option<&'static str>>>,
}

impl Log {
    /// A log of everything that this thread does, for as long as the guard lives. It panics once, at
    /// the first line with this message.
    pub fn panicking_at(message: &'static str) -> (Self, DefaultGuard) {
        OF_OTHERS.call_once(|| {
            tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
        });
        let log = Self::default();
        *log.fatal.lock().unwrap() = Some(message);
        let subscriber = tracing_subscriber::registry().with(log.clone());
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// How many lines had this message, the one that it panicked at included.
    pub fn count(&self, message: &str) -> usize {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| *line == message).count()
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let is_fatal = {
            let mut fatal = self.fatal.lock().unwrap();
            fatal.take_if(|fatal| *fatal == message.0).is_some()
        };
        self.lines.lock().unwrap().push(message.0);
        assert!(!is_fatal, "on purpose");
    }
}
