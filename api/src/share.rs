//! Shares of a whole, without fractions inside.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// A share of a whole as documents have it: a number more than 0 and at most 1, in steps of 0.0001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

/// Why a number is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a share is a number more than 0 and at most 1, with at most four decimals, such as 0.99")]
pub struct InvalidShare;

impl Share {
    /// The ten thousandths of a whole.
    pub const WHOLE: u16 = 10_000;

    /// The whole.
    pub const ALL: Self = Self(Self::WHOLE);

    /// A share of so many ten thousandths.
    ///
    /// # Errors
    /// [`InvalidShare`] for none, and for more than there are.
    pub const fn of_ten_thousand(parts: u16) -> Result<Self, InvalidShare> {
        match parts {
            1..=Self::WHOLE => Ok(Self(parts)),
            _ => Err(InvalidShare),
        }
    }

    /// How many ten thousandths of a whole it is.
    pub const fn ten_thousandths(self) -> u16 {
        self.0
    }

    fn as_number(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl fmt::Display for Share {
    /// In per cent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match (rest, rest % 10) {
            (0, _) => write!(f, "{whole} %"),
            (_, 0) => write!(f, "{whole}.{} %", rest / 10),
            _ => write!(f, "{whole}.{rest:02} %"),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_number())
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let is_it = |share: &Self| (share.as_number() - number).abs() < 1e-9;
        let share = (1..=Self::WHOLE).map(Self).find(is_it);
        share.ok_or_else(|| D::Error::custom(InvalidShare))
    }
}

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_share_is_read_as_it_is_written_and_shown_in_per_cent() {
        for (number, parts, shown) in [
            (json!(0.99), 9900, "99 %"),
            (json!(1), 10_000, "100 %"),
            (json!(0.0001), 1, "0.01 %"),
            (json!(0.005), 50, "0.5 %"),
            (json!(0.3333), 3333, "33.33 %"),
        ] {
            let share: Share = serde_json::from_value(number.clone()).unwrap();
            assert_eq!(share.ten_thousandths(), parts);
            assert_eq!(share.to_string(), shown);
            let written = serde_json::to_value(share).unwrap();
            assert_eq!(written.as_f64(), number.as_f64());
        }
        for wrong in [
            json!(0),
            json!(-1),
            json!(1.0001),
            json!(0.00001),
            json!("1"),
        ] {
            assert!(serde_json::from_value::<Share>(wrong).is_err());
        }
        for parts in 1..=Share::WHOLE {
            let share = Share::of_ten_thousand(parts).unwrap();
            let text = serde_json::to_string(&share).unwrap();
            assert_eq!(serde_json::from_str::<Share>(&text).unwrap(), share);
        }
        assert_eq!(Share::of_ten_thousand(0), Err(InvalidShare));
        assert_eq!(Share::of_ten_thousand(10_001), Err(InvalidShare));
    }
}
