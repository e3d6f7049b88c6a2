//! What checking claims against a schema can cost, found out before the schema is compiled.
//!
//! A schema without a cycle is a tree once its references are replaced by what they refer to, and
//! each node of that tree is applied at most once to each value of the claims. So the size of the
//! tree, times the size of the claims, bounds the time of a check.

use std::collections::HashMap;

use jsonschema::PatternOptions;
use serde_json::Value;

use super::InvalidSchema;

/// The most nodes of a schema whose references are replaced, in units of [`weight`]. A schema of
/// the largest size that has no reference and no pattern always fits.
pub(super) const LARGEST_WEIGHT: u64 = 16 * 1024;

/// The most nodes that are looked at to weigh a schema: also those of `$defs` that nothing refers to.
const MOST_VISITS: u64 = 8 * LARGEST_WEIGHT;

/// The deepest such schema, in levels of JSON and references. Compiling it takes stack.
pub(super) const DEEPEST: usize = 128;

/// The weight of each KiB of a compiled pattern: in its worst case, a pattern looks at all of its
/// states for each byte.
const WEIGHT_OF_PATTERN: u64 = 4;

/// The sizes of compiled patterns that are told apart, in KiB. The last one is the largest.
const PATTERN_SIZES: [u64; 6] = [1, 4, 16, 64, 256, 1024];

/// The keywords whose schemas are applied only where something refers to them.
const UNAPPLIED: [&str; 2] = ["$defs", "definitions"];

/// The keywords whose schemas are not applied again to find out what is evaluated: the names and the
/// numbers beside them tell.
const UNMARKED: [&str; 7] = [
    "additionalProperties",
    "const",
    "enum",
    "not",
    "patternProperties",
    "properties",
    "propertyNames",
];

/// The keywords whose members are named by the author of the schema, and are no keywords.
const MAPS: [&str; 5] = [
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// How many steps a check takes for each byte of claims, in the worst case. A step takes some
/// nanoseconds.
///
/// Every member and entry counts, known or not, so that no spelling of a schema can hide a part of
/// it. What makes a reference mean something else than a place in this
/// document is refused: `$dynamicRef`, `$recursiveRef`, and `$id` and `$schema` inside.
///
/// # Errors
/// [`InvalidSchema`] when a reference leads elsewhere or back to itself, or the weight is over
/// [`LARGEST_WEIGHT`].
pub(super) fn weight(document: &Value) -> Result<u64, InvalidSchema> {
    let mut expansion = Expansion {
        document,
        open_references: Vec::new(),
        pattern_weights: HashMap::new(),
        visits: 0,
    };
    let cost = expansion.cost_of(document, Position::Schema, 0)?;
    if cost.check > LARGEST_WEIGHT {
        return Err(InvalidSchema::TooCostly);
    }
    Ok(cost.check)
}

/// The compiled size that a pattern may have at most, in bytes.
pub(super) fn largest_pattern() -> usize {
    let [.., largest] = PATTERN_SIZES;
    kibibytes(largest)
}

fn kibibytes(count: u64) -> usize {
    usize::try_from(count * 1024).unwrap_or(usize::MAX)
}

/// Steps for each byte of claims.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// To check a value.
    check: u64,
    /// To find out which of its parts are evaluated, for an `unevaluatedProperties` or
    /// `unevaluatedItems` around: that checks every subschema again, at every level.
    mark: u64,
}

/// What the members of an object are.
#[derive(Clone, Copy)]
enum Position {
    /// Keywords.
    Schema,
    /// Schemas by name.
    Map,
}

/// A schema while its references are being replaced.
struct Expansion<'d> {
    document: &'d Value,
    /// The references whose targets are being visited, from the outside in.
    open_references: Vec<&'d str>,
    pattern_weights: HashMap<&'d str, u64>,
    /// The nodes that have been looked at.
    visits: u64,
}

impl<'d> Expansion<'d> {
    fn cost_of(
        &mut self,
        node: &'d Value,
        position: Position,
        depth: usize,
    ) -> Result<Cost, InvalidSchema> {
        self.visits += 1;
        if self.visits > MOST_VISITS || depth > DEEPEST {
            return Err(InvalidSchema::TooCostly);
        }
        let mut parts = Cost::default();
        let mut unevaluated = 0;
        match node {
            Value::Array(entries) => {
                for entry in entries {
                    parts.add(self.cost_of(entry, position, depth + 1)?);
                }
            }
            Value::Object(members) => {
                for (name, value) in members {
                    let is_keyword = matches!(position, Position::Schema);
                    let is_map = is_keyword && MAPS.contains(&name.as_str());
                    let inside = if is_map {
                        Position::Map
                    } else {
                        Position::Schema
                    };
                    let part = self.cost_of(value, inside, depth + 1)?;
                    if is_keyword && UNMARKED.contains(&name.as_str()) {
                        parts.check = parts.check.saturating_add(part.check);
                    } else if !is_keyword || !UNAPPLIED.contains(&name.as_str()) {
                        parts.add(part);
                    }
                    parts.add(self.cost_of_keyword(name, value, depth)?);
                    unevaluated += u64::from(name.starts_with("unevaluated"));
                }
            }
            _ => {}
        }
        let marks = parts.mark.saturating_mul(unevaluated);
        Ok(Cost {
            check: parts.check.saturating_add(marks).saturating_add(1),
            mark: parts.mark,
        })
    }

    /// What a member costs beyond its value.
    fn cost_of_keyword(
        &mut self,
        name: &'d str,
        value: &'d Value,
        depth: usize,
    ) -> Result<Cost, InvalidSchema> {
        match (name, value) {
            ("$ref", Value::String(reference)) => self.cost_of_target(reference, depth),
            ("$dynamicRef" | "$recursiveRef", Value::String(_)) => Err(InvalidSchema::Reference),
            ("$id" | "$schema", Value::String(_)) if depth > 0 => Err(InvalidSchema::Reference),
            ("pattern", Value::String(pattern)) => self.cost_of_pattern(pattern),
            ("patternProperties", Value::Object(patterns)) => {
                let mut cost = Cost::default();
                for pattern in patterns.keys() {
                    cost.add(self.cost_of_pattern(pattern)?);
                }
                Ok(cost)
            }
            _ => Ok(Cost::default()),
        }
    }

    fn cost_of_target(&mut self, reference: &'d str, depth: usize) -> Result<Cost, InvalidSchema> {
        if self.open_references.contains(&reference) {
            return Err(InvalidSchema::Cycle);
        }
        // Without `%` there is one way to read a fragment as a pointer (RFC 6901 §6).
        let pointer = reference
            .strip_prefix('#')
            .filter(|pointer| !pointer.contains('%'));
        let target = pointer.and_then(|pointer| self.document.pointer(pointer));
        let target = target.ok_or(InvalidSchema::Reference)?;
        self.open_references.push(reference);
        let cost = self.cost_of(target, Position::Schema, depth + 1)?;
        self.open_references.pop();
        Ok(cost)
    }

    /// A pattern that does not compile weighs nothing here: it is refused when the schema compiles,
    /// or it is no pattern there.
    fn cost_of_pattern(&mut self, pattern: &'d str) -> Result<Cost, InvalidSchema> {
        let cost = |check| Cost { check, mark: 0 };
        if let Some(weight) = self.pattern_weights.get(pattern) {
            return Ok(cost(*weight));
        }
        if self.pattern_weights.values().sum::<u64>() > LARGEST_WEIGHT {
            return Err(InvalidSchema::TooCostly);
        }
        let schema = serde_json::json!({ "pattern": pattern });
        let fits = |size: &u64| {
            let options = PatternOptions::regex().size_limit(kibibytes(*size));
            let options = jsonschema::options().with_pattern_options(options);
            options.build(&schema).is_ok()
        };
        let size = PATTERN_SIZES.into_iter().find(fits);
        let weight = size.map_or(0, |size| size * WEIGHT_OF_PATTERN);
        self.pattern_weights.insert(pattern, weight);
        Ok(cost(weight))
    }
}

impl Cost {
    /// Adds a part of a schema. To mark what a part evaluates, it is checked first.
    fn add(&mut self, part: Self) {
        self.check = self.check.saturating_add(part.check);
        self.mark = self
            .mark
            .saturating_add(part.check)
            .saturating_add(part.mark);
    }
}
