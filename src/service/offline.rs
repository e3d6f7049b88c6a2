//! What is done to a store while no service uses it: a copy into another store, and a restore.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use keywright_verifier::Kid;
use tokio::sync::mpsc;

use crate::backup::register::Register;
use crate::backup::restore::{Outcome, Plan, prepare};
use crate::clock::Clock;
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::engine::software::SoftwareEngine;
use crate::lifecycle::IssuerName;
use crate::store::chain::{BrokenLink, Head, Verification, Witness, line};
use crate::store::sqlite::SqliteStore;
use crate::store::transfer::{self, DumpError, Entry, FillError};
use crate::store::{KeyStore, StoreError};

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The embedded store in a data folder.
    DataFolder,
    /// An SQLite file.
    Sqlite(PathBuf),
}

/// A text names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a store is \"sqlite\" (the one in the data folder) or \"sqlite:PATH\"")]
pub struct NoSuchPlace;

impl FromStr for Place {
    type Err = NoSuchPlace;

    fn from_str(text: &str) -> Result<Self, NoSuchPlace> {
        match text.split_once(':') {
            None if text == "sqlite" => Ok(Self::DataFolder),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err(NoSuchPlace),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataFolder => f.write_str("sqlite"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

/// A store that nobody else uses.
struct Opened {
    store: SqliteStore,
    /// The lock, for as long as the store is open.
    _folder: DataFolder,
}

/// Whether a store must be there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Made,
}

impl Place {
    async fn open(&self, data_dir: &Path, presence: Presence) -> Result<Opened, Box<dyn Error>> {
        let file = match self {
            Self::DataFolder => data_dir.join("keywright.db"),
            Self::Sqlite(path) => path.clone(),
        };
        if presence == Presence::Required && !file.is_file() {
            return Err(format!("{}: there is no such file", file.display()).into());
        }
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = DataFolder::open(folder)?;
        let store = SqliteStore::open(&file).await?;
        refuse_live_replicas(&store).await?;
        Ok(Opened {
            store,
            _folder: folder,
        })
    }
}

async fn refuse_live_replicas(store: &dyn KeyStore) -> Result<(), Box<dyn Error>> {
    let Some(shared) = store.shared() else {
        return Ok(());
    };
    let roll = shared.roll().await?;
    let live: Vec<&str> = roll
        .live()
        .map(|replica| replica.heartbeat.replica.as_str())
        .collect();
    if live.is_empty() {
        return Ok(());
    }
    let names = live.join(", ");
    Err(format!("the store is in use by these replicas: {names}; stop them first").into())
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// How many issuers.
    pub issuers: u64,
    /// How many keys, whatever their states.
    pub keys: u64,
    /// How many clients.
    pub clients: u64,
    /// How many operations that wait to be confirmed.
    pub approvals: u64,
    /// How many events.
    pub events: u64,
    /// Where the audit log ends; `None` when there is none.
    pub head: Option<Head>,
    /// What is wrong with the audit log, which was copied as it is.
    pub broken: Option<BrokenLink>,
}

/// Why a store was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The first store does not answer.
    #[error("the store that is copied: {0}")]
    Source(#[from] DumpError),
    /// The second store does not take it.
    #[error("the store that is filled: {0}")]
    Target(#[from] FillError),
    /// The second store cannot be read afterwards.
    #[error("the copy cannot be read: {0}")]
    Unreadable(#[from] StoreError),
    /// Afterwards the stores differ.
    #[error("the copy differs from the original in row {0}: do not use it")]
    Different(u64),
}

/// Copies a whole store into an empty one, and compares the two row by row afterwards.
///
/// # Errors
/// Whatever keeps it from being done, in one sentence for the operator.
pub async fn copy(from: &Place, to: &Place, data_dir: &Path) -> Result<Copied, Box<dyn Error>> {
    let from = from.open(data_dir, Presence::Required).await?;
    let to = to.open(data_dir, Presence::Made).await?;
    let copied = copy_store(&from.store, &to.store).await?;
    from.store.close().await;
    to.store.close().await;
    Ok(copied)
}

async fn copy_store(from: &dyn KeyStore, to: &dyn KeyStore) -> Result<Copied, CopyError> {
    let (sink, mut entries) = transfer::channel();
    let (dumped, filled) = tokio::join!(dump(from, sink), to.fill(&mut entries));
    match dumped {
        // The store that is filled has said why.
        Ok(()) | Err(DumpError::Abandoned) => filled?,
        Err(error) => return Err(error.into()),
    }
    compare(from, to).await
}

async fn dump(store: &dyn KeyStore, sink: mpsc::Sender<Entry>) -> Result<(), DumpError> {
    transfer::dump(store, &sink).await
}

/// Compares two stores that nobody uses, and counts what they have.
async fn compare(one: &dyn KeyStore, other: &dyn KeyStore) -> Result<Copied, CopyError> {
    let (first_sink, mut first) = transfer::channel();
    let (second_sink, mut second) = transfer::channel();
    let compared = async move {
        let mut count = Count::default();
        let mut row = 0;
        loop {
            row += 1;
            match (first.recv().await, second.recv().await) {
                (Some(Entry::End), Some(Entry::End)) => return Ok(Some(count.finish())),
                (Some(one), Some(other)) if one == other => count.add(one),
                // Why it ended is told by the dump.
                (None, _) | (_, None) => return Ok(None),
                _ => return Err(CopyError::Different(row)),
            }
        }
    };
    let (one, other, compared) =
        tokio::join!(dump(one, first_sink), dump(other, second_sink), compared);
    match compared? {
        Some(copied) => Ok(copied),
        None => {
            one?;
            other?;
            Err(CopyError::Different(0))
        }
    }
}

/// A count while rows come.
struct Count {
    copied: Copied,
    log: Result<Verification, BrokenLink>,
}

impl Default for Count {
    fn default() -> Self {
        Self {
            copied: Copied::default(),
            log: Verification::begin(Head::BEGINNING, []),
        }
    }
}

impl Count {
    fn add(&mut self, entry: Entry) {
        let copied = &mut self.copied;
        match entry {
            Entry::Head(head) => {
                let head = Head::of_stored(head.sequence, &head.hash, 0);
                copied.head = Some(head);
                self.log = Verification::begin(Head::BEGINNING, [(Witness::Service, head)]);
            }
            Entry::Issuer(_) => copied.issuers += 1,
            Entry::Key(..) => copied.keys += 1,
            Entry::Client(_) => copied.clients += 1,
            Entry::Approval(_) => copied.approvals += 1,
            Entry::Event(event) => {
                copied.events += 1;
                if let Ok(log) = &mut self.log
                    && let Err(broken) = log.read(line(&event.read()).as_bytes())
                {
                    self.log = Err(broken);
                }
            }
            Entry::Setting(..) | Entry::LastUse(_) | Entry::End => {}
        }
    }

    fn finish(self) -> Copied {
        Copied {
            broken: self.log.and_then(Verification::finish).err(),
            ..self.copied
        }
    }
}

/// What is restored, and what whoever restores says of the time after the backup.
#[derive(Debug)]
pub struct RestoreRequest {
    /// The backup.
    pub backup: PathBuf,
    /// The register, if there is one.
    pub register: Option<PathBuf>,
    /// Keys that were revoked since.
    pub revoked: BTreeSet<Kid>,
    /// Issuers that were deleted since.
    pub deleted: BTreeSet<IssuerName>,
}

/// Restores a backup into the store that the configuration names, which must be empty. The store is
/// not opened before everything is decided.
///
/// # Errors
/// Whatever keeps it from being done, in one sentence for the operator.
pub async fn restore(config: &Config, request: RestoreRequest) -> Result<Outcome, Box<dyn Error>> {
    let unreadable = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let backup = File::open(&request.backup).map_err(|error| unreadable(&request.backup, error))?;
    let folder = DataFolder::open(&config.data_dir)?;
    let master_keys = [folder.present_master_key(config.master_key_file.as_deref())?];
    let register = match &request.register {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
            Some(Register::read(&text, |fingerprint| {
                let mut keys = master_keys.iter();
                keys.find(|key| key.fingerprint() == fingerprint)
            })?)
        }
        None => None,
    };
    let engine = SoftwareEngine::start()?;
    let prepared = prepare(Plan {
        backup,
        register,
        revoked: request.revoked,
        deleted: request.deleted,
        master_keys: &master_keys,
        engine: &engine,
        now: Clock::system().now(),
    })
    .await?;
    let store = SqliteStore::open(&folder.database()).await?;
    refuse_live_replicas(&store).await?;
    let outcome = prepared.write(&store).await;
    store.close().await;
    Ok(outcome?)
}
