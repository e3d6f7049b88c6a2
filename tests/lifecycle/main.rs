//! The lifecycle's laws: as properties of random histories, and as examples that people can read.
//!
//! [`world`] lives a key set's life as the service does: it decides, commits, swaps what it
//! serves, crashes and restarts, while tokens are signed and verifiers cache. [`history`] draws
//! random lives, [`laws`] says what must hold after every step of one, and [`properties`] puts
//! the two together. The other modules are examples, one behaviour each.
//!
//! `KEYWRIGHT_PROPERTY_CASES=200000 cargo test --release --test lifecycle` runs that many
//! random histories instead of the usual 2,000.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod copies;
mod expected_state;
mod history;
mod invariants;
mod keys;
mod properties;
mod restore_register;
mod verifiers;
mod world;

mod adoption;
mod bounds;
mod canary;
mod capacity;
mod clock_correction;
mod founding;
mod past;
mod policy_change;
mod recovery;
mod replacement;
mod restore_sources;
mod revocation;
mod rotation;
mod taking_over;
mod time;
mod two_people;
mod wanted_keys;
