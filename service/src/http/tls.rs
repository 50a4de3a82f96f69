//! TLS by a certificate and its key in files, which are read again when they change: a new pair serves the next
//! handshake, a broken one is reported and the old one goes on.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context, Result, ensure};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::files;

/// The certificate of a server.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    serving: Mutex<Serving>,
}

#[derive(Debug)]
struct Serving {
    config: Arc<ServerConfig>,
    /// The files as they were last read, whatever came of that.
    seen: [Option<Stamp>; 2],
}

/// By which a file is known to have changed.
type Stamp = (u64, u64, Option<SystemTime>);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If one cannot be read, others may read the key, or they are no certificate and key that belong together.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self> {
        let seen = [stamp(certificate), stamp(key)];
        let config = read(certificate, key)?;
        let serving = Mutex::new(Serving { config, seen });
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), serving })
    }

    /// What the next handshake is made with.
    pub fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.serving.lock().unwrap_or_else(PoisonError::into_inner).config).into()
    }

    /// Reads the files again if they have changed, or in any case. Says whether new ones serve from now on.
    ///
    /// # Errors
    /// As [`Self::open`]; what served before goes on.
    pub fn read_again(&self, in_any_case: bool) -> Result<bool> {
        let now = [stamp(&self.certificate), stamp(&self.key)];
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if serving.seen == now && !in_any_case {
            return Ok(false);
        }
        serving.seen = now;
        serving.config = read(&self.certificate, &self.key)?;
        Ok(true)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.modified().ok()))
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let reading = || format!("reading the certificate in {}", certificate.display());
    let chain = fs::read(certificate).with_context(reading)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().with_context(reading)?;
    ensure!(!chain.is_empty(), "there is no certificate in {}: it must be in PEM", certificate.display());
    let secret = files::read_secret(key)?;
    let secret = PrivateKeyDer::from_pem_slice(secret.as_bytes());
    let secret = secret.with_context(|| format!("there is no private key in PEM in {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("taking {} with the key {}", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
