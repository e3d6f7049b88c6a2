//! TLS between keywright and the database: what a URL asks for is what it gets.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use crate::conformance::open_database;
use crate::rows::{StoreCalls as _, commit};
use crate::support::postgres::{PASSWORD, Postgres, ROLE};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "a test");
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn file(folder: &Path, name: &str, contents: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, contents).unwrap();
    path.display().to_string()
}

/// Opens a store and answers whether the database sees it encrypted, or what is wrong.
async fn open(server: &Postgres, host: &str, parameters: &str) -> Result<bool, String> {
    let database = server.create_database();
    let port = server.port();
    let url = format!("postgres://{ROLE}:{PASSWORD}@{host}:{port}/{database}?{parameters}");
    let store = open_database(&url)
        .await
        .map_err(|error| error.to_string())?;
    store.commit(commit("a", 1)).await.unwrap();
    let encrypted = format!(
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    );
    Ok(server.psql(&database, &encrypted).trim() == "t")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_is_as_careful_as_it_says() {
    let Some(server) = Postgres::start("") else {
        return;
    };
    // This machine, too, but not by an address that can be no other's.
    let elsewhere = "0.0.0.0";
    let told = open(&server, elsewhere, "").await.unwrap_err();
    assert!(told.contains("TLS"), "{told}");
    assert_eq!(open(&server, "localhost", "").await, Ok(false));
    assert_eq!(open(&server, elsewhere, "sslmode=disable").await, Ok(false));
    for mode in ["require", "verify-ca", "verify-full"] {
        let told = open(&server, "localhost", &format!("sslmode={mode}")).await;
        assert!(told.is_err(), "{mode} without TLS");
    }

    let (own, other) = (Authority::new(), Authority::new());
    let (certificate, key) = own.issue("localhost");
    server.reconfigure(
        &[("server.crt", &certificate), ("server.key", &key)],
        "ssl = on",
    );
    let folder = TempDir::new().unwrap();
    let root = file(folder.path(), "own.pem", &own.certificate);
    let other_root = file(folder.path(), "other.pem", &other.certificate);
    let known = format!("sslrootcert={root}");
    let unknown = format!("sslrootcert={other_root}");
    for (host, parameters, expected) in [
        ("localhost", String::new(), true),
        ("localhost", "sslmode=prefer".to_owned(), true),
        ("localhost", "sslmode=require".to_owned(), true),
        ("localhost", format!("sslmode=verify-full&{known}"), true),
        ("localhost", format!("sslmode=verify-ca&{known}"), true),
        ("127.0.0.1", format!("sslmode=verify-ca&{known}"), true),
        ("localhost", format!("sslmode=require&{known}"), true),
        // Another name than the certificate's.
        ("127.0.0.1", format!("sslmode=verify-full&{known}"), false),
        // A root that no setting names.
        ("localhost", "sslmode=verify-full".to_owned(), false),
        ("localhost", format!("sslmode=verify-full&{unknown}"), false),
        ("localhost", format!("sslmode=verify-ca&{unknown}"), false),
        ("localhost", format!("sslmode=require&{unknown}"), false),
        // What is elsewhere proves its name without being asked to.
        (elsewhere, String::new(), false),
        (elsewhere, unknown.clone(), false),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=/nowhere".to_owned(),
            false,
        ),
    ] {
        match open(&server, host, &parameters).await {
            Ok(encrypted) => assert!(expected && encrypted, "{host} {parameters}"),
            Err(told) => assert!(!expected, "{host} {parameters}: {told}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_opens_what_a_password_does_not() {
    let Some(server) = Postgres::start("") else {
        return;
    };
    let (own, other) = (Authority::new(), Authority::new());
    let (certificate, key) = own.issue("localhost");
    server.reconfigure(
        &[
            ("server.crt", &certificate),
            ("server.key", &key),
            ("clients.crt", &own.certificate),
            (
                "pg_hba.conf",
                "local all all trust\nhostssl all all all cert\n",
            ),
        ],
        "ssl = on\nssl_ca_file = 'clients.crt'",
    );
    let folder = TempDir::new().unwrap();
    let root = file(folder.path(), "own.pem", &own.certificate);
    let with = |name: &str, (certificate, key): (String, String)| {
        let certificate = file(folder.path(), &format!("{name}.crt"), &certificate);
        let key = file(folder.path(), &format!("{name}.key"), &key);
        format!("sslmode=verify-full&sslrootcert={root}&sslcert={certificate}&sslkey={key}")
    };
    let good = with("good", own.issue(ROLE));
    assert_eq!(open(&server, "localhost", &good).await, Ok(true));
    for bad in [
        format!("sslmode=verify-full&sslrootcert={root}"),
        with("somebody", own.issue("somebody")),
        with("stranger", other.issue(ROLE)),
    ] {
        let told = open(&server, "localhost", &bad).await;
        assert!(told.is_err(), "{bad}");
    }
}
