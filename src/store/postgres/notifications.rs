//! Hears of commits as soon as they happen, on a connection of its own.
//!
//! A pooler that hands connections around would keep a `LISTEN` and tell it to the process that
//! gets the connection next. So the listener first asks for a setting of its own at the start of
//! the connection, which poolers refuse or swallow: where it is not in force nothing is listened
//! to.

use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::events::CHANNEL;
use super::hosts::{ConnectError, Hosts};

/// The setting that tells whether the server itself answers.
const DIRECT: &str = "keywright.direct";

/// The code of a start-up parameter that a pooler does not know: a violation of the protocol.
const UNKNOWN_PARAMETER: &str = "08P01";

/// How long a connection may be silent before it is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(10);

/// How long the server may take for an answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why nothing is heard (any more).
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("a pooler is in between")]
    Indirect,
    #[error("the server did not answer in time")]
    Silent,
    #[error(transparent)]
    Hosts(#[from] ConnectError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Listens for as long as it is not aborted. It can be started again in any state. `notifications` counts what was heard, and how often the
/// connection was made: what happened meanwhile was missed.
pub(super) async fn listen(hosts: Hosts, notifications: watch::Sender<u64>) {
    let place = hosts.place();
    let mut pause = FIRST_PAUSE;
    loop {
        let before = *notifications.borrow();
        let ended = receive(&hosts, &notifications).await;
        let heard_anything = *notifications.borrow() != before;
        match ended {
            ListenError::Indirect => {
                tracing::info!(
                    place,
                    "changes of other replicas are found by asking: a pooler is in between, and \
                     store.listen_url names no direct connection"
                );
                return;
            }
            error if heard_anything || pause == FIRST_PAUSE => {
                tracing::warn!(place, %error, "changes of other replicas are found by asking for now");
            }
            error => tracing::debug!(place, %error, "still not listening"),
        }
        pause = if heard_anything { FIRST_PAUSE } else { pause };
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// Connects, listens, and says why that has ended.
async fn receive(hosts: &Hosts, notifications: &watch::Sender<u64>) -> ListenError {
    let options = match hosts.writable().await {
        Ok(options) => options.options([(DIRECT, "on")]),
        Err(error) => return error.into(),
    };
    let connected = timeout(RESPONSE_TIMEOUT, connect(&options)).await;
    let mut listener = match connected {
        Ok(Ok(listener)) => listener,
        Ok(Err(ended)) => return ended,
        Err(_) => return ListenError::Silent,
    };
    notifications.send_modify(|count| *count = count.wrapping_add(1));
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(_))) => notifications.send_modify(|count| *count = count.wrapping_add(1)),
            Ok(Ok(None)) => return ListenError::Silent,
            Ok(Err(error)) => return error.into(),
            // A network that was cut says nothing at all.
            Err(_) => match timeout(RESPONSE_TIMEOUT, listener.execute("SELECT 1")).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => return ListenError::Silent,
            },
        }
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgListener, ListenError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(RESPONSE_TIMEOUT)
        .connect_with(options.clone())
        .await;
    let pool = pool.map_err(|error| match &error {
        sqlx::Error::Database(told) if told.code().as_deref() == Some(UNKNOWN_PARAMETER) => {
            ListenError::Indirect
        }
        _ => error.into(),
    })?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    let direct: Option<String> = sqlx::query_scalar("SELECT current_setting($1, true)")
        .bind(DIRECT)
        .persistent(false)
        .fetch_one(&mut listener)
        .await?;
    if direct.as_deref() != Some("on") {
        return Err(ListenError::Indirect);
    }
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::field::{Field, Visit};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;
    use crate::clock::Clock;
    use crate::lifecycle::Timestamp;
    use crate::supervision::supervise;
    use crate::telemetry::{Metrics, TaskState};

    /// Panics at the first line of the log that says that nothing is heard.
    #[derive(Clone, Default)]
    struct Panics(Arc<AtomicUsize>);

    struct Message(bool);

    impl Visit for Message {
        fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
            self.0 |= format!("{value:?}").contains("are found by asking for now");
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Panics {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let mut message = Message(false);
            event.record(&mut message);
            let lines = message.0.then(|| self.0.fetch_add(1, Ordering::SeqCst));
            assert_ne!(lines, Some(0), "on purpose");
        }
    }

    #[tokio::test]
    async fn a_panic_while_nothing_is_heard_is_counted_and_does_not_end_the_task() {
        let lines = Panics::default();
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        // A port that was just free: nothing listens there.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let url = format!("postgres://keywright@127.0.0.1:{port}/keywright").parse();
        let hosts = Hosts::new(&url.unwrap(), Duration::from_secs(1)).unwrap();
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let metrics = Arc::<Metrics>::default();
        let (sender, _receiver) = watch::channel(0);
        let run = move || listen(hosts.clone(), sender.clone());
        let task = supervise("listener", clock.clone(), Arc::clone(&metrics), run);
        let task = tokio::spawn(task);
        let health = || metrics.tasks().all()["listener"];
        let until = async |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let story = async {
            until(&|| health().state == TaskState::Restarting).await;
            clock.set(clock.now().after(Duration::from_secs(1)));
            until(&|| lines.0.load(Ordering::SeqCst) == 2).await;
        };
        timeout(Duration::from_secs(20), story).await.unwrap();
        assert_eq!((health().state, health().restarts), (TaskState::Running, 1));
        task.abort();
    }
}
