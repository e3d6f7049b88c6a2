//! The entries: bits in bytes, compressed (§4.1, §4.2).

use std::fmt;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::base64url;

/// How many bits an entry has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusBits {
    /// Valid or invalid.
    One,
    /// Four values.
    Two,
    /// Sixteen values.
    Four,
    /// 256 values.
    Eight,
}

impl StatusBits {
    /// Those of a member `bits`; `None` for a number that is not 1, 2, 4 or 8.
    pub const fn of(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            _ => None,
        }
    }

    /// The number.
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// The largest value of an entry.
    const fn mask(self) -> u8 {
        match self {
            Self::One => 0b1,
            Self::Two => 0b11,
            Self::Four => 0b1111,
            Self::Eight => 0xff,
        }
    }

    /// In which byte an entry stands, and how far from its least significant bit.
    const fn place(self, index: u64) -> (u64, u8) {
        let in_a_byte = match self {
            Self::One => 8,
            Self::Two => 4,
            Self::Four => 2,
            Self::Eight => 1,
        };
        let shift = (index % in_a_byte) as u8 * self.number();
        (index / in_a_byte, shift)
    }
}

/// A list of statuses. Entry 0 stands in the least significant bits of the first byte.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusList {
    bits: StatusBits,
    bytes: Vec<u8>,
}

/// What does not count for a list is not shown.
impl fmt::Debug for StatusList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StatusList")
            .field("bits", &self.bits.number())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Why a text is no list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStatusList {
    /// It is not base64url without padding.
    #[error("the list is not base64url")]
    NotBase64url,
    /// It is not one stream of zlib, from its first byte to its last.
    #[error("the list is not compressed with zlib")]
    NotZlib,
    /// It has no entry, or more bytes than are read.
    #[error("the list is empty, or has more than {max_bytes} bytes")]
    Size {
        /// The most bytes that are read of an inflated list.
        max_bytes: usize,
    },
}

impl StatusList {
    /// A list of at least so many entries, all [`VALID`](super::VALID).
    pub fn all_valid(bits: StatusBits, entries: usize) -> Self {
        Self::filled(bits, entries, 0)
    }

    /// A list of one bit each, all [`INVALID`](super::INVALID).
    pub fn all_invalid(entries: usize) -> Self {
        Self::filled(StatusBits::One, entries, 0xff)
    }

    fn filled(bits: StatusBits, entries: usize, byte: u8) -> Self {
        let whole = entries.saturating_mul(bits.number().into());
        Self {
            bits,
            bytes: vec![byte; whole.div_ceil(8)],
        }
    }

    /// Changes an entry. Whether there is one with this index, and the status fits.
    pub fn set(&mut self, index: u64, status: u8) -> bool {
        let (byte, shift) = self.bits.place(index);
        let mask = self.bits.mask();
        let byte = usize::try_from(byte).ok();
        match byte.and_then(|byte| self.bytes.get_mut(byte)) {
            Some(byte) if status <= mask => {
                *byte = *byte & !(mask << shift) | status << shift;
                true
            }
            _ => false,
        }
    }

    /// The status of an entry; `None` past the end of the list.
    pub fn status(&self, index: u64) -> Option<u8> {
        let (byte, shift) = self.bits.place(index);
        let byte = self.bytes.get(usize::try_from(byte).ok()?)?;
        Some(byte >> shift & self.bits.mask())
    }

    /// How many bits an entry has.
    pub const fn bits(&self) -> StatusBits {
        self.bits
    }

    /// How many bytes it takes in memory.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its `lst`: compressed as well as zlib can, in base64url.
    pub fn encode(&self) -> String {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let _ = encoder.write_all(&self.bytes);
        base64url::encode(&encoder.finish().unwrap_or_default())
    }

    /// Reads an `lst` whose bytes, inflated, are at most so many. No more are inflated, whatever it says.
    ///
    /// # Errors
    ///
    /// [`InvalidStatusList`].
    pub fn decode(
        bits: StatusBits,
        text: &str,
        max_bytes: usize,
    ) -> Result<Self, InvalidStatusList> {
        let compressed = base64url::decode(text).ok_or(InvalidStatusList::NotBase64url)?;
        let mut decoder = ZlibDecoder::new(compressed.as_slice());
        let mut bytes = Vec::new();
        let most = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        (&mut decoder)
            .take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|_| InvalidStatusList::NotZlib)?;
        if bytes.is_empty() || bytes.len() > max_bytes {
            return Err(InvalidStatusList::Size { max_bytes });
        }
        if usize::try_from(decoder.total_in()) != Ok(compressed.len()) {
            return Err(InvalidStatusList::NotZlib);
        }
        Ok(Self { bits, bytes })
    }
}
