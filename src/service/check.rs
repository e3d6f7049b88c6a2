//! What of a configuration can be judged before anything is made, opened or sent: by a start and by
//! `config check` alike.

use std::error::Error;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::trust;
use crate::authority::authentication::TrustedIssuers;
use crate::config::{self, Config, InternalListenAddress, IssuanceLogTo, MasterKeySources};
use crate::declared::Declared;
use crate::lifecycle::Timestamp;
use crate::master_key;

/// What only a start can tell, for people.
pub const UNCHECKED: &str = "whether the addresses are this machine's and free, whether the store \
    opens and the master key fits it, what a master_key_command prints, and whether trusted issuers \
    answer";

/// A configuration with which a start may be tried.
pub struct Checked {
    /// Whose tokens prove who a caller is.
    pub(super) trusted: TrustedIssuers,
    /// The addresses that the settings of listeners stand for.
    pub(super) addresses: Addresses,
    /// Where the master keys come from.
    pub(super) master_keys: MasterKeySources,
    /// What the declared files say.
    pub(super) declared: Declared,
    /// The listeners that have a certificate, and when it expires.
    pub certificates: Vec<(&'static str, Timestamp)>,
}

/// The addresses of each listener.
pub(super) struct Addresses {
    pub(super) public: Vec<SocketAddr>,
    pub(super) internal: Vec<SocketAddr>,
    /// None without `oauth.mtls`.
    pub(super) mtls: Vec<SocketAddr>,
}

/// Judges a configuration, in a tokio runtime. Files are read and names of listeners looked up;
/// nothing is made or sent, and no command is run.
///
/// # Errors
/// What keeps the service from starting, in one sentence for the operator.
pub fn check(config: &Config) -> Result<Checked, Box<dyn Error>> {
    let mut certificates = Vec::new();
    let mtls = config.oauth.mtls.as_ref().filter(|_| config.oauth.enabled);
    for (listener, setting, files) in [
        ("public", "public.tls", config.public.tls_files()),
        ("internal", "internal.tls", config.internal.tls_files()),
        ("mtls", "oauth.mtls", mtls.map(config::Mtls::tls_files)),
    ] {
        if let Some(files) = files {
            let expires_at = files.check();
            let expires_at = expires_at.map_err(|error| format!("{setting}: {error}"))?;
            certificates.push((listener, expires_at));
        }
    }
    let unknown = |name: &str, address: &dyn Display, error: io::Error| {
        format!("cannot look up {name}.listen = \"{address}\": {error}")
    };
    let listen = &config.public.listen;
    let public = listen.resolve();
    let public = public.map_err(|error| unknown("public", listen, error))?;
    let listen = &config.internal.listen;
    let internal = listen.resolve();
    let internal = internal.map_err(|error| unknown("internal", listen, error))?;
    let resolved = mtls.map(|mtls| {
        let resolved = mtls.listen.resolve();
        resolved.map_err(|error| unknown("oauth.mtls", &mtls.listen, error))
    });
    let mtls = resolved.transpose()?.unwrap_or_default();
    config.check_exposure(&public, &internal)?;
    if let InternalListenAddress::Unix(path) = listen {
        check_folder(path.parent().unwrap_or(Path::new("")))
            .map_err(|error| format!("internal.listen = \"{listen}\": {error}"))?;
    }
    let trusted = trust::trusted_issuers(&config.trusted_issuers)?;
    let declared =
        declared(&config.declared.files).map_err(|error| format!("declared.files: {error}"))?;
    let master_keys = config.master_key_sources()?;
    master_key::check(&master_keys, &config.data_dir)?;
    check_data_folder(&config.data_dir)
        .map_err(|error| format!("data_dir {}: {error}", config.data_dir.display()))?;
    if let (IssuanceLogTo::File, Some(path)) = (config.issuance_log.to, &config.issuance_log.path) {
        check_file(path).map_err(|error| format!("issuance_log: cannot write there: {error}"))?;
    }
    Ok(Checked {
        addresses: Addresses {
            public,
            internal,
            mtls,
        },
        trusted,
        master_keys,
        declared,
        certificates,
    })
}

/// The largest file that declares anything, in bytes.
const LARGEST_DECLARATION: u64 = 1024 * 1024;

fn declared(files: &[PathBuf]) -> Result<Declared, Box<dyn Error>> {
    let mut declared = Declared::default();
    for path in files {
        let file = path.display().to_string();
        let text = read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
        declared.read(&file, &text)?;
    }
    Ok(declared)
}

fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?.take(LARGEST_DECLARATION + 1);
    let length = BufReader::new(file).read_to_string(&mut text)?;
    match u64::try_from(length).is_ok_and(|length| length <= LARGEST_DECLARATION) {
        true => Ok(text),
        false => Err(ErrorKind::FileTooLarge.into()),
    }
}

/// Whether the folder and what is in it may be written, or the folder can be made.
fn check_data_folder(folder: &Path) -> io::Result<()> {
    if !folder.try_exists()? {
        let mut above = folder.ancestors().skip(1);
        let nearest = above.find(|above| above.as_os_str().is_empty() || above.exists());
        return check_folder(nearest.unwrap_or(Path::new("")));
    }
    check_folder(folder)?;
    for name in [
        "keywright.lock",
        "keywright.db",
        "keywright.db-wal",
        "keywright.db-shm",
    ] {
        let file = folder.join(name);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        check_file(&file).map_err(named)?;
    }
    Ok(())
}

/// Whether a file may be written, or can be made.
fn check_file(file: &Path) -> io::Result<()> {
    if !file.try_exists()? {
        return check_folder(file.parent().unwrap_or(Path::new("")));
    }
    if file.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    Ok(access(file, Access::READ_OK | Access::WRITE_OK)?)
}

/// Whether files can be made in a folder.
fn check_folder(folder: &Path) -> io::Result<()> {
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    if !fs::metadata(folder)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}
