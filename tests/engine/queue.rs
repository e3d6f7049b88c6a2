//! The queue before the signing threads: bounded, fair, and in order.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use keywright::engine::software::SoftwareEngine;
use keywright::engine::{SignError, Signer};
use keywright_verifier::Algorithm;

use crate::keys::{generate, open, rsa_pair, signing_inputs, verify};

/// The length of the queue, in signatures.
const QUEUE_LENGTH: usize = 2048;

type Completion = Pin<Box<dyn Future<Output = Result<Vec<String>, SignError>> + Send>>;

/// A signer with a queue of its own.
fn rsa_signer() -> Arc<dyn Signer> {
    open(&SoftwareEngine::start().unwrap(), rsa_pair())
}

fn rsa_inputs(count: usize) -> Vec<String> {
    signing_inputs(&rsa_pair().jwk, count)
}

/// Begins to sign, as far as that goes without waiting.
fn begin(signer: &Arc<dyn Signer>, inputs: Vec<String>) -> Completion {
    let signer = Arc::clone(signer);
    let mut completion: Completion = Box::pin(async move { signer.complete(inputs).await });
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(
        completion.as_mut().poll(&mut context),
        Poll::Pending
    ));
    completion
}

// Attack 69.
#[tokio::test]
async fn a_full_queue_is_busy_at_once_and_recovers() {
    let signer = rsa_signer();
    let full = begin(&signer, rsa_inputs(QUEUE_LENGTH));
    for _ in 0..100 {
        assert_eq!(signer.complete(rsa_inputs(1)).await, Err(SignError::Busy));
    }
    assert_eq!(full.await.unwrap().len(), QUEUE_LENGTH);
    assert_eq!(signer.complete(rsa_inputs(1)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_queue_that_is_full_of_rsa_does_not_stop_single_p256_signatures() {
    let engine = SoftwareEngine::start().unwrap();
    let rsa = open(&engine, rsa_pair());
    let pair = generate(Algorithm::Es256).await;
    let p256 = open(&engine, &pair);
    let _full = begin(&rsa, rsa_inputs(QUEUE_LENGTH));
    let inputs = signing_inputs(&pair.jwk, 1);
    assert_eq!(p256.complete(inputs).await.unwrap().len(), 1);
    let inputs = signing_inputs(&pair.jwk, 100);
    assert_eq!(p256.complete(inputs).await, Err(SignError::Busy));
}

#[tokio::test]
async fn a_request_that_is_given_up_frees_its_place() {
    let signer = rsa_signer();
    for _ in 0..20 {
        let given_up = begin(&signer, rsa_inputs(QUEUE_LENGTH));
        assert_eq!(signer.complete(rsa_inputs(1)).await, Err(SignError::Busy));
        drop(given_up);
    }
    let tokens = signer.complete(rsa_inputs(1)).await.unwrap();
    verify(&rsa_pair().jwk, &tokens[0], 0);
}

#[tokio::test]
async fn more_signatures_than_the_queue_takes_are_refused_at_once() {
    let signer = rsa_signer();
    let too_many = signer.complete(rsa_inputs(QUEUE_LENGTH + 1)).await;
    assert_eq!(too_many, Err(SignError::Busy));
    assert_eq!(signer.complete(rsa_inputs(1)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_of_a_thousand_comes_back_in_order() {
    let p256 = generate(Algorithm::Es256).await;
    let engine = SoftwareEngine::start().unwrap();
    for pair in [&p256, rsa_pair()] {
        let inputs = signing_inputs(&pair.jwk, 1000);
        let tokens = open(&engine, pair).complete(inputs.clone()).await.unwrap();
        assert_eq!(tokens.len(), 1000);
        for (number, (token, input)) in tokens.iter().zip(&inputs).enumerate() {
            assert!(token.starts_with(&format!("{input}.")), "{number}");
            if number % 97 == 0 {
                verify(&pair.jwk, token, number);
            }
        }
    }
}

#[tokio::test]
async fn a_batch_of_any_size_is_complete() {
    let pair = generate(Algorithm::Es256).await;
    let engine = SoftwareEngine::start().unwrap();
    for count in [2, 4, 5, 63, 64, 65, 128, 129] {
        let inputs = signing_inputs(&pair.jwk, count);
        let tokens = open(&engine, &pair).complete(inputs).await.unwrap();
        assert_eq!(tokens.len(), count);
        verify(&pair.jwk, &tokens[count - 1], count - 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_requests_take_turns_with_a_batch() {
    let signer = rsa_signer();
    let batch = begin(&signer, rsa_inputs(1000));
    let done = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&done);
    let batch = tokio::spawn(async move {
        let tokens = batch.await;
        watched.store(true, Ordering::SeqCst);
        tokens
    });
    for number in 0..10 {
        signer.complete(rsa_inputs(1)).await.unwrap();
        assert!(
            !done.load(Ordering::SeqCst),
            "request {number} waited for the whole batch"
        );
    }
    assert_eq!(batch.await.unwrap().unwrap().len(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_comes_later_does_not_wait_for_a_larger_one() {
    let signer = rsa_signer();
    let large = tokio::spawn(begin(&signer, rsa_inputs(1000)));
    let small = signer.complete(rsa_inputs(40)).await.unwrap();
    assert!(
        !large.is_finished(),
        "the small batch waited for the large one"
    );
    assert_eq!(small.len(), 40);
    assert_eq!(large.await.unwrap().unwrap().len(), 1000);
}
