//! Transaction tokens (draft-ietf-oauth-transaction-tokens-10): what one call from outside may make the
//! services of a trust domain do, for as long as the call takes.

use std::time::Duration;

use keywright_verifier::json;
use serde_json::{Map, Value};

use crate::access::Client;
use crate::oauth::{Form, FormError};

/// Their `typ`. Nothing else that the service signs has it.
pub const TRANSACTION_TOKEN: &str = "txntoken+jwt";

/// The most bytes of `request_details`, and of `request_context`.
pub(in crate::oauth) const LARGEST_CONTEXT: usize = 2048;

/// The most arrays and objects in one another in them.
const DEEPEST_CONTEXT: usize = 8;

/// What a request says of its transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TransactionContext {
    /// `request_details`: what is to be done, for `tctx`.
    details: Option<Value>,
    /// `request_context`: where the call came from, for `rctx`.
    context: Option<Value>,
}

impl TransactionContext {
    /// The longest life of a transaction token.
    pub const LONGEST_LIFE: Duration = Duration::from_secs(300);

    /// Reads what a form says.
    ///
    /// # Errors
    /// [`FormError::NoObject`].
    pub fn of(form: &Form) -> Result<Self, FormError> {
        let object = |name: &'static str| {
            let read = |text: &str| object_of(text).ok_or(FormError::NoObject(name));
            form.get(name).map(read).transpose()
        };
        Ok(Self {
            details: object("request_details")?,
            context: object("request_context")?,
        })
    }

    /// The claims of a transaction token that other tokens do not have.
    pub(super) fn claims(self, client: &Client, transaction: String) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("txn".to_owned(), transaction.into());
        claims.insert("req_wl".to_owned(), client.id.as_str().into());
        for (name, value) in [("tctx", self.details), ("rctx", self.context)] {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value);
            }
        }
        claims
    }
}

/// A JSON object that is not too large.
fn object_of(text: &str) -> Option<Value> {
    if text.len() > LARGEST_CONTEXT {
        return None;
    }
    let value = json::parse(text.as_bytes(), DEEPEST_CONTEXT).ok()?;
    value.is_object().then_some(value)
}
