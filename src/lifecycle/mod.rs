//! The pure core: what a key is, which states it may pass through, and when.
//!
//! Nothing here waits, reads a clock, draws a random number or touches a disk. Time enters as a
//! [`Timestamp`], fresh keys enter as [`AvailableKeys`], what verifiers hold as [`Adoption`], and what
//! comes out is a [`Change`]: the next [`KeySet`] together with the [`Event`]s that explain it. That is what makes the ten
//! invariants of `docs/lifecycle.md` testable by the hundred thousand.
//!
//! A change always takes the same road:
//!
//! ```text
//! Command ──▶ decide(set, command, attestation, time, available, adoption) ──▶ Change { set, events } and the keys wanted
//!                │  the command's own transitions
//!                └─ then plan(set, time, adoption) to its fixed point: what is due or missing
//! ```
//!
//! so that a rotation by hand, a revocation and the scheduler's tick end in the same shape of
//! set. No change waits for a key: those that it lacks are generated after its commit and come in
//! with the next plan, so that a successor stands by again.

mod adoption;
mod available_keys;
mod canary;
mod clock_correction;
mod command;
mod crontab;
mod earlier_heads;
mod event;
mod history;
mod issuer;
mod key;
mod key_set;
mod key_set_update;
mod plan;
mod policy;
mod policy_document;
mod recovery;
mod rule_violation;
mod schedule;
mod simulation;
mod time;
mod timing;
mod verifiers;

pub use adoption::{Adoption, AdoptionWait, Holders};
pub use available_keys::{AvailableKeys, KeySpecification};
pub use command::{
    Attestation, Command, Decision, DecisionError, ImportAs, Readiness, Successor, create, decide,
};
pub use earlier_heads::EarlierHeads;
pub use event::Event;
pub use history::PastKey;
pub use issuer::{InvalidIssuerName, InvalidIssuerUrl, IssuerName, IssuerUrl};
pub use key::{
    Active, Canary, Copies, Key, KeyOrigin, KeyRecord, Pending, Removed, Retired, Revoked, State,
    Visibility,
};
pub use key_set::{InconsistentSet, IssuerOrigin, KeySet, MAX_PUBLISHED_BYTES, MAX_PUBLISHED_KEYS};
pub use key_set_update::{Change, PushedCopies};
pub use plan::{Plan, Step, latest_rotation, plan, rotation_due};
pub use policy::{
    AdoptionGate, CanaryPhase, Confirmation, OpenidConfigurationPolicy, Policy, PolicyViolation,
    RevocationFeed, TokenStatus, is_push_target,
};
pub use policy_document::PolicyError;
pub use recovery::{OperatorStatements, RegisterMismatch, RestoreSources, recover};
pub use rule_violation::RuleViolation;
pub use schedule::{InvalidSchedule, Schedule};
pub use simulation::{PlannedEvent, SimulationStart, simulate};
pub use time::{InvalidDuration, Timestamp, format_duration, parse_duration};
pub use timing::{CLOCK_TOLERANCE, ChangeTime, SWITCH_OVER, Timing};
pub use verifiers::{KNOWN_VERIFIERS, KnownVerifier, OnUnknownKid, verifiers_outpaced_by};
