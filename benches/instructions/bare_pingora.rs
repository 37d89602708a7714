//! Pingora as a reverse proxy that only forwards: the floor of every gateway that is built on it.

use std::io::Write as _;
use std::net::SocketAddr;

use async_trait::async_trait;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::upstreams::peer::HttpPeer;

/// Argument of this program that starts it.
pub(crate) const COMMAND: &str = "bare-pingora";

struct Forwarder {
    app: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Forwarder {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.app, false, String::new())))
    }
}

/// Returns the addresses of the app and to listen on, if this program was started with [`COMMAND`].
pub(crate) fn addresses() -> anyhow::Result<Option<(SocketAddr, SocketAddr)>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [command, app, address] if command == COMMAND => Ok(Some((app.parse()?, address.parse()?))),
        _ => Ok(None),
    }
}

/// Forwards to `app` until the process gets SIGINT, with Pingora's own defaults: one thread.
pub(crate) fn serve(app: SocketAddr, address: SocketAddr) -> anyhow::Result<()> {
    let mut server = Server::new(None)?;
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Forwarder { app });
    service.add_tcp(&address.to_string());
    server.add_service(service);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::json!({ "address": address }))?;
    out.flush()?;
    drop(out);
    server.run_forever()
}
