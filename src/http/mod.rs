//! Two listeners: `public` for verifiers, `internal` for everyone who signs, rotates and audits.
//!
//! This is the only place that knows HTTP, and `response` the only file with status codes.
//! Nothing that is answered derives from the `Host` header.

mod admission;
mod authentication;
mod body;
mod certificate_reload;
mod code;
mod computation;
mod connection;
mod connections;
mod in_process;
mod internal;
mod observed_request;
mod openapi;
mod problem;
mod public;
mod response;
mod server;
mod shown;
mod signing_call;
mod slots;
mod socket;
mod tls;

pub use admission::{AdmissionControl, AdmittedService, RequestLimits};
pub use certificate_reload::{CertificateReloader, Certificates};
pub use connection::Peer;
pub use connections::ConnectionLimits;
pub use in_process::{
    InProcessApi, InProcessRequest, read_answer, read_form, release_slot, take_slot_for_form,
};
pub use internal::router as internal_router;
pub use public::{MtlsEndpoints, Oauth, Public};
pub use server::{Limits, Listener, RequestHandler, Socket, serve};
pub use socket::{ListeningSocket, SocketFile};
pub use tls::{ClientCertificateMode, ClientRoots, TlsError, TlsFiles};
