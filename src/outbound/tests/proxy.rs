//! Forward proxies.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

/// A proxy that tunnels every CONNECT to `target`, and the requests that it gets.
pub(super) async fn tunnelling(target: SocketAddr) -> (Server, UnboundedReceiver<String>) {
    let (seen, requests) = unbounded_channel();
    let server = Server::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            seen.send(head(&mut stream).await).unwrap();
            let Ok(mut onward) = TcpStream::connect(target).await else { return };
            let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await;
    (server, requests)
}

fn through(variables: &[(&str, String)]) -> Client {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let env = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let outbound = Outbound::new(&env, Arc::new(SystemClock::new()), Arc::new(Metrics::new()));
    outbound.client(None, ["localhost"]).unwrap()
}

async fn error_of(client: &Client, url: &str) -> OutboundError {
    client.send(Request::get(Purpose::Keys, url)).await.unwrap_err()
}

#[tokio::test]
async fn proxy_that_refuses_or_cannot_be_used_is_named() {
    let refusing = Server::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let client = through(&[("HTTPS_PROXY", refusing.url(""))]);
    let error = error_of(&client, "https://nowhere.invalid/").await;
    assert_eq!(error, OutboundError::Proxy("it answers 403".to_owned()));
    let socks = through(&[("ALL_PROXY", "socks5://127.0.0.1:1".to_owned())]);
    let error = error_of(&socks, "https://nowhere.invalid/").await;
    assert_eq!(error, OutboundError::Proxy("it must be an http or https URL".to_owned()));
}

#[tokio::test]
async fn hosts_of_no_proxy_and_this_machine_are_reached_directly() {
    let (proxy, mut requests) = tunnelling(([127, 0, 0, 1], 1).into()).await;
    let client = through(&[("HTTPS_PROXY", proxy.url("")), ("NO_PROXY", "nowhere.invalid".to_owned())]);
    let error = error_of(&client, "https://sso.nowhere.invalid/").await;
    assert!(matches!(error, OutboundError::Unreachable(_)), "{error}");
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let url = format!("http://localhost:{}/", server.address.port());
    assert!(client.send(Request::get(Purpose::Keys, &url)).await.is_ok());
    assert!(requests.try_recv().is_err());
}

/// N14
#[tokio::test]
async fn private_address_is_refused_before_the_proxy_sees_it() {
    let (proxy, mut requests) = tunnelling(([127, 0, 0, 1], 1).into()).await;
    let client = through(&[("HTTPS_PROXY", proxy.url(""))]);
    let error = error_of(&client, "https://169.254.169.254/latest/meta-data").await;
    assert!(matches!(error, OutboundError::Refused { .. }), "{error}");
    assert!(requests.try_recv().is_err());
}
