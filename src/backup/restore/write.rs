//! The second reading: the rows of a backup go into an empty store.

use std::fs::File;
use std::io::BufReader;

use tokio::sync::mpsc;

use super::{Plan, RestoreError, reader};
use crate::backup::file::Reader;
use crate::store::transfer::{self, Entry, StoredHead};
use crate::store::{BatchId, Kind, Record, RecordKey, Store, Token};

/// What the second reading puts in the place of what it reads.
pub(super) struct ReplacementRows {
    pub(super) head: StoredHead,
    /// The kinds of records that are not taken from the backup.
    pub(super) replaced: Vec<Kind>,
    /// The setting that is not.
    pub(super) replaced_setting: RecordKey,
    pub(super) records: Vec<Record>,
    pub(super) events: Vec<Entry>,
}

/// Writes it into an empty store, all or nothing.
///
/// # Errors
/// [`RestoreError`]; nothing was written then, unless it says that this is not known.
pub(super) async fn write(
    plan: &Plan<'_>,
    lines: &[u8],
    replacement: ReplacementRows,
    store: &dyn Store,
) -> Result<(), RestoreError> {
    let (sink, entries) = transfer::channel();
    // What comes back is in a state of its own, that no process has seen before.
    let token = Token::UNWRITTEN.followed_by(BatchId(plan.entropy.bytes()?));
    let given = async move {
        let mut reader = reader(plan)?;
        if reader.lines() != lines {
            return Err(RestoreError::Replaced);
        }
        let taken = send_all(&mut reader, replacement, token, &sink).await?;
        tracing::debug!(taken, "the backup was read again");
        Ok(())
    };
    let (given, filled) = tokio::join!(given, store.fill(entries));
    given?;
    Ok(filled?)
}

/// Sends the entries of the backup, with what replaces some of them. Whether the store takes them.
async fn send_all(
    reader: &mut Reader<BufReader<&File>>,
    replacement: ReplacementRows,
    token: Token,
    sink: &mpsc::Sender<Entry>,
) -> Result<bool, RestoreError> {
    let ReplacementRows {
        head,
        replaced,
        replaced_setting,
        records,
        events,
    } = replacement;
    let record = |record: Record| Entry::Record(Record { token, ..record });
    let beginning = std::iter::once(Entry::Head(head)).chain(records.into_iter().map(record));
    for entry in beginning {
        if sink.send(entry).await.is_err() {
            return Ok(false);
        }
    }
    while let Some(entry) = reader.next_row()? {
        let entries = match entry {
            Entry::Head(_) => Vec::new(),
            Entry::Record(stored)
                if replaced.contains(&stored.key.kind) || stored.key == replaced_setting =>
            {
                Vec::new()
            }
            Entry::Record(stored) => vec![record(stored)],
            Entry::End => events.iter().cloned().chain([Entry::End]).collect(),
            entry => vec![entry],
        };
        for entry in entries {
            if sink.send(entry).await.is_err() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
