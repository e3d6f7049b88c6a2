//! What a caller expects of a record that it replaces (RFC 9110 §13.1.1).

/// A condition on the record as it is in the store when it is replaced. It is judged in the change,
/// not before: of two callers that have read the same record, one replaces it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// None: there may be any record, or no record.
    #[default]
    None,
    /// There is a record.
    Exists,
    /// There is a record, and its entity tag is one of these, which stand without quotation marks.
    OneOf(Vec<String>),
}

impl Precondition {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Whether a record with this entity tag fulfils it; `None` when there is no record.
    pub fn allows(&self, tag: Option<&str>) -> bool {
        match self {
            Self::None => true,
            Self::Exists => tag.is_some(),
            Self::OneOf(tags) => tag.is_some_and(|tag| tags.iter().any(|one| one == tag)),
        }
    }
}
