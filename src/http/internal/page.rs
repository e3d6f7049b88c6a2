//! Pages: how long one is, and whether another follows.

use keywright_api::LARGEST_PAGE;

use crate::http::code::Code;
use crate::http::problem::Problem;

/// The most entries of a page when the caller says nothing.
const DEFAULT: usize = 100;

/// The most entries of one page.
#[derive(Clone, Copy)]
pub(super) struct PageLength(usize);

impl PageLength {
    /// What the caller asks for with `limit`.
    pub(super) fn of(limit: Option<usize>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(DEFAULT);
        match (1..=LARGEST_PAGE).contains(&limit) {
            true => Ok(Self(limit)),
            false => {
                let detail = format!("limit must lie between 1 and {LARGEST_PAGE}, not {limit}");
                Err(Problem::new(Code::InvalidQuery, detail))
            }
        }
    }

    pub(super) const fn get(self) -> usize {
        self.0
    }

    /// How many to look for, so that it is known whether more follow.
    pub(super) const fn and_one(self) -> usize {
        self.0 + 1
    }

    /// Cuts what was found to one page, and returns its last entry if more follow.
    pub(super) fn cut<T>(self, found: &mut Vec<T>) -> Option<&T> {
        let is_more = found.len() > self.0;
        found.truncate(self.0);
        found.last().filter(|_| is_more)
    }
}
