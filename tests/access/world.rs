//! An authority in memory, with a clock that the test turns.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use keywright::access::{Client, Terms};
use keywright::authority::audit::Actor;
use keywright::authority::authentication::{
    Caller, Proof, RequestCredentials, TrustedIssuers, Unauthenticated,
};
use keywright::authority::issuer::Issuer;
use keywright::authority::lease::Lease;
use keywright::authority::push::PushTargets;
use keywright::authority::revocations::RevocationSecret;
use keywright::authority::signing::{SignRefusal, SignRequest, SignedToken, Uses, sign};
use keywright::authority::status_lists::StatusSecrets;
use keywright::authority::{Authority, IssuerSet, Services};
use keywright::clock::Clock;
use keywright::engine::software::SoftwareEngine;
use keywright::engine::{Entropy, SigningEngine};
use keywright::http::internal_router;
use keywright::lifecycle::{IssuerName, Policy, Timestamp};
use keywright::store::Store;
use keywright::store::memory::MemoryStore;
use keywright::store::seal::{MasterKey, MasterKeys};
use keywright::telemetry::{Metrics, Tracer};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

/// When every world begins.
pub const BEGIN: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub struct World {
    pub authority: Arc<Authority>,
    pub store: Arc<dyn Store>,
    pub clock: Clock,
}

/// What a world is made of.
pub struct Setup {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub engine: Arc<dyn SigningEngine>,
    pub entropy: Entropy,
    pub master_keys: MasterKeys,
}

impl Setup {
    /// The parts of which most worlds are made.
    pub fn on(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            engine: Arc::new(SoftwareEngine::start().unwrap()),
            entropy: Entropy::system(),
            master_keys: MasterKeys::of(master_key(7)),
        }
    }
}

/// A master key of this byte alone.
pub fn master_key(byte: u8) -> MasterKey {
    MasterKey::new(&zeroize::Zeroizing::new([byte; 32])).unwrap()
}

impl World {
    pub async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::default()), Clock::manual(BEGIN)).await
    }

    /// A world on what the store has.
    pub async fn on(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self::of(Setup::on(store, clock)).await
    }

    /// A world of these parts.
    pub async fn of(setup: Setup) -> Self {
        let Setup {
            store,
            clock,
            engine,
            entropy,
            master_keys,
        } = setup;
        let services = Services {
            entropy,
            store: Arc::clone(&store),
            engine,
            master_keys,
            lease: Arc::new(Lease::on(&*store, clock.clone(), Duration::from_secs(30))),
            clock: clock.clone(),
            metrics: Arc::new(Metrics::default()),
            tracer: Tracer::default(),
            trusted: TrustedIssuers::default(),
            audience: None,
            oauth: keywright::oauth::Endpoints::Off,
            grants: keywright::oauth::grant::GrantSettings::default(),
            push: PushTargets::default(),
            issuance_log: None,
            revocation_secret: RevocationSecret::default(),
            status_secrets: StatusSecrets::default(),
            identity: Map::new(),
        };
        let authority = Arc::new(Authority::start(services).await.unwrap());
        Self {
            authority,
            store,
            clock,
        }
    }

    /// The same deployment after a restart.
    pub async fn restarted(self) -> Self {
        Self::on(self.store, self.clock).await
    }

    /// An issuer with this policy beside its URL.
    pub async fn issuer(&self, name: &str, changes: Value) -> Arc<Issuer> {
        let name = IssuerName::parse(name).unwrap();
        let set = self.set_issuer(&name, policy(name.as_str(), changes)).await;
        let (IssuerSet::Created(issuer) | IssuerSet::Replaced(issuer)) = set else {
            panic!("the policy waits for a second person");
        };
        issuer
    }

    async fn set_issuer(&self, name: &IssuerName, policy: Policy) -> IssuerSet {
        let set = self
            .authority
            .set_issuer(name, policy, None, Actor::Bootstrap);
        set.await
            .unwrap_or_else(|error| panic!("the issuer: {error}"))
    }

    /// A client with a credential, and the credential.
    pub async fn client(&self, document: Value) -> (String, String) {
        let mut client = self.authority.draft_client(terms(document)).unwrap();
        let issued = self.authority.draft_credential(&client.id, None).unwrap();
        client.credentials.push(issued.record);
        let id = client.id.clone();
        let admitted = self.authority.admit_client(client, Actor::Bootstrap).await;
        admitted.unwrap();
        (id, issued.credential.reveal().to_owned())
    }

    pub async fn admit(&self, credential: &str) -> Result<Caller, Unauthenticated> {
        let presented = RequestCredentials {
            proof: Some(Proof::Bearer(credential)),
            ..RequestCredentials::default()
        };
        self.authority.admit(presented).await
    }
}

pub fn policy(name: &str, changes: Value) -> Policy {
    let mut document = json!({
        "url": format!("https://id.example.com/{name}"),
        "algorithms": ["ES256"],
    });
    let members = document.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    Policy::from_document(document, &keywright::lifecycle::Timing::single()).unwrap()
}

/// Terms of the role `issuer` unless the document says otherwise.
pub fn terms(document: Value) -> Terms {
    let mut members = json!({"name": "a client", "roles": ["issuer"]});
    let changes = document.as_object().unwrap().clone();
    members.as_object_mut().unwrap().extend(changes);
    Terms::from_document(members).unwrap_or_else(|error| panic!("{error}"))
}

/// A request as its JSON document has it.
pub fn sign_request(document: &Value) -> SignRequest<'static> {
    let text = |member: &str| document[member].as_str();
    SignRequest {
        claims: document["claims"].as_object().unwrap().clone().into(),
        expires_in: document["expires_in"].as_u64(),
        typ: text("typ").map(|typ| typ.to_owned().into()),
        algorithm: text("alg").map(|name| name.parse().unwrap()),
        origin: None,
        confirmation: None,
        uses: Uses::Unlimited,
        status: None,
    }
}

pub async fn signs(
    issuer: &Issuer,
    client: &Client,
    document: &Value,
) -> Result<SignedToken, SignRefusal> {
    sign(&issuer.leased_snapshot(), client, sign_request(document)).await
}

/// The internal API without a connection.
#[derive(Clone)]
pub struct Api(Router);

impl Api {
    pub fn of(world: &World) -> Self {
        Self(internal_router(Arc::clone(&world.authority)))
    }

    /// The status and the document of an answer.
    pub async fn call(&self, credential: &str, call: &str, body: &Value) -> (u16, Value) {
        let (status, _, document) = self.answer(credential, call, body).await;
        (status, document)
    }

    /// `call` is a method and a path under `/v1`.
    pub async fn answer(
        &self,
        credential: &str,
        call: &str,
        body: &Value,
    ) -> (u16, HeaderMap, Value) {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1{path}"))
            .header("authorization", format!("Bearer {credential}"));
        let mut content = Body::empty();
        if !body.is_null() {
            request = request.header("content-type", "application/json");
            content = Body::from(body.to_string());
        }
        let request = request.body(content).unwrap();
        let (head, body) = self.0.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let document = serde_json::from_slice(&bytes).unwrap_or_default();
        (head.status.as_u16(), head.headers, document)
    }
}
