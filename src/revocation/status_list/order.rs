//! In which order the entries of a list are used.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};

use super::ENTRIES;

/// Half of the bits of an entry.
const HALF: u32 = 10;
const HALF_MASK: u32 = (1 << HALF) - 1;
const ROUNDS: u8 = 4;

/// A keyed permutation of the entries of a list: a Feistel network of four rounds, with AES as its round
/// function (Luby and Rackoff, 1988). Who sees entries cannot tell which were given out when.
#[derive(Clone)]
pub struct EntryOrder(Aes128);

impl fmt::Debug for EntryOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntryOrder(…)")
    }
}

impl EntryOrder {
    /// The order of a key.
    pub fn new(key: [u8; 16]) -> Self {
        Self(Aes128::new(&key.into()))
    }

    /// The entry that is used at this place; `None` past the end of the list.
    pub fn entry_at(&self, place: u32) -> Option<u32> {
        if place >= ENTRIES {
            return None;
        }
        let (left, right) = (place >> HALF, place & HALF_MASK);
        let (left, right) = (0..ROUNDS).fold((left, right), |(left, right), round| {
            (right, left ^ self.round(round, right))
        });
        Some(left << HALF | right)
    }

    fn round(&self, round: u8, half: u32) -> u32 {
        let mut block = [0; 16];
        let [_, _, high, low] = half.to_be_bytes();
        let input = [round, high, low];
        block
            .iter_mut()
            .zip(input)
            .for_each(|(to, from)| *to = from);
        let mut block = block.into();
        self.0.encrypt_block(&mut block);
        let [first, second, ..]: [u8; 16] = block.into();
        u32::from(u16::from_be_bytes([first, second])) & HALF_MASK
    }
}
