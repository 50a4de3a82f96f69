//! TLS with real handshakes.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

/// Puts a new certificate and its key into a folder.
fn issue(folder: &Path) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    close(folder, 0o600);
}

fn close(folder: &Path, mode: u32) {
    fs::set_permissions(folder.join("key.pem"), fs::Permissions::from_mode(mode)).unwrap();
}

fn open(folder: &Path) -> anyhow::Result<Tls> {
    Tls::open(&folder.join("cert.pem"), &folder.join("key.pem"))
}

/// A client that trusts the certificate that lies in the folder now.
fn client(folder: &Path, protocol: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config).into()
}

async fn shake(server: &Server, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    client.connect("localhost".try_into().unwrap(), server.connect().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_serves_with_the_newest_sound_certificate() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path());
    let tls = Arc::new(open(folder.path()).unwrap());
    let server = Server::start_with(Limits::default(), Some(Arc::clone(&tls))).await;
    let first = client(folder.path(), "http/1.1");
    let mut stream = shake(&server, &first).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(status(&rest(&mut stream).await), 200);
    assert!(shake(&server, &client(folder.path(), "h2")).await.is_err(), "nothing but HTTP/1.1 is spoken");

    assert!(!tls.read_again(false).unwrap(), "nothing has changed");
    issue(folder.path());
    assert!(tls.read_again(false).unwrap());
    let second = client(folder.path(), "http/1.1");
    assert!(shake(&server, &first).await.is_err() && shake(&server, &second).await.is_ok());

    fs::write(folder.path().join("cert.pem"), "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
    assert!(tls.read_again(false).is_err());
    assert!(!tls.read_again(false).unwrap(), "it is said once");
    assert!(shake(&server, &second).await.is_ok(), "the old one goes on");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_stalls_or_is_none_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path());
    let limits = Limits { handshake_timeout_ms: 300, ..Limits::default() };
    let server = Server::start_with(limits, Some(Arc::new(open(folder.path()).unwrap()))).await;
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.write_all(&[0x16, 3, 1]).await.unwrap();
    let plain = server.exchange("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(status(&plain) == 400 && plain.contains("tls_only"), "{plain}");
    assert!(shake(&server, &client(folder.path(), "http/1.1")).await.is_ok());
    assert_eq!((rest(&mut silent).await, rest(&mut half).await), (String::new(), String::new()));
    server.end().await;
}

#[test]
fn tls_files_that_are_wrong_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = || format!("{:#}", open(folder.path()).unwrap_err());
    assert!(said().contains("cert.pem"));
    issue(folder.path());
    close(folder.path(), 0o644);
    assert!(said().contains("chmod 600"));
    close(folder.path(), 0o600);
    let other = tempfile::tempdir().unwrap();
    issue(other.path());
    fs::copy(other.path().join("key.pem"), folder.path().join("key.pem")).unwrap();
    assert!(said().contains("with the key"), "they do not belong together");
    fs::copy(folder.path().join("cert.pem"), folder.path().join("key.pem")).unwrap();
    close(folder.path(), 0o600);
    assert!(said().contains("there is no private key"));
    issue(folder.path());
    fs::copy(folder.path().join("key.pem"), folder.path().join("cert.pem")).unwrap();
    assert!(said().contains("there is no certificate"));
}
