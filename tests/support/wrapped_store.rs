//! A store that does what another one does, but for what a test replaces.

/// Implements `Store` with the members that are given, and the rest by the store in the field
/// `store`; with `own transfer` the members are given too by which a store is copied.
macro_rules! wrapped_store {
    ($wrapper:ty { $($own:tt)* }) => {
        wrapped_store!($wrapper, own transfer {
            $($own)*

            async fn stored_events(
                &self,
                after: i64,
                through: i64,
                limit: u32,
            ) -> Result<Vec<StoredEvent>, StoreError> {
                self.store.stored_events(after, through, limit).await
            }

            async fn fill(&self, entries: Receiver<Entry>) -> Result<(), FillError> {
                self.store.fill(entries).await
            }
        });
    };
    ($wrapper:ty, own transfer { $($own:tt)* }) => {
        const _: () = {
            use async_trait::async_trait;
            use keywright::lifecycle::{IssuerName, Timestamp};
            use keywright::store::chain::{LogHead, StoredEvent};
            use keywright::store::replicas::ReplicaStore;
            use keywright::store::transfer::{Entry, FillError, Rows};
            use keywright::store::{
                BatchId, ClientCount, Kind, LastUse, NumberedEvent, Query, Record, Store, StoreError,
                Writer,
            };
            use tokio::sync::mpsc::Receiver;

            #[async_trait]
            impl Store for $wrapper {
                async fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Record>>, StoreError> {
                    self.store.read(queries).await
                }

                async fn log_head(&self) -> Result<LogHead, StoreError> {
                    self.store.log_head().await
                }

                async fn events(
                    &self,
                    issuer: Option<&IssuerName>,
                    after: u64,
                    limit: u32,
                ) -> Result<Vec<NumberedEvent>, StoreError> {
                    self.store.events(issuer, after, limit).await
                }

                async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError> {
                    self.store.last_uses().await
                }

                async fn count_by_client(
                    &self,
                    kind: Kind,
                    kept_after: Timestamp,
                ) -> Result<Vec<ClientCount>, StoreError> {
                    self.store.count_by_client(kind, kept_after).await
                }

                async fn rows(&self) -> Result<Rows, StoreError> {
                    self.store.rows().await
                }

                $($own)*
            }
        };
    };
}

pub(crate) use wrapped_store;
