//! A gate that a test closes and opens, to hold up what passes it.

use std::time::Duration;

use tokio::sync::watch;

/// Open at first.
pub struct Gate {
    is_closed: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            is_closed: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        }
    }
}

impl Gate {
    pub fn close(&self) {
        self.is_closed.send_replace(true);
    }

    /// Opens it for everything that waits and for everything that comes.
    pub fn open(&self) {
        self.is_closed.send_replace(false);
    }

    /// Returns when it is open.
    pub async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let mut closed = self.is_closed.subscribe();
        let _ = closed.wait_for(|is_closed| !is_closed).await;
        self.waiting.send_modify(|waiting| *waiting -= 1);
    }

    /// Returns when so many wait before it.
    pub async fn until_waiting(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        let waits = waiting.wait_for(|waiting| *waiting >= count);
        let waits = tokio::time::timeout(Duration::from_secs(20), waits).await;
        assert!(waits.is_ok(), "{count} never waited");
    }
}
