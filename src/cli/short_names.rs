//! What keys are called in tables and sentences.

use std::collections::{BTreeMap, BTreeSet};

const LENGTH: usize = 8;

/// The first eight characters of each kid where that tells them apart, else the whole kid.
pub(super) struct ShortNames(BTreeMap<String, String>);

impl ShortNames {
    /// Keys that do not exist yet have telling names, which stay whole.
    pub(super) fn of<'a>(kids: impl IntoIterator<Item = &'a str>) -> Self {
        let kids: BTreeSet<&str> = kids.into_iter().collect();
        let shorten = |kid: &str| kid.chars().take(LENGTH).collect::<String>();
        let mut bearers: BTreeMap<String, usize> = BTreeMap::new();
        for kid in &kids {
            *bearers.entry(shorten(kid)).or_default() += 1;
        }
        let names = kids.into_iter().map(|kid| {
            let short = shorten(kid);
            let unique = bearers.get(&short) == Some(&1);
            let name = if unique && !kid.starts_with("next-") {
                short
            } else {
                kid.to_owned()
            };
            (kid.to_owned(), name)
        });
        Self(names.collect())
    }

    pub(super) fn short<'a>(&'a self, kid: &'a str) -> &'a str {
        self.0.get(kid).map_or(kid, String::as_str)
    }
}
