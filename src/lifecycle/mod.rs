//! The pure core: what a key is, which states it may pass through, and when.
//!
//! Nothing here waits, reads a clock, draws a random number or touches a disk. Time enters as a
//! [`Timestamp`], fresh keys enter through a [`Supply`], and what comes out is a [`Change`]: the
//! next [`KeySet`] together with the [`Event`]s that explain it. That is what makes the ten
//! invariants of `docs/lifecycle.md` testable by the hundred thousand.
//!
//! A change always takes the same road:
//!
//! ```text
//! Command ──▶ decide(set, command, now, supply) ──▶ Change { set, events }
//!                │  the command's own transitions
//!                └─ then plan(set, now) to its fixed point: whatever is due or missing
//! ```
//!
//! so that a rotation by hand, a revocation and the scheduler's tick end in the same shape of
//! set, with a successor standing by.

mod command;
mod event;
mod history;
mod issuer;
mod key;
mod key_set;
mod moment;
mod plan;
mod policy;
mod policy_document;
mod recovery;
mod revision;
mod schedule;
mod simulation;
mod time;
mod verifiers;

pub use command::{Command, Halt, ImportAs, Readiness, Refusal, Successor, decide, found};
pub use event::Event;
pub use history::PastKey;
pub use issuer::{InvalidIssuerName, InvalidIssuerUrl, IssuerName, IssuerUrl};
pub use key::{Active, Key, Knowledge, Origin, Pending, Removed, Retired, Revoked, State};
pub use key_set::{Founding, InconsistentSet, KeySet, MAX_PUBLISHED_BYTES, MAX_PUBLISHED_KEYS};
pub use moment::{Moment, SWITCH_OVER};
pub use plan::{Plan, Step, plan, rotation_due};
pub use policy::{Confirmation, Policy, PolicyViolation};
pub use policy_document::PolicyError;
pub use recovery::{Contradiction, Remembered, Testimony, recover};
pub use revision::{Change, KeySpecification, Supply};
pub use schedule::{InvalidSchedule, Schedule};
pub use simulation::{Occurrence, Proposal, simulate};
pub use time::{InvalidDuration, Timestamp, format_duration, parse_duration};
pub use verifiers::{KNOWN_VERIFIERS, KnownVerifier, verifiers_outpaced_by};
