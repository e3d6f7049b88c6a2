//! The state of a key as it is stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lifecycle::{
    Active, Canary, Copies, Pending, Removed, Retired, Revoked, State, Timestamp, Visibility,
};

/// Instants and lengths in milliseconds. Each member is always written, `null` where there is no
/// such instant: a pending key whose record had lost `missing_until` would sign at once.
#[derive(Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum StateDocument {
    Pending {
        /// `null` when the key was in the first set.
        #[serde(deserialize_with = "present")]
        missing_until: Option<u64>,
        /// Absent where no copy is known that lacks the key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copies: Option<CopiesDocument>,
    },
    /// Versions that know no canary do not read it: they would let it sign nothing, or everything.
    Canary {
        started_at: u64,
        counted_from: u64,
        longest_ttl: u64,
        widest_skew: u64,
    },
    Active {
        activated_at: u64,
        /// `activated_at` in records of before it was kept.
        #[serde(default)]
        scheduled_from: Option<u64>,
        longest_ttl: u64,
        widest_skew: u64,
    },
    Retired {
        #[serde(deserialize_with = "present")]
        activated_at: Option<u64>,
        retired_at: u64,
        tokens_until: u64,
        published_until: u64,
    },
    Removed {
        #[serde(deserialize_with = "present")]
        activated_at: Option<u64>,
        retired_at: u64,
        removed_at: u64,
        /// Absent in records of before it was kept.
        #[serde(default)]
        published_until: Option<u64>,
    },
    Revoked {
        #[serde(deserialize_with = "present")]
        activated_at: Option<u64>,
        #[serde(deserialize_with = "present")]
        retired_at: Option<u64>,
        revoked_at: u64,
        /// Absent in records of before it was kept.
        #[serde(default)]
        published_until: Option<u64>,
        reason: String,
    },
}

/// What is known of the copies of the set. Instants in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum CopiesDocument {
    Unconfirmed { since: u64 },
    Confirmed { since: u64, missing_until: u64 },
}

/// Reads what may be `null` but not absent, as serde otherwise lets an `Option` be.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::deserialize(deserializer)
}

impl From<&State> for StateDocument {
    fn from(state: &State) -> Self {
        let millis = |instant: Option<Timestamp>| instant.map(Timestamp::millis);
        match state {
            State::Pending(Pending { visibility, copies }) => Self::Pending {
                missing_until: match visibility {
                    Visibility::SinceFirstSet => None,
                    Visibility::MissingUntil(until) => Some(until.millis()),
                },
                copies: match copies {
                    Copies::NoneWithout => None,
                    Copies::Unconfirmed { since } => Some(CopiesDocument::Unconfirmed {
                        since: since.millis(),
                    }),
                    Copies::Confirmed {
                        since,
                        missing_until,
                    } => Some(CopiesDocument::Confirmed {
                        since: since.millis(),
                        missing_until: missing_until.millis(),
                    }),
                },
            },
            State::Canary(Canary {
                started_at,
                counted_from,
                longest_ttl,
                widest_skew,
            }) => Self::Canary {
                started_at: started_at.millis(),
                counted_from: counted_from.millis(),
                longest_ttl: u64::try_from(longest_ttl.as_millis()).unwrap_or(u64::MAX),
                widest_skew: u64::try_from(widest_skew.as_millis()).unwrap_or(u64::MAX),
            },
            State::Active(Active {
                activated_at,
                scheduled_from,
                longest_ttl,
                widest_skew,
            }) => Self::Active {
                activated_at: activated_at.millis(),
                scheduled_from: Some(scheduled_from.millis()),
                longest_ttl: u64::try_from(longest_ttl.as_millis()).unwrap_or(u64::MAX),
                widest_skew: u64::try_from(widest_skew.as_millis()).unwrap_or(u64::MAX),
            },
            State::Retired(Retired {
                activated_at,
                retired_at,
                tokens_until,
                published_until,
            }) => Self::Retired {
                activated_at: millis(*activated_at),
                retired_at: retired_at.millis(),
                tokens_until: tokens_until.millis(),
                published_until: published_until.millis(),
            },
            State::Removed(Removed {
                activated_at,
                retired_at,
                removed_at,
                published_until,
            }) => Self::Removed {
                activated_at: millis(*activated_at),
                retired_at: retired_at.millis(),
                removed_at: removed_at.millis(),
                published_until: millis(*published_until),
            },
            State::Revoked(Revoked {
                activated_at,
                retired_at,
                revoked_at,
                published_until,
                reason,
            }) => Self::Revoked {
                activated_at: millis(*activated_at),
                retired_at: millis(*retired_at),
                revoked_at: revoked_at.millis(),
                published_until: millis(*published_until),
                reason: reason.clone(),
            },
        }
    }
}

impl From<StateDocument> for State {
    fn from(document: StateDocument) -> Self {
        let instant = Timestamp::from_millis;
        match document {
            StateDocument::Pending {
                missing_until,
                copies,
            } => Self::Pending(Pending {
                visibility: missing_until.map_or(Visibility::SinceFirstSet, |until| {
                    Visibility::MissingUntil(instant(until))
                }),
                copies: match copies {
                    None => Copies::NoneWithout,
                    Some(CopiesDocument::Unconfirmed { since }) => Copies::Unconfirmed {
                        since: instant(since),
                    },
                    Some(CopiesDocument::Confirmed {
                        since,
                        missing_until,
                    }) => Copies::Confirmed {
                        since: instant(since),
                        missing_until: instant(missing_until),
                    },
                },
            }),
            StateDocument::Canary {
                started_at,
                counted_from,
                longest_ttl,
                widest_skew,
            } => Self::Canary(Canary {
                started_at: instant(started_at),
                counted_from: instant(counted_from),
                longest_ttl: Duration::from_millis(longest_ttl),
                widest_skew: Duration::from_millis(widest_skew),
            }),
            StateDocument::Active {
                activated_at,
                scheduled_from,
                longest_ttl,
                widest_skew,
            } => Self::Active(Active {
                activated_at: instant(activated_at),
                scheduled_from: instant(scheduled_from.unwrap_or(activated_at)),
                longest_ttl: Duration::from_millis(longest_ttl),
                widest_skew: Duration::from_millis(widest_skew),
            }),
            StateDocument::Retired {
                activated_at,
                retired_at,
                tokens_until,
                published_until,
            } => Self::Retired(Retired {
                activated_at: activated_at.map(instant),
                retired_at: instant(retired_at),
                tokens_until: instant(tokens_until),
                published_until: instant(published_until),
            }),
            StateDocument::Removed {
                activated_at,
                retired_at,
                removed_at,
                published_until,
            } => Self::Removed(Removed {
                activated_at: activated_at.map(instant),
                retired_at: instant(retired_at),
                removed_at: instant(removed_at),
                published_until: published_until.map(instant),
            }),
            StateDocument::Revoked {
                activated_at,
                retired_at,
                revoked_at,
                published_until,
                reason,
            } => Self::Revoked(Revoked {
                activated_at: activated_at.map(instant),
                retired_at: retired_at.map(instant),
                revoked_at: instant(revoked_at),
                published_until: published_until.map(instant),
                reason,
            }),
        }
    }
}
