//! A panic in the task that watches a certificate.

use std::sync::Arc;

use keywright::clock::Clock;
use keywright::http::{CertificateReloader, TlsFiles};
use keywright::supervision::supervise;
use keywright::telemetry::Metrics;

use crate::log::Log;
use crate::world::{BEGIN, SECOND, eventually, others};

fn certificate(year: i32) -> String {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    format!("{}{}", certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_panic_while_a_certificate_is_refused_does_not_keep_the_next_one_out() {
    let line = "certificate not replaced; the one before stays in use";
    let (log, _guard) = Log::panicking_at(line);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificate.pem");
    std::fs::write(&file, certificate(2040)).unwrap();
    let (clock, metrics) = (Clock::manual(BEGIN), Arc::<Metrics>::default());
    let files = TlsFiles {
        certificate: file.clone(),
        key: file.clone(),
        clients: None,
    };
    let renewal =
        CertificateReloader::start("internal", files, clock.clone(), Arc::clone(&metrics));
    let renewal = Arc::new(renewal.unwrap());
    let expiry = || {
        let shown = metrics.render();
        let name = "keywright_tls_certificate_expiry_seconds{listener=\"internal\"} ";
        let mut lines = shown.lines().filter_map(|line| line.strip_prefix(name));
        lines.next().unwrap().parse::<f64>().unwrap()
    };
    let until_2041 = expiry() + 365.0 * 86_400.0;
    let run = move || Arc::clone(&renewal).run();
    let task = tokio::spawn(supervise(
        "certificate-internal",
        clock.clone(),
        Arc::clone(&metrics),
        run,
    ));
    others().await;

    let restarts = || metrics.tasks().all()["certificate-internal"].restarts;
    std::fs::write(&file, "garbage").unwrap();
    clock.set(clock.now().after(SECOND));
    eventually("the panic", || restarts() == 1).await;
    assert_eq!(log.count(line), 1);
    std::fs::write(&file, certificate(2042)).unwrap();
    // The pause after the panic, and the one before the next look.
    for _ in 0..2 {
        clock.set(clock.now().after(SECOND));
        others().await;
    }
    eventually("the new certificate", || expiry() > until_2041).await;
    assert_eq!(restarts(), 1);
    task.abort();
}
