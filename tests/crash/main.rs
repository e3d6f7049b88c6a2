//! `kill -9` at any moment: what was acknowledged is there after the restart, what was not has
//! happened whole or not at all, and no token that was handed out stops verifying.
//!
//! Killing a process tests the order of its steps. That the disk keeps what it was told to keep
//! is between the database and the operating system; what is tested here is that a disk that says
//! it has not is believed.

#![allow(
    clippy::disallowed_methods,
    reason = "a crash has no clock; it comes at a real moment of a real process"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]

mod blocked;
mod bootstrap;
mod changes;
mod disk;
mod state;
#[path = "../support/mod.rs"]
mod support;

use support::{report, since_epoch};

/// A small generator of moments (xorshift64). Its seed is printed, but no seed repeats a crash:
/// the moment meets a process that never runs twice alike.
struct Moments(u64);

impl Moments {
    fn new(what: &str) -> Self {
        let seed = u64::from(since_epoch().subsec_nanos()) << 20 | 1;
        report(&format!("{what}: seed {seed}"));
        Self(seed)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}
