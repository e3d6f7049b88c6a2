//! What a route requires of a token, in addition to being valid.

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
use super::answer::{Challenges, Denial};

/// A layer for a route: the token must allow what the route does.
///
/// It must be inside of an [`Authentication`](super::Authentication); without one, every request is
/// refused.
#[derive(Clone, Debug)]
pub struct RequirementLayer(Requirement);

#[derive(Clone, Debug)]
enum Requirement {
    Scope(String),
    Claim { name: String, value: Value },
}

/// Asks for a scope, or for all of several with spaces between: `scope` of the token, a list of the
/// same form (RFC 8693 §4.2), must have each of them whole.
///
/// If `scope` is empty, every token is refused.
pub fn require_scope(scope: impl Into<String>) -> RequirementLayer {
    RequirementLayer(Requirement::Scope(scope.into()))
}

/// Asks for a claim: it must be `value`, or an array that has it.
pub fn require_claim(name: impl Into<String>, value: impl Into<Value>) -> RequirementLayer {
    RequirementLayer(Requirement::Claim {
        name: name.into(),
        value: value.into(),
    })
}

impl RequirementLayer {
    fn check(&self, claims: &Value) -> Result<(), Denial> {
        match &self.0 {
            Requirement::Scope(wanted) => {
                let granted = claims.get("scope").and_then(Value::as_str).unwrap_or("");
                let mut wanted_ones = scopes(wanted).peekable();
                let is_met = wanted_ones.peek().is_some()
                    && wanted_ones.all(|one| scopes(granted).any(|scope| scope == one));
                if !is_met {
                    return Err(Denial::Scope(wanted.clone()));
                }
            }
            Requirement::Claim { name, value } => {
                let is_met = match claims.get(name) {
                    Some(Value::Array(values)) => values.contains(value),
                    Some(one) => one == value,
                    None => false,
                };
                if !is_met {
                    return Err(Denial::Claim(name.clone()));
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

impl<S> Layer<S> for RequirementLayer {
    type Service = RequirementService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequirementService {
            inner,
            layer: self.clone(),
        }
    }
}

/// What a [`RequirementLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct RequirementService<S> {
    inner: S,
    layer: RequirementLayer,
}

impl<S> Service<Request> for RequirementService<S>
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
        let refusal = match request.extensions().get() {
            Some(Accepted { token, by }) => {
                let outcome = self.layer.check(&token.claims);
                outcome.err().map(|denial| by.answer(&denial))
            }
            None => Some(Denial::NoAuthentication.answer(&Challenges::default())),
        };
        match refusal {
            None => Box::pin(self.inner.call(request)),
            Some(response) => Box::pin(ready(Ok(response))),
        }
    }
}
