//! A backup as a file.
//!
//! ```text
//! keywright-backup 1 ⏎
//! {"created_at":…,"keywright":…,"head":…,"master_key":…,"salt":…} ⏎
//! length (4 bytes, big endian) ‖ ciphertext ‖ tag (16 bytes)      repeated, one a chunk
//! ```
//!
//! The two lines tell a person who finds the file what it is. The key of the chunks is derived from
//! the master key and from both lines ([`MasterKey::derivation`], HKDF-SHA256): a line that was
//! altered gives another key, and the random salt gives each backup a key of its own. A chunk is up
//! to 64 KiB of the rows, sealed with AES-256-GCM; its number is the nonce and, with whether it is
//! the last, its associated data. So no chunk can be altered, left out, moved, or taken from
//! another backup, and none can follow the last. The private keys inside are sealed as they are in
//! the store.

use std::io::Read;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use super::row;
use crate::engine::{Entropy, RandomnessUnavailable};
use crate::lifecycle::Timestamp;
use crate::store::chain::LogHead;
use crate::store::seal::{Fingerprint, MasterKey};
use crate::store::transfer::Entry;

/// What every backup begins with, up to the number of its format.
const MAGIC: &str = "keywright-backup ";

const FORMAT: u32 = 1;

/// The text under which the key is derived.
const PURPOSE: &[u8] = b"keywright backup\0";

/// How many bytes of rows a chunk holds.
const CHUNK: usize = 64 * 1024;

const TAG: usize = 16;

/// The longest line that the header may be, in bytes.
const LONGEST_HEADER: usize = 4096;

/// The longest row that is read, in bytes.
const LONGEST_ROW: usize = 64 * 1024 * 1024;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// When it was taken.
    pub created_at: Timestamp,
    /// The version of the program that took it.
    pub keywright: String,
    /// Where the audit log ended.
    pub head: LogHead,
    /// The master key whose holder can open it.
    pub master_key: Fingerprint,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    created_at: u64,
    keywright: String,
    head: String,
    master_key: String,
    salt: String,
}

/// Why a file is no backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something else.
    #[error("this is no backup of keywright")]
    Foreign,
    /// A later keywright took it.
    #[error("the backup has format {0}, which this version of keywright does not know")]
    UnknownFormat(u32),
    /// Its key is elsewhere.
    #[error(
        "the backup was sealed with the master key {0}, which is not the one that is configured here"
    )]
    OtherMasterKey(Fingerprint),
    /// The two lines at its beginning, or a chunk, is not what was written.
    #[error("the backup was altered, or is damaged, in chunk {0}")]
    Altered(u64),
    /// It ends too early.
    #[error("the backup is cut off after chunk {0}")]
    CutOff(u64),
    /// Something was added.
    #[error("something follows the end of the backup")]
    Trailing,
    /// It holds something that no store has.
    #[error("the backup has a row that does not read: {0}")]
    Row(Box<dyn std::error::Error + Send + Sync>),
    /// It cannot be sealed.
    #[error("the cipher refused")]
    Unsealable,
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Header {
    /// The header of a backup that is taken now.
    pub fn new(created_at: Timestamp, head: LogHead, master_key: &MasterKey) -> Self {
        Self {
            created_at: Timestamp::from_seconds(created_at.floor_seconds()),
            keywright: env!("CARGO_PKG_VERSION").to_owned(),
            head,
            master_key: master_key.fingerprint(),
        }
    }

    /// Both lines, with their line feeds.
    fn lines(&self, salt: String) -> Result<Vec<u8>, BackupError> {
        let line = HeaderLine {
            created_at: self.created_at.floor_seconds(),
            keywright: self.keywright.clone(),
            head: self.head.to_string(),
            master_key: self.master_key.to_string(),
            salt,
        };
        let line = serde_json::to_string(&line).map_err(|error| BackupError::Row(error.into()))?;
        Ok(format!("{MAGIC}{FORMAT}\n{line}\n").into_bytes())
    }

    fn read(line: &[u8]) -> Option<Self> {
        let line: HeaderLine = serde_json::from_slice(line).ok()?;
        Some(Self {
            created_at: Timestamp::from_seconds(line.created_at),
            keywright: line.keywright,
            head: line.head.parse().ok()?,
            master_key: line.master_key.parse().ok()?,
        })
    }
}

/// The key of a backup's chunks.
struct ChunkKey(LessSafeKey);

impl ChunkKey {
    fn derive(master_key: &MasterKey, lines: &[u8]) -> Result<Self, BackupError> {
        let info = [PURPOSE, lines];
        let output = master_key.derivation().expand(&info, &AES_256_GCM);
        let key = UnboundKey::from(output.map_err(|_| BackupError::Unsealable)?);
        Ok(Self(LessSafeKey::new(key)))
    }

    fn seal(&self, number: u64, place: Place, text: &[u8]) -> Result<Vec<u8>, BackupError> {
        let length = u32::try_from(text.len() + TAG).map_err(|_| BackupError::Unsealable)?;
        let mut chunk = length.to_be_bytes().to_vec();
        let mut sealed = text.to_vec();
        self.0
            .seal_in_place_append_tag(nonce(number), Aad::from(place.data(number)), &mut sealed)
            .map_err(|_| BackupError::Unsealable)?;
        chunk.append(&mut sealed);
        Ok(chunk)
    }

    fn open(&self, number: u64, place: Place, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let aad = Aad::from(place.data(number));
        let text = self.0.open_in_place(nonce(number), aad, &mut sealed).ok()?;
        Some(text.to_vec())
    }
}

/// Whether a chunk is the last.
#[derive(Clone, Copy)]
enum Place {
    Within = 0,
    Last = 1,
}

impl Place {
    fn data(self, number: u64) -> [u8; 9] {
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        [a, b, c, d, e, f, g, h, self as u8]
    }
}

/// Each backup has a key of its own, so that the chunk's number is never used twice with one key.
fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    if let Some(tail) = bytes.last_chunk_mut() {
        *tail = number.to_be_bytes();
    }
    Nonce::assume_unique_for_key(bytes)
}

/// A backup while it is written.
pub struct Writer {
    key: ChunkKey,
    /// The number of the next chunk.
    number: u64,
    /// Rows that are not in a chunk yet.
    rows: Vec<u8>,
}

impl Writer {
    /// Begins a backup: what writes it, and its first bytes.
    ///
    /// # Errors
    /// [`BackupError`] when the cipher or the operating system refuses.
    pub fn begin(
        header: &Header,
        master_key: &MasterKey,
        entropy: &Entropy,
    ) -> Result<(Self, Vec<u8>), BackupError> {
        let lines = header.lines(entropy.name::<32>()?)?;
        let writer = Self {
            key: ChunkKey::derive(master_key, &lines)?,
            number: 0,
            rows: Vec::with_capacity(2 * CHUNK),
        };
        Ok((writer, lines))
    }

    /// Takes a row, and gives the bytes that are ready, which may be none. What follows
    /// [`Entry::End`] is the end of the file.
    ///
    /// # Errors
    /// [`BackupError`] when the cipher refuses.
    pub fn write(&mut self, entry: Entry) -> Result<Vec<u8>, BackupError> {
        let is_end = entry == Entry::End;
        row::write(entry, &mut self.rows).map_err(|error| BackupError::Row(error.into()))?;
        let mut ready = Vec::new();
        while self.rows.len() > CHUNK {
            let rest = self.rows.split_off(CHUNK);
            let chunk = std::mem::replace(&mut self.rows, rest);
            ready.append(&mut self.seal(Place::Within, &chunk)?);
        }
        if is_end {
            let chunk = std::mem::take(&mut self.rows);
            ready.append(&mut self.seal(Place::Last, &chunk)?);
        }
        Ok(ready)
    }

    fn seal(&mut self, place: Place, chunk: &[u8]) -> Result<Vec<u8>, BackupError> {
        let sealed = self.key.seal(self.number, place, chunk);
        self.number += 1;
        sealed
    }
}

/// A backup while it is read.
pub struct Reader<R> {
    header: Header,
    lines: Vec<u8>,
    key: ChunkKey,
    input: R,
    /// The number of the next chunk.
    number: u64,
    /// The next chunk, sealed: whether it is the last is seen when there is none behind it.
    next: Option<Vec<u8>>,
    /// Rows that were opened and not read yet.
    rows: Vec<u8>,
    /// How many bytes of them were read.
    read: usize,
    has_ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning of a backup, and finds the master key that opens it.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn begin<'k>(
        mut input: R,
        find: impl Fn(Fingerprint) -> Option<&'k MasterKey>,
    ) -> Result<Self, BackupError> {
        let mut lines = Vec::new();
        let magic = read_line(&mut input, MAGIC.len() + 12, &mut lines)?;
        let format = std::str::from_utf8(&magic)
            .ok()
            .and_then(|line| line.strip_prefix(MAGIC))
            .and_then(|format| format.parse().ok())
            .ok_or(BackupError::Foreign)?;
        if format != FORMAT {
            return Err(BackupError::UnknownFormat(format));
        }
        let line = read_line(&mut input, LONGEST_HEADER, &mut lines)?;
        let header = Header::read(&line).ok_or(BackupError::Foreign)?;
        let master_key =
            find(header.master_key).ok_or(BackupError::OtherMasterKey(header.master_key))?;
        let key = ChunkKey::derive(master_key, &lines)?;
        let next = read_chunk(&mut input, 0)?;
        Ok(Self {
            header,
            lines,
            key,
            input,
            number: 0,
            next,
            rows: Vec::new(),
            read: 0,
            has_ended: false,
        })
    }

    /// What the backup says of itself. It is true once a row was read.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its first two lines, which no two backups share.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The next row; `None` after [`Entry::End`], and then nothing follows in the file either.
    ///
    /// # Errors
    /// [`BackupError`]; nothing more can be read then.
    pub fn next_row(&mut self) -> Result<Option<Entry>, BackupError> {
        if self.has_ended {
            return Ok(None);
        }
        loop {
            let rest = self.rows.get(self.read..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.get(..end).unwrap_or_default();
                let entry = row::read(line).map_err(|error| BackupError::Row(error.into()))?;
                self.read += end + 1;
                self.has_ended = entry == Entry::End;
                if self.has_ended {
                    self.expect_nothing_more()?;
                }
                return Ok(Some(entry));
            }
            if rest.len() > LONGEST_ROW {
                return Err(BackupError::Row("it is too long".into()));
            }
            self.open_chunk()?;
        }
    }

    fn open_chunk(&mut self) -> Result<(), BackupError> {
        let number = self.number;
        let sealed = self.next.take().ok_or(BackupError::CutOff(number))?;
        self.next = read_chunk(&mut self.input, number + 1)?;
        let place = if self.next.is_some() {
            Place::Within
        } else {
            Place::Last
        };
        let mut text = match self.key.open(number, place, sealed.clone()) {
            Some(text) => text,
            // It is whole, and not where it says that it is.
            None if self.key.open(number, other(place), sealed).is_some() => {
                return Err(match place {
                    Place::Within => BackupError::Trailing,
                    Place::Last => BackupError::CutOff(number),
                });
            }
            None => return Err(BackupError::Altered(number)),
        };
        self.number += 1;
        self.rows.drain(..self.read);
        self.read = 0;
        self.rows.append(&mut text);
        Ok(())
    }

    fn expect_nothing_more(&self) -> Result<(), BackupError> {
        if self.read < self.rows.len() || self.next.is_some() {
            return Err(BackupError::Trailing);
        }
        Ok(())
    }
}

fn other(place: Place) -> Place {
    match place {
        Place::Within => Place::Last,
        Place::Last => Place::Within,
    }
}

/// Reads a line of at most `longest` bytes, adds it to `lines` and returns it without its line
/// feed.
fn read_line(
    input: &mut impl Read,
    longest: usize,
    lines: &mut Vec<u8>,
) -> Result<Vec<u8>, BackupError> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() <= longest {
        if input.read(&mut byte)? == 0 {
            return Err(BackupError::Foreign);
        }
        lines.extend(byte);
        if byte == *b"\n" {
            return Ok(line);
        }
        line.extend(byte);
    }
    Err(BackupError::Foreign)
}

/// Reads the sealed chunk with this number; `None` at the end of the file.
fn read_chunk(input: &mut impl Read, number: u64) -> Result<Option<Vec<u8>>, BackupError> {
    let mut length = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut length)?;
    if length.is_empty() {
        return Ok(None);
    }
    let cut_off = || BackupError::CutOff(number.saturating_sub(1));
    let bytes: [u8; 4] = length.try_into().map_err(|_| cut_off())?;
    let length = usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    if !(TAG..=CHUNK + TAG).contains(&length) {
        return Err(BackupError::Altered(number));
    }
    let mut chunk = vec![0; length];
    match input.read_exact(&mut chunk) {
        Ok(()) => Ok(Some(chunk)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(cut_off()),
        Err(error) => Err(error.into()),
    }
}
