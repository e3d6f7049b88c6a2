//! What a route asks of a token beyond being good.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::axum::extract::Request;
use ::axum::response::Response;
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;

use super::Accepted;
use super::answer::Refusal;

/// A layer for a route: the token must allow what the route does.
///
/// It stands inside of an [`Authentication`](super::Authentication); without one nobody gets in.
#[derive(Clone, Debug)]
pub struct Guard(Demand);

#[derive(Clone, Debug)]
enum Demand {
    Scope(String),
    Claim { name: String, value: Value },
}

/// Asks for a scope, or for all of several with spaces between: `scope` of the token, a list of the
/// same form (RFC 8693 §4.2), must have each of them whole.
///
/// Without a scope in it nobody passes.
pub fn require_scope(scope: impl Into<String>) -> Guard {
    Guard(Demand::Scope(scope.into()))
}

/// Asks for a claim: it must be `value`, or an array that has it.
pub fn require_claim(name: impl Into<String>, value: impl Into<Value>) -> Guard {
    Guard(Demand::Claim {
        name: name.into(),
        value: value.into(),
    })
}

impl Guard {
    fn check(&self, claims: &Value) -> Result<(), Refusal> {
        match &self.0 {
            Demand::Scope(wanted) => {
                let granted = claims.get("scope").and_then(Value::as_str).unwrap_or("");
                let mut wanted_ones = scopes(wanted).peekable();
                let is_met = wanted_ones.peek().is_some()
                    && wanted_ones.all(|one| scopes(granted).any(|scope| scope == one));
                if !is_met {
                    return Err(Refusal::Scope(wanted.clone()));
                }
            }
            Demand::Claim { name, value } => {
                let is_met = match claims.get(name) {
                    Some(Value::Array(values)) => values.contains(value),
                    Some(one) => one == value,
                    None => false,
                };
                if !is_met {
                    return Err(Refusal::Claim(name.clone()));
                }
            }
        }
        Ok(())
    }
}

/// The scopes of a list with spaces between.
fn scopes(list: &str) -> impl Iterator<Item = &str> {
    list.split(' ').filter(|scope| !scope.is_empty())
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded {
            inner,
            guard: self.clone(),
        }
    }
}

/// What a [`Guard`] makes of a service.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (outcome, realm) = match request.extensions().get() {
            Some(Accepted { token, by }) => (self.guard.check(&token.claims), &*by.realm),
            None => (Err(Refusal::NoAuthentication), ""),
        };
        match outcome {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(refusal) => Box::pin(ready(Ok(refusal.answer(realm)))),
        }
    }
}
