//! What is done to a store while no service uses it: a copy into another store, and a restore.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use keywright_verifier::Kid;
use tokio::sync::mpsc;

use super::ownership::make_for_owner;
use super::replacement::require_no_live_replica;
use crate::authority::audit::Actor;
use crate::backup::register::Register;
use crate::backup::restore::{Outcome, Plan, prepare};
use crate::clock::Clock;
use crate::config::{self, Config, InvalidStoreUrl, StoreUrl};
use crate::data_folder::DataFolder;
use crate::engine::Entropy;
use crate::engine::software::SoftwareEngine;
use crate::lifecycle::{ChangeTime, IssuerName};
use crate::master_key;
use crate::store::chain::{BrokenLink, HeadSource, LogHead, Verification, line};
use crate::store::transfer::{self, DumpError, Entry, FillError};
use crate::store::{self, Kind, Store, StoreError};

/// A store that is copied from or to: `sqlite`, the one in the data folder, `sqlite:PATH`, or the
/// URL of a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// An SQLite file.
    File(PathBuf),
    /// As in the configuration.
    Url(StoreUrl),
}

impl FromStr for StoreAddress {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Ok(Self::Url(text.parse()?)),
        }
    }
}

/// Without a password.
impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "sqlite:{}", path.display()),
            Self::Url(StoreUrl::Sqlite) => f.write_str("sqlite"),
            Self::Url(StoreUrl::Postgres(url)) => write!(f, "{url}"),
        }
    }
}

/// A store that no other process uses.
struct Opened {
    store: Arc<dyn Store>,
    /// The lock of an SQLite file's folder, for as long as the store is open.
    _folder: Option<DataFolder>,
}

/// Whether a store must be there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Made,
}

impl StoreAddress {
    async fn open(&self, data_dir: &Path, presence: Presence) -> Result<Opened, Box<dyn Error>> {
        let (url, file) = match self {
            Self::File(path) => (StoreUrl::Sqlite, path.clone()),
            Self::Url(url) => (url.clone(), data_dir.join("keywright.db")),
        };
        let folder = match url {
            StoreUrl::Postgres(_) => None,
            StoreUrl::Sqlite if presence == Presence::Required && !file.is_file() => {
                return Err(format!("{}: there is no such file", file.display()).into());
            }
            StoreUrl::Sqlite => {
                let folder = file
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty());
                let folder = folder.unwrap_or(Path::new("."));
                let opened = open_folder(folder)?;
                make_for_owner(folder, &file)?;
                Some(opened)
            }
        };
        let settings = config::Store {
            url,
            ..config::Store::default()
        };
        let store =
            store::open(&settings.location(file), &Clock::system(), &Arc::default()).await?;
        require_no_live_replica(&*store).await?;
        Ok(Opened {
            store,
            _folder: folder,
        })
    }
}

/// Opens a data folder, whose lock then belongs to the folder's owner.
pub(super) fn open_folder(path: &Path) -> Result<DataFolder, Box<dyn Error>> {
    make_for_owner(path, &path.join("keywright.lock"))?;
    Ok(DataFolder::open(path)?)
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
    /// How many revocations of tokens.
    pub revocations: u64,
    /// How many grants.
    pub grants: u64,
    /// How many events.
    pub events: u64,
    /// Where the audit log ends; `None` when there is none.
    pub head: Option<LogHead>,
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
pub async fn copy(
    from: &StoreAddress,
    to: &StoreAddress,
    data_dir: &Path,
) -> Result<Copied, Box<dyn Error>> {
    let from = from.open(data_dir, Presence::Required).await?;
    let to = to.open(data_dir, Presence::Made).await?;
    let copied = copy_store(&*from.store, &*to.store).await?;
    from.store.close().await;
    to.store.close().await;
    Ok(copied)
}

/// Copies everything that a store has into another one, which is empty, and compares the two. An
/// early end of either side ends the other one.
///
/// # Errors
/// [`CopyError`]: the first store's error, if it has one.
pub async fn copy_store(from: &dyn Store, to: &dyn Store) -> Result<Copied, CopyError> {
    let (sink, entries) = transfer::channel();
    let (dumped, filled) = tokio::join!(dump(from, sink), to.fill(entries));
    match dumped {
        // The store that is filled has said why.
        Ok(()) | Err(DumpError::Abandoned) => filled?,
        Err(error) => return Err(error.into()),
    }
    compare(from, to).await
}

async fn dump(store: &dyn Store, sink: mpsc::Sender<Entry>) -> Result<(), DumpError> {
    transfer::dump(store, &sink).await
}

/// Compares two stores that no process uses, and counts what they have.
async fn compare(one: &dyn Store, other: &dyn Store) -> Result<Copied, CopyError> {
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
        // When one of them ends early, the other one is abandoned.
        None => match (one, other) {
            (_, Err(DumpError::Store(error))) => Err(CopyError::Unreadable(error)),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error.into()),
            (Ok(()), Ok(())) => Err(CopyError::Different(0)),
        },
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
            log: Verification::begin(LogHead::BEGINNING, []),
        }
    }
}

impl Count {
    fn add(&mut self, entry: Entry) {
        let copied = &mut self.copied;
        match entry {
            Entry::Head(head) => {
                let head = LogHead::of_stored(head.sequence, &head.hash, 0);
                copied.head = Some(head);
                self.log = Verification::begin(LogHead::BEGINNING, [(HeadSource::Service, head)]);
            }
            Entry::Record(record) => match record.key.kind {
                Kind::Issuer => copied.issuers += 1,
                Kind::Key => copied.keys += 1,
                Kind::Client => copied.clients += 1,
                Kind::Approval => copied.approvals += 1,
                Kind::Revocation => copied.revocations += 1,
                Kind::Grant => copied.grants += 1,
                Kind::Setting
                | Kind::UsedToken
                | Kind::Session
                | Kind::StatusList
                | Kind::Webhook
                | Kind::TrackedToken
                | Kind::EventStream
                | Kind::PushedCopy => {}
            },
            Entry::Event(event) => {
                copied.events += 1;
                if let Ok(log) = &mut self.log
                    && let Err(broken) = log.read(line(&event.read()).as_bytes())
                {
                    self.log = Err(broken);
                }
            }
            Entry::LastUse(_) | Entry::End => {}
        }
    }

    fn finish(self) -> Copied {
        Copied {
            broken: self.log.and_then(Verification::finish).err(),
            ..self.copied
        }
    }
}

/// What is restored, and what the operator says of the time after the backup.
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
    /// Whether nothing was revoked since, keys and tokens alike.
    pub nothing_revoked: bool,
    /// Whether grants come back.
    pub keep_grants: bool,
}

/// Restores a backup into the store that the configuration names, which must be empty. The store is
/// not opened before everything is decided.
///
/// # Errors
/// Whatever keeps it from being done, in one sentence for the operator.
pub async fn restore(config: &Config, request: RestoreRequest) -> Result<Outcome, Box<dyn Error>> {
    let unreadable = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let backup = File::open(&request.backup).map_err(|error| unreadable(&request.backup, error))?;
    let folder = open_folder(&config.data_dir)?;
    let (sources, entropy) = (config.master_key_sources()?, Entropy::system());
    let configured = master_key::read(&sources, &folder, false, &entropy);
    let master_keys = configured.await?.keys;
    let register = match &request.register {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
            Some(Register::read(&text, |fingerprint| {
                master_keys.find(fingerprint)
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
        nothing_revoked: request.nothing_revoked,
        keep_grants: request.keep_grants,
        master_keys: &master_keys,
        engine: &engine,
        entropy: entropy.clone(),
        time: ChangeTime {
            timing: config.store.timing(),
            ..Clock::system().now().into()
        },
        actor: Actor::Operator {
            user: rustix::process::getuid().as_raw(),
        },
    })
    .await?;
    if config.store.url == StoreUrl::Sqlite {
        make_for_owner(folder.path(), &folder.database())?;
    }
    let store = store::open(
        &config.store.location(folder.database()),
        &Clock::system(),
        &Arc::default(),
    )
    .await?;
    require_no_live_replica(&*store).await?;
    let outcome = prepared.write(&*store).await;
    store.close().await;
    Ok(outcome?)
}
