//! A route: its path, and for each method its class, what answers and what describes it.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use axum::{Extension, Router};
use tower::util::MapResponseLayer;

use crate::authority::Authority;
use crate::http::openapi::{Describe, Described};
use crate::http::problem::Problem;
use crate::http::slots::RouteClass;

/// The path of the route that has answered, with names in braces; in the extensions of an answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct MatchedRoute(pub(in crate::http) &'static str);

/// A path of the internal listener. There is no way to add a method without a class and a
/// description.
pub(super) struct Route {
    path: &'static str,
    methods: MethodRouter<Arc<Authority>>,
    operations: Vec<(Method, Describe)>,
}

impl Route {
    /// A path that takes nothing yet.
    pub(super) fn new(path: &'static str) -> Self {
        Self {
            path,
            methods: MethodRouter::new(),
            operations: Vec::new(),
        }
    }

    /// It takes GET, and with it HEAD.
    pub(super) fn get<H, T>(self, class: RouteClass, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, Arc<Authority>>,
        T: 'static,
    {
        self.on(MethodFilter::GET, Method::GET, class, handler, describe)
    }

    /// It takes POST.
    pub(super) fn post<H, T>(self, class: RouteClass, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, Arc<Authority>>,
        T: 'static,
    {
        self.on(MethodFilter::POST, Method::POST, class, handler, describe)
    }

    /// It takes PUT.
    pub(super) fn put<H, T>(self, class: RouteClass, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, Arc<Authority>>,
        T: 'static,
    {
        self.on(MethodFilter::PUT, Method::PUT, class, handler, describe)
    }

    /// It takes PATCH.
    pub(super) fn patch<H, T>(self, class: RouteClass, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, Arc<Authority>>,
        T: 'static,
    {
        self.on(MethodFilter::PATCH, Method::PATCH, class, handler, describe)
    }

    /// It takes DELETE.
    pub(super) fn delete<H, T>(self, class: RouteClass, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, Arc<Authority>>,
        T: 'static,
    {
        self.on(
            MethodFilter::DELETE,
            Method::DELETE,
            class,
            handler,
            describe,
        )
    }

    fn on<H, T>(
        mut self,
        filter: MethodFilter,
        method: Method,
        class: RouteClass,
        handler: H,
        describe: Describe,
    ) -> Self
    where
        H: Handler<T, Arc<Authority>>,
        T: 'static,
    {
        self.methods = self.methods.on(filter, handler.layer(Extension(class)));
        self.operations.push((method, describe));
        self
    }

    /// Puts the route into a router. Every other method is answered with those that it takes.
    pub(super) fn enter(self, router: Router<Arc<Authority>>) -> Router<Arc<Authority>> {
        let allowed: Arc<str> = self.allowed().into();
        let refuse = move || std::future::ready(Problem::method_not_allowed(&allowed));
        let matched = MatchedRoute(self.path);
        let name = MapResponseLayer::new(move |mut response: Response| {
            response.extensions_mut().insert(matched);
            response
        });
        router.route(self.path, self.methods.fallback(refuse).layer(name))
    }

    /// The operations, described.
    pub(super) fn described(&self) -> impl Iterator<Item = Described> {
        self.operations.iter().map(|(method, describe)| Described {
            path: self.path.to_owned(),
            method: method.clone(),
            operation: describe(),
        })
    }

    /// The value of `Allow`.
    fn allowed(&self) -> String {
        let names = self.operations.iter().map(|(method, _)| match *method {
            Method::GET => "GET, HEAD",
            ref other => other.as_str(),
        });
        names.collect::<Vec<_>>().join(", ")
    }
}
