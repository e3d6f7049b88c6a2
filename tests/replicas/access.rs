//! What must hold of all clients together, also when two processes change them at once.

use std::sync::Arc;

use keywright::access::certificate::CertificateRule;
use keywright::access::{Client, Limits, Role, Terms};
use keywright::authority::ChangeError;
use keywright::authority::audit::Actor;

use crate::world::{Process, World};

/// An administrator who comes in by a certificate.
fn admin(process: &Process, name: &str, certificate: &str) -> Client {
    let terms = Terms {
        name: name.to_owned(),
        roles: [Role::Admin].into(),
        limits: Limits::default(),
        certificates: vec![CertificateRule::Dns(certificate.to_owned())],
        workloads: Vec::new(),
        keys: None,
    };
    process.draft_client(terms).unwrap()
}

async fn admit(process: &Process, client: &Client) -> Result<(), ChangeError> {
    let authority: &Arc<_> = process;
    authority
        .admit_client(client.clone(), Actor::Bootstrap)
        .await
}

#[tokio::test]
async fn two_administrators_who_delete_each_other_leave_one() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    let (ann, bob) = (
        admin(&one, "ann", "ann.test"),
        admin(&one, "bob", "bob.test"),
    );
    admit(&one, &ann).await.unwrap();
    admit(&one, &bob).await.unwrap();
    two.catch_up().await.unwrap();
    one.delete_client(&bob.id, Actor::Bootstrap).await.unwrap();
    // The other process has not heard of it.
    let refused = two.delete_client(&ann.id, Actor::Bootstrap).await;
    assert!(matches!(refused, Err(ChangeError::Contended)));
    // It has now, without being told.
    let refused = two.delete_client(&ann.id, Actor::Bootstrap).await;
    assert!(matches!(refused, Err(ChangeError::LastAdmin)));
    assert_eq!(two.clients().all().len(), 1);
}

#[tokio::test]
async fn a_certificate_is_given_to_one_client_also_by_two_processes() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    let (ann, bob) = (admin(&one, "ann", "a.test"), admin(&two, "bob", "a.test"));
    admit(&one, &ann).await.unwrap();
    let refused = admit(&two, &bob).await;
    assert!(matches!(refused, Err(ChangeError::Contended)));
    let refused = admit(&two, &bob).await;
    assert!(matches!(refused, Err(ChangeError::CertificateTaken)));
}
