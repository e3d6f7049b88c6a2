//! Which kinds of selectors occur.

use super::SelectorKind;

/// A set of kinds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SelectorKinds(u16);

impl SelectorKinds {
    /// Every kind.
    pub const ALL: Self = Self(0x03fe);

    /// Whether a kind is among them.
    pub const fn contains(self, kind: SelectorKind) -> bool {
        self.0 & bit(kind) != 0
    }

    /// The kinds, as [`SelectorKind::ALL`] has them.
    pub fn iter(self) -> impl Iterator<Item = SelectorKind> {
        let kinds = SelectorKind::ALL.into_iter();
        kinds.filter(move |kind| self.contains(*kind))
    }
}

const fn bit(kind: SelectorKind) -> u16 {
    1 << kind.byte()
}

impl FromIterator<SelectorKind> for SelectorKinds {
    fn from_iter<I: IntoIterator<Item = SelectorKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | bit(kind)))
    }
}
