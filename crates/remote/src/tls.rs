//! Who is trusted.

use std::sync::Arc;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The certificates that the system trusts: servers inside a company often have their own authority. `SSL_CERT_FILE`
/// and `SSL_CERT_DIR` name others.
#[must_use]
pub fn tls() -> TlsConfig {
    // What cannot be read leaves fewer certificates, and the connection says that it is not trusted.
    let found = rustls_native_certs::load_native_certs().certs;
    let certificates: Vec<_> = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&certificates))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}
