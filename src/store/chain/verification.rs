//! Whether an exported log is whole, told from its lines alone.

use std::fmt;

use super::{AFTER_HASH, BEFORE_HASH, EventHash, LogHead};

/// The first place at which a log is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLink {
    /// A line that no export has.
    #[error("what follows event {after} is no line of an export")]
    Unreadable {
        /// The last event before it.
        after: u64,
    },
    /// A number is left out.
    #[error("event {sequence} is missing: event {found} stands in its place")]
    Missing {
        /// The number that should stand here.
        sequence: u64,
        /// The number that does.
        found: u64,
    },
    /// A number comes twice or too late.
    #[error("event {sequence} stands a second time, or out of order, after event {after}")]
    OutOfOrder {
        /// The number.
        sequence: u64,
        /// The last event before it.
        after: u64,
    },
    /// An event or its hash is not what was written.
    #[error("event {sequence} was altered: its hash does not follow from it and the events before")]
    Altered {
        /// The event's number.
        sequence: u64,
    },
    /// A log that is whole in itself, and another one.
    #[error("event {sequence} is not the one that {witness} names: the log was written anew")]
    Rewritten {
        /// The event's number.
        sequence: u64,
        /// Who says so.
        witness: HeadSource,
    },
    /// The log ends too early.
    #[error("the log ends with event {last}, but {witness} is event {sequence}: {} is missing",
        events(*last, *sequence))]
    CutOff {
        /// The last event.
        last: u64,
        /// The number that the log should reach.
        sequence: u64,
        /// Who says so.
        witness: HeadSource,
    },
    /// The log goes on after its own head.
    #[error("event {sequence} stands after the service's head")]
    BeyondHead {
        /// The first event after the head.
        sequence: u64,
    },
}

fn events(last: u64, head: u64) -> String {
    match last.saturating_add(1) {
        first if first == head => format!("event {first}"),
        first => format!("what stood from event {first} on"),
    }
}

/// Who says where the log ended at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadSource {
    /// The service, in the row beside the log.
    Service,
    /// The auditor who wrote the head down.
    Pinned,
}

impl fmt::Display for HeadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "the service's head",
            Self::Pinned => "the pinned head",
        })
    }
}

/// A log while it is read, line by line.
#[derive(Debug)]
pub struct Verification {
    last: LogHead,
    pins: Vec<(HeadSource, LogHead)>,
}

impl Verification {
    /// A log that follows `after`, of which nothing is read yet, and which must pass through
    /// `pins`. [`LogHead::BEGINNING`] is where a whole log begins.
    ///
    /// # Errors
    /// [`BrokenLink`] when a pin says that this is not where the log stands.
    pub fn begin(
        after: LogHead,
        pins: impl IntoIterator<Item = (HeadSource, LogHead)>,
    ) -> Result<Self, BrokenLink> {
        let verification = Self {
            last: after,
            pins: pins.into_iter().collect(),
        };
        let before = |(witness, pin): &&(HeadSource, LogHead)| {
            *witness == HeadSource::Service && pin.sequence < after.sequence
        };
        if let Some((_, pin)) = verification.pins.iter().find(before) {
            return Err(BrokenLink::CutOff {
                last: pin.sequence,
                sequence: after.sequence,
                witness: HeadSource::Pinned,
            });
        }
        verification.check_pinned_heads()?;
        Ok(verification)
    }

    /// Reads the next line, with or without its line feed.
    ///
    /// # Errors
    /// [`BrokenLink`] when it is not the line that comes next.
    pub fn read(&mut self, line: &[u8]) -> Result<(), BrokenLink> {
        let after = self.last.sequence;
        let (hash, text) = parts(line).ok_or(BrokenLink::Unreadable { after })?;
        let found = sequence(text).ok_or(BrokenLink::Unreadable { after })?;
        let sequence = after.saturating_add(1);
        if found < sequence {
            return Err(BrokenLink::OutOfOrder {
                sequence: found,
                after,
            });
        }
        if found > sequence {
            return Err(BrokenLink::Missing { sequence, found });
        }
        let next = LogHead {
            sequence,
            hash: self.last.hash.followed_by(text),
        };
        if hash != next.hash {
            return Err(BrokenLink::Altered { sequence });
        }
        self.last = next;
        self.check_pinned_heads()
    }

    /// Says that there are no more lines, and returns where the log ends.
    ///
    /// # Errors
    /// [`BrokenLink::CutOff`] when it ends before a head that it must pass through.
    pub fn finish(self) -> Result<LogHead, BrokenLink> {
        let last = self.last.sequence;
        match self.pins.iter().find(|(_, pin)| pin.sequence > last) {
            Some((witness, pin)) => Err(BrokenLink::CutOff {
                last,
                sequence: pin.sequence,
                witness: *witness,
            }),
            None => Ok(self.last),
        }
    }

    fn check_pinned_heads(&self) -> Result<(), BrokenLink> {
        let here = |(_, pin): &&(HeadSource, LogHead)| pin.sequence == self.last.sequence;
        let mut pins = self.pins.iter().filter(here);
        match pins.find(|(_, pin)| *pin != self.last) {
            Some((witness, pin)) => Err(BrokenLink::Rewritten {
                sequence: pin.sequence,
                witness: *witness,
            }),
            None => Ok(()),
        }
    }
}

impl LogHead {
    /// Holds the end of a log, which was read completely, against the head that the service names
    /// afterwards, when it may have gone on; returns that end.
    ///
    /// # Errors
    /// [`BrokenLink`] when the log goes on after that head, or ends in another event.
    pub fn within(self, service: Self) -> Result<Self, BrokenLink> {
        if self.sequence > service.sequence {
            return Err(BrokenLink::BeyondHead {
                sequence: service.sequence.saturating_add(1),
            });
        }
        if self.sequence == service.sequence && self.hash != service.hash {
            return Err(BrokenLink::Rewritten {
                sequence: self.sequence,
                witness: HeadSource::Service,
            });
        }
        Ok(self)
    }
}

/// The hash that a line names, and its event's text.
fn parts(line: &[u8]) -> Option<(EventHash, &[u8])> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let rest = line.strip_prefix(BEFORE_HASH.as_bytes())?;
    let (hash, rest) = rest.split_at_checked(64)?;
    let text = rest
        .strip_prefix(AFTER_HASH.as_bytes())?
        .strip_suffix(b"}")?;
    let hash = std::str::from_utf8(hash).ok()?.parse().ok()?;
    Some((hash, text))
}

/// The number with which an event's text begins.
fn sequence(text: &[u8]) -> Option<u64> {
    let rest = text.strip_prefix(b"{\"sequence\":")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = rest.split_at_checked(end)?;
    if !rest.starts_with(b",\"at\":") || digits.starts_with(b"0") {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
