//! TLS parameters of connections to an upstream: trusted CAs and client certificate, built once in the form the
//! transport needs.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};

use crate::config::UpstreamTls;

/// TLS parameters of connections to one upstream.
#[derive(Clone)]
pub struct Terms {
    /// CA certificates that server certificates must chain to; `None` = the system trust store.
    pub authorities: Option<Arc<CaType>>,
    /// Client certificate, presented when the server requests one.
    pub identity: Option<Arc<CertKey>>,
    /// Hash of the parameters. Connections are reused only under the same parameters.
    pub group: u64,
}

impl Terms {
    pub(super) fn new(config: &UpstreamTls) -> Self {
        let mut group = DefaultHasher::new();
        let authorities = config.authorities.as_ref().map(|authorities| {
            authorities.der().for_each(|der| der.hash(&mut group));
            authorities.der().map(|der| WrappedX509::new(der.to_vec(), parse_x509)).collect::<Vec<_>>().into()
        });
        let identity = config.identity.as_ref().map(|identity| {
            identity.chain().for_each(|der| der.hash(&mut group));
            let chain = identity.chain().map(<[u8]>::to_vec).collect();
            Arc::new(CertKey::new(chain, identity.key().to_vec()))
        });
        config.server_name.hash(&mut group);
        let is_plain = authorities.is_none() && identity.is_none() && config.server_name.is_none();
        Self { authorities, identity, group: if is_plain { 0 } else { group.finish() } }
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}
