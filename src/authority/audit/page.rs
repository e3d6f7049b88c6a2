//! Reading the log: pages of the events that a caller looks for, and the log as it was written.

use serde_json::{Map, Value};

use super::shown;
use crate::authority::Authority;
use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::chain::{self, LogHead};
use crate::store::{Store, StoreError};

/// Which events are looked for. What is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The issuer that they concern.
    pub issuer: Option<IssuerName>,
    /// They happened then or later.
    pub since: Option<Timestamp>,
    /// They happened earlier than this.
    pub until: Option<Timestamp>,
    /// The client that did it.
    pub client: Option<String>,
    /// What happened, as `event` says it.
    pub event: Option<String>,
    /// The key that it happened to.
    pub kid: Option<String>,
    /// The approval that it was about.
    pub approval: Option<String>,
}

impl Filter {
    fn takes_at(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until)
    }

    fn takes(&self, members: &Map<String, Value>) -> bool {
        let is = |wanted: &Option<String>, value: Option<&Value>| {
            let value = value.and_then(Value::as_str);
            wanted.as_deref().is_none_or(|wanted| value == Some(wanted))
        };
        is(&self.event, members.get("event"))
            && is(&self.kid, members.get("kid"))
            && is(&self.approval, members.get("approval"))
            && is(
                &self.client,
                members.get("actor").and_then(|actor| actor.get("id")),
            )
    }
}

/// What was found.
#[derive(Debug)]
pub struct Page {
    /// The events as the API shows them.
    pub events: Vec<Map<String, Value>>,
    /// The number after which to look on; `None` when the end of the log was reached.
    pub next: Option<u64>,
}

/// How many events are asked of the store at a time.
const READ_AT_A_TIME: u32 = 500;

/// How many events one search looks at. One that finds little ends there, and can be taken up
/// again: no caller can occupy the store for longer than that.
const MOST_SEARCHED: u64 = 10_000;

impl Authority {
    /// At most `limit` audit events after the one numbered `after`, as the API shows them. A page
    /// that is not full may be followed by another one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn events(
        &self,
        filter: &Filter,
        after: u64,
        limit: usize,
    ) -> Result<Page, StoreError> {
        search(&*self.services.store, filter, after, limit).await
    }

    /// The lines of the export that follow the event numbered `after`, and the number after which
    /// to go on; `None` when there is nothing more.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn exported_after(&self, after: u64) -> Result<Option<(String, u64)>, StoreError> {
        let read = self.services.store.events(None, after, READ_AT_A_TIME);
        let read = read.await?;
        let Some(last) = read.last().map(|last| last.sequence) else {
            return Ok(None);
        };
        Ok(Some((read.iter().map(chain::line).collect(), last)))
    }

    /// Where the log ends.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn audit_head(&self) -> Result<LogHead, StoreError> {
        self.services.store.log_head().await
    }
}

/// At most `limit` events after the one numbered `after`. A page that is not full may be followed by
/// another one.
pub(in crate::authority) async fn search(
    store: &dyn Store,
    filter: &Filter,
    after: u64,
    limit: usize,
) -> Result<Page, StoreError> {
    let mut events = Vec::new();
    let (mut last, mut searched) = (after, 0);
    while searched < MOST_SEARCHED {
        let issuer = filter.issuer.as_ref();
        let read = store.events(issuer, last, READ_AT_A_TIME).await?;
        let is_end = read.len() < usize::try_from(READ_AT_A_TIME).unwrap_or(usize::MAX);
        for numbered in read {
            (last, searched) = (numbered.sequence, searched + 1);
            if !filter.takes_at(Timestamp::from_millis(numbered.event.at)) {
                continue;
            }
            let shown = shown(&numbered);
            if !filter.takes(&shown) {
                continue;
            }
            events.push(shown);
            if events.len() >= limit {
                let next = Some(last);
                return Ok(Page { events, next });
            }
        }
        if is_end {
            return Ok(Page { events, next: None });
        }
    }
    let next = Some(last);
    Ok(Page { events, next })
}
