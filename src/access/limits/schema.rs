//! A JSON Schema over the claims of a request.

mod cost;

use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::{LimitBroken, SHOWN};
use crate::access::claim_name::LimitedNames;

/// A JSON Schema (draft 2020-12) that the `claims` of a request must satisfy as a whole.
///
/// It refers to nothing outside itself and never back to what refers, and its patterns take time in
/// proportion to what they read. So the work of a check is bounded by the size of the schema, its
/// references replaced, times the size of the claims ([`ClaimsSchema::work`]).
#[derive(Clone)]
pub struct ClaimsSchema(Arc<Schema>);

struct Schema {
    document: Value,
    compiled: Result<Compiled, InvalidSchema>,
    names: LimitedNames,
    long_checks: Arc<Semaphore>,
}

struct Compiled {
    validator: Validator,
    /// Steps for each byte of claims.
    weight: u64,
}

/// Why a document is no such schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchema {
    /// It does not compile.
    #[error("it is no JSON Schema of draft 2020-12 that stands alone: {0}")]
    Uncompilable(String),
    /// It is too large.
    #[error("it has more than {LARGEST} bytes")]
    TooLarge,
    /// It refers to something that is not a place in it.
    #[error(
        "a $ref must be # and a JSON pointer into the schema, without percent signs; $dynamicRef, \
         $recursiveRef, and $id and $schema inside it are not taken"
    )]
    Reference,
    /// It refers back to itself.
    #[error("a $ref leads back to itself: a schema must not be recursive")]
    Cycle,
    /// With its references replaced it is too large.
    #[error(
        "with each $ref replaced by its target it is too large: its parts and a fourth of its \
         patterns' compiled bytes may come to {}, {} levels deep",
        cost::LARGEST_WEIGHT,
        cost::DEEPEST
    )]
    TooCostly,
}

/// The largest schema, in bytes of compact JSON.
const LARGEST: usize = 16 * 1024;

/// The most work of checking one request. Claims of 8 KiB always stay below it.
const MOST_WORK: u64 = 8 * 1024 * cost::LARGEST_WEIGHT;

/// The most work of checking all requests of a batch.
pub const MOST_WORK_OF_BATCH: u64 = 8 * MOST_WORK;

/// The most work that need not leave an async worker: about a millisecond at worst.
pub const LITTLE_WORK: u64 = 256 * 1024;

impl ClaimsSchema {
    /// Compiles a schema that an admin sets.
    ///
    /// # Errors
    /// [`InvalidSchema`].
    pub fn compile(document: Value) -> Result<Self, InvalidSchema> {
        let schema = Self::stored(document);
        match schema.fault() {
            None => Ok(schema),
            Some(fault) => Err(fault.clone()),
        }
    }

    /// Compiles a schema that the store has. One that an earlier version accepted and this one does
    /// not refuses all claims ([`ClaimsSchema::fault`]).
    pub fn stored(document: Value) -> Self {
        Self(Arc::new(Schema {
            compiled: compile(&document),
            names: LimitedNames::of_schema(&document),
            document,
            long_checks: Arc::new(Semaphore::new(1)),
        }))
    }

    /// The schema as it was given.
    pub fn document(&self) -> &Value {
        &self.0.document
    }

    /// Why it refuses all claims, if it does.
    pub fn fault(&self) -> Option<&InvalidSchema> {
        self.0.compiled.as_ref().err()
    }

    /// The names that it speaks of.
    pub fn names(&self) -> &LimitedNames {
        &self.0.names
    }

    /// The turn of a check that takes long: the client has one at a time.
    pub fn long_checks(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.long_checks)
    }

    /// The work of checking these claims, in steps of some nanoseconds in the worst case.
    pub fn work(&self, claims: &Map<String, Value>) -> u64 {
        let weight = self
            .0
            .compiled
            .as_ref()
            .map_or(0, |compiled| compiled.weight);
        weight.saturating_mul(size_of_members(claims))
    }

    /// Checks claims that one request has, and returns them. Takes their work from `budget`.
    ///
    /// # Errors
    /// [`LimitBroken`] when they do not fit the schema, or their work is over the budget or over what
    /// one request may take.
    pub fn check(
        &self,
        claims: Map<String, Value>,
        budget: &mut u64,
    ) -> Result<Map<String, Value>, LimitBroken> {
        let Ok(compiled) = &self.0.compiled else {
            let why = "no claims are taken until an admin has replaced the schema";
            return Err(broken(ALL, why));
        };
        let work = self.work(&claims);
        if work > MOST_WORK || work > *budget {
            return Err(broken(ALL, "they are too large for a schema of this size"));
        }
        *budget -= work;
        let claims = Value::Object(claims);
        if compiled.validator.is_valid(&claims) {
            return match claims {
                Value::Object(claims) => Ok(claims),
                _ => Err(broken(ALL, REFUSED)),
            };
        }
        if work > LITTLE_WORK {
            return Err(broken(ALL, REFUSED));
        }
        // To learn the place builds an error for each alternative, which takes more than the check.
        let place = match compiled.validator.validate(&claims) {
            Ok(()) => String::new(),
            // The place alone: the error's text repeats the schema and the value.
            Err(error) => {
                let place = error.instance_path().as_str();
                place.escape_default().take(SHOWN).collect()
            }
        };
        let place = if place.is_empty() { ALL } else { &place };
        Err(broken(place, REFUSED))
    }
}

/// What a refusal names if it names no place.
const ALL: &str = "claims";

const REFUSED: &str = "the schema refuses it";

fn broken(claim: &str, why: &'static str) -> LimitBroken {
    LimitBroken {
        claim: claim.to_owned(),
        rule: "claims_schema",
        why,
    }
}

fn compile(document: &Value) -> Result<Compiled, InvalidSchema> {
    if document.to_string().len() > LARGEST {
        return Err(InvalidSchema::TooLarge);
    }
    let weight = cost::weight(document)?;
    let mut standalone = document.clone();
    if let Value::Object(members) = &mut standalone {
        // Without a name of its own, `#` can mean no other document that the compiler knows.
        members.remove("$id");
        members.remove("$schema");
    }
    let validator = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex().size_limit(cost::largest_pattern()))
        .build(&standalone)
        .map_err(|error| {
            let why = error.to_string();
            InvalidSchema::Uncompilable(why.chars().take(200).collect())
        })?;
    Ok(Compiled { validator, weight })
}

/// The size of claims: one for each value, and the bytes of texts and names.
fn size(value: &Value) -> u64 {
    match value {
        Value::String(text) => text
            .len()
            .try_into()
            .map_or(u64::MAX, |bytes: u64| bytes + 1),
        Value::Array(entries) => entries.iter().map(size).sum::<u64>() + 1,
        Value::Object(members) => size_of_members(members),
        _ => 1,
    }
}

fn size_of_members(members: &Map<String, Value>) -> u64 {
    let of_member = |(name, value): (&String, &Value)| {
        let name = u64::try_from(name.len()).unwrap_or(u64::MAX);
        size(value).saturating_add(name)
    };
    members.iter().map(of_member).sum::<u64>() + 1
}

impl PartialEq for ClaimsSchema {
    fn eq(&self, other: &Self) -> bool {
        self.document() == other.document()
    }
}

impl fmt::Debug for ClaimsSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClaimsSchema")
            .field(self.document())
            .finish()
    }
}

#[cfg(test)]
mod tests;
