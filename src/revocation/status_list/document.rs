//! A list as the store has it: how much of it is leased.

use serde::{Deserialize, Serialize};

use super::{BLOCK, BLOCKS, ListName};
use crate::stored_document::Format;

/// A list of which entries are leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasedList {
    /// Which one.
    pub name: ListName,
    /// How many of its blocks are leased, the first ones.
    pub blocks: u32,
}

/// A record that this program could not have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of status list {0} cannot be read")]
pub struct InvalidListRecord(String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format<1>,
    hour: u64,
    blocks: u32,
}

impl LeasedList {
    /// A list of which the first block is leased.
    pub fn new(name: ListName) -> Self {
        Self { name, blocks: 1 }
    }

    /// The name of its record: 8 hexadecimal digits.
    pub fn id(&self) -> String {
        format!("{:08x}", self.name.list)
    }

    /// The same with one more block leased; `None` if there is none left.
    pub fn with_next_block(self) -> Option<Self> {
        let blocks = self.blocks + 1;
        (blocks <= BLOCKS).then_some(Self { blocks, ..self })
    }

    /// The places of the block that was leased last.
    pub fn last_block(&self) -> std::ops::Range<u32> {
        let end = self.blocks.saturating_mul(BLOCK);
        end.saturating_sub(BLOCK)..end
    }

    /// As it is stored.
    pub fn to_document(&self) -> String {
        let document = Document {
            format: Format,
            hour: self.name.hour,
            blocks: self.blocks,
        };
        // Numbers always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads what was stored under this name.
    ///
    /// # Errors
    /// [`InvalidListRecord`].
    pub fn from_document(id: &str, document: &str) -> Result<Self, InvalidListRecord> {
        let invalid = || InvalidListRecord(id.to_owned());
        let list = u32::from_str_radix(id, 16).map_err(|_| invalid())?;
        let document: Document = serde_json::from_str(document).map_err(|_| invalid())?;
        let read = Self {
            name: ListName {
                list,
                hour: document.hour,
            },
            blocks: document.blocks,
        };
        let is_whole = (1..=BLOCKS).contains(&read.blocks) && read.id() == id;
        is_whole.then_some(read).ok_or_else(invalid)
    }
}
