//! Certificate authorities, and what they sign.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::since_epoch;

/// A certificate authority. All of them have the same name: only the key tells them apart.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    pub der: CertificateDer<'static>,
}

/// A certificate and its key.
pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Self {
            pem: root.pem(),
            der: root.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a listener on this machine.
    pub fn server(&self) -> Pair {
        self.issue(|_| {})
    }

    /// A server's certificate that expires in so long.
    pub fn server_for(&self, left: Duration) -> Pair {
        self.issue(|params| params.not_after = date_time_ymd(1970, 1, 1) + since_epoch() + left)
    }

    /// A certificate for a caller.
    pub fn caller(&self, name: &str) -> Pair {
        self.caller_with(name, |_| {})
    }

    pub fn caller_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        self.issue(|params| {
            params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            change(params);
        })
    }

    pub fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: key.serialize_der(),
        }
    }
}

impl Pair {
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key_der.clone()).unwrap()
    }

    /// Writes certificate and key as one file, which appears at once or not at all.
    pub fn write(&self, path: &Path) {
        replace(path, &format!("{}{}", self.certificate, self.key));
    }
}

/// Replaces a file by renaming another one over it.
pub fn replace(path: &Path, content: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, content).unwrap();
    std::fs::rename(&draft, path).unwrap();
}

/// Files in a folder of their own, and the settings that name them.
pub struct Files {
    pub folder: tempfile::TempDir,
}

impl Files {
    /// Both listeners with this certificate.
    pub fn new(pair: &Pair) -> Self {
        let folder = tempfile::tempdir().unwrap();
        pair.write(&folder.path().join("server.pem"));
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn add(&self, name: &str, content: &str) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// TLS on both listeners.
    pub fn settings(&self) -> String {
        let server = self.path("server.pem");
        ["public", "internal"]
            .iter()
            .flat_map(|listener| ["certificate", "key"].map(|member| (listener, member)))
            .map(|(listener, member)| format!("{listener}.tls.{member} = {server:?}\n"))
            .collect()
    }

    /// TLS on both listeners, and callers of this authority.
    pub fn settings_with(&self, callers: &Authority, demand: &str) -> String {
        let roots = self.add("callers.pem", &callers.pem);
        format!(
            "{}internal.tls.client_ca = {roots:?}\ninternal.tls.client_certificates = \"{demand}\"\n",
            self.settings()
        )
    }
}
