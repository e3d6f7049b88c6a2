//! A backup while the service serves, and the register.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use super::audit::{AccessEvent, Actor};
use super::{Authority, ChangeError, Services};
use crate::backup::file::{BackupError, Header, Writer};
use crate::backup::register::{Register, RegisterError};
use crate::lifecycle::IssuerName;
use crate::store::seal::{MasterKey, check};
use crate::store::transfer::{self, DumpError, Rows};
use crate::store::{Kind, documents, key_sets};

/// Why a backup breaks off.
#[derive(Debug, thiserror::Error)]
pub enum BackupFailure {
    /// The store does not answer.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// It cannot be sealed.
    #[error(transparent)]
    Sealing(#[from] BackupError),
}

/// How many chunks wait for a reader who is slow.
const WAITING_CHUNKS: usize = 4;

impl Authority {
    /// Takes a backup: the file's bytes, while they are made. That it was taken is the last event
    /// in it. No lock and no transaction is held while they are read.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was read then.
    pub async fn backup(
        self: &Arc<Self>,
        actor: Actor,
    ) -> Result<impl Stream<Item = Result<Bytes, BackupFailure>> + Send + use<>, ChangeError> {
        let services = &self.services;
        let batch = self.access_batch(&AccessEvent::BackupTaken {}, None, &actor, None)?;
        services.commit(batch).await?;
        let rows = services.store.rows().await?;
        let sealing = sealing(services, &rows)?;
        let header = Header::new(self.now(), rows.log_head(), sealing);
        let (writer, lines) = Writer::begin(&header, sealing, &services.entropy)
            .map_err(|_| ChangeError::Unsealable)?;
        tracing::info!(head = %header.head, "a backup is taken");
        let (chunks, taken) = mpsc::channel(WAITING_CHUNKS);
        let authority = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = write(&authority.services, rows, writer, lines, &chunks).await;
            if let Err(failure) = outcome {
                // A caller that has disconnected is not told either.
                let _ = chunks.send(Err(failure)).await;
            }
        });
        Ok(stream::unfold(taken, async |mut taken| {
            let chunk = taken.recv().await?;
            Some((chunk, taken))
        }))
    }

    /// What the register of now is made of.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn register_rows(&self) -> Result<Rows, ChangeError> {
        Ok(self.services.store.rows().await?)
    }

    /// The register of these rows, as it is written. It takes as long as they are many.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn register(&self, rows: &Rows) -> Result<String, ChangeError> {
        let latest = self.services.clock.latest().max(self.now());
        let mut register = Register {
            created_at: self.now(),
            head: rows.log_head(),
            sets: Default::default(),
            revocations: Some(rows.of(Kind::Revocation).cloned().collect()),
            unusable: Vec::new(),
        };
        let of = |kind| rows.of(kind).cloned().collect();
        for stored in key_sets(of(Kind::Issuer), of(Kind::Key)) {
            match documents::key_set(&stored) {
                Ok(set) => {
                    let name = set.issuer().clone();
                    let set = set.with_latest_at_least(latest);
                    register.sets.insert(name, set);
                }
                Err(error) => {
                    tracing::error!(%error, "an issuer is left out of the register");
                    let name = IssuerName::parse(&stored.issuer.key.id);
                    register.unusable.extend(name);
                }
            }
        }
        let written = register.write(sealing(&self.services, rows)?, &self.services.entropy);
        written.map_err(|_: RegisterError| ChangeError::Unsealable)
    }
}

/// The master key that seals what is new in the store.
fn sealing<'a>(services: &'a Services, rows: &Rows) -> Result<&'a MasterKey, ChangeError> {
    let mut settings = rows.of(Kind::Setting);
    let setting = settings.find(|record| record.key == check::record_key());
    match setting.and_then(|record| record.sealed.as_deref()) {
        Some(setting) => Ok(check::read(&services.master_keys, setting)?.key),
        None => Ok(services.master_keys.first()),
    }
}

async fn write(
    services: &Services,
    rows: Rows,
    mut writer: Writer,
    lines: Vec<u8>,
    chunks: &mpsc::Sender<Result<Bytes, BackupFailure>>,
) -> Result<(), BackupFailure> {
    let (sink, mut entries) = transfer::channel();
    let dumped = async move { transfer::dump_for_backup(&*services.store, rows, &sink).await };
    let sealed = async move {
        let mut ready = lines;
        loop {
            if !ready.is_empty() && chunks.send(Ok(ready.into())).await.is_err() {
                return Ok(());
            }
            let Some(entry) = entries.recv().await else {
                return Ok::<_, BackupFailure>(());
            };
            ready = writer.write(entry)?;
        }
    };
    let (dumped, sealed) = tokio::join!(dumped, sealed);
    sealed?;
    Ok(dumped?)
}
