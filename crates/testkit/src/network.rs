//! A proxy, and TLS with a test certificate authority, between a program and a server.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::server::Server;

/// A TLS server in front of one without TLS. It runs until this value is dropped.
pub struct Tls {
    server: Server,
    authority: String,
}

impl Tls {
    /// Starts a TLS server in front of `url`, with a certificate for `hosts`.
    pub fn start(url: &str, hosts: &[&str]) -> Self {
        let upstream = address(url);
        let authority_key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        let authority = params.self_signed(&authority_key).expect("an authority").pem();
        let issuer = rcgen::Issuer::new(params, authority_key);
        let key = rcgen::KeyPair::generate().expect("a key");
        let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let leaf = rcgen::CertificateParams::new(names).expect("host names");
        let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
        let chain = vec![CertificateDer::from(leaf.der().to_vec())];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the protocol's versions")
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .expect("a certificate with its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let server = Server::connections(move |stream| {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            // Fails if the client does not trust the certificate.
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if let Ok(mut upstream) = TcpStream::connect(upstream).await {
                    let _ = copy_bidirectional(&mut stream, &mut upstream).await;
                }
            }
        });
        Self { server, authority }
    }

    /// The port on loopback.
    pub fn port(&self) -> String {
        address(&self.server.url()).rsplit(':').next().unwrap_or_default().to_owned()
    }

    /// The certificate of the authority (PEM).
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// An HTTP proxy for `CONNECT` that connects every host to a single server. It runs until this
/// value is dropped.
pub struct ConnectProxy {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// Starts a proxy that always connects to this port on loopback.
    pub fn start(port: &str) -> Self {
        let (asked, upstream) = (Arc::new(Mutex::new(Vec::new())), format!("127.0.0.1:{port}"));
        let shared = Arc::clone(&asked);
        let server = Server::connections(move |stream| {
            let (asked, upstream) = (Arc::clone(&shared), upstream.clone());
            async move { drop(connect(stream, &asked, &upstream).await) }
        });
        Self { server, asked }
    }

    /// The URL of the proxy.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The request lines that it received, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic while locked").clone()
    }
}

async fn connect(mut client: TcpStream, asked: &Mutex<Vec<String>>, upstream: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    asked.lock().expect("no panic while locked").push(format!("{method} {target}"));
    if method != "CONNECT" {
        return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n").await;
    }
    let mut upstream = TcpStream::connect(upstream).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut upstream).await.map(drop)
}

/// The host and port of an HTTP URL.
fn address(url: &str) -> String {
    url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned()
}
