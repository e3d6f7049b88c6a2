//! What replicas of one database know of each other.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::{PostgresStore, events, plain, replicas};
use crate::lifecycle::IssuerName;
use crate::store::shared::{Changes, Heartbeat, Roll, SharedStore};
use crate::store::sql::names;
use crate::store::{CommitError, StoreError};

#[async_trait]
impl SharedStore for PostgresStore {
    async fn changes(&self, after: u64) -> Result<Changes, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let (head, issuers, access) = events::since(session.connection(), after).await?;
            let changes = Changes {
                head,
                issuers: names(issuers)?,
                access,
            };
            Ok((session, changes))
        })
        .await
    }

    async fn changed(&self) {
        let known = self.known_news.load(Ordering::SeqCst);
        let mut news = self.news.clone();
        match news
            .wait_for(|heard| *heard > known)
            .await
            .map(|heard| *heard)
        {
            Ok(heard) => drop(self.known_news.fetch_max(heard, Ordering::SeqCst)),
            // Nobody listens (any more): there is nothing to wait for.
            Err(_) => std::future::pending().await,
        }
    }

    async fn beat(&self, heartbeat: &Heartbeat) -> Result<Roll, StoreError> {
        self.write(async {
            let mut session = self.writing().await?;
            let connection = session.connection();
            let outcome = async {
                replicas::beat(connection, heartbeat).await?;
                Ok(replicas::roll(connection).await?)
            };
            let outcome = outcome.await;
            session.settle(outcome).await
        })
        .await
        .map_err(plain)
    }

    async fn roll(&self) -> Result<Roll, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let roll = replicas::roll(session.connection()).await?;
            Ok((session, roll))
        })
        .await
    }

    async fn leave(&self, replica: &str) -> Result<(), StoreError> {
        self.write(async {
            let mut session = self.writing().await?;
            let outcome = replicas::leave(session.connection(), replica).await;
            session.settle(outcome).await
        })
        .await
        .map_err(plain)
    }

    async fn agree(&self, before: Option<Duration>, after: Duration) -> Result<(), CommitError> {
        self.write(async {
            let mut session = self.writing().await?;
            let outcome = replicas::agree(session.connection(), before, after).await;
            session.settle(outcome).await
        })
        .await
    }

    async fn last_change(&self, issuer: &IssuerName) -> Result<u64, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let last = events::last_of(session.connection(), issuer).await?;
            Ok((session, last))
        })
        .await
    }
}
