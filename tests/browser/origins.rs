//! Origins that a browser trusts enough for doorward's cookies.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::chromium::Browser;

/// Sets a cookie as doorward does, on every response.
async fn cookie_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                    continue;
                }
                break;
            }
            let response = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\nContent-Type: text/html\r\n\
                          Set-Cookie: __Host-doorward=1; Path=/; Secure; HttpOnly; SameSite=Lax\r\n\r\n";
            // The browser may be gone by now.
            let _ = stream.write_all(response.as_bytes()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn only_localhost_may_use_host_cookies_without_tls() {
    let (address, browser) = (cookie_server().await, Browser::start().await);
    for (host, kept) in [("localhost", 1), ("app.localhost", 1), ("127.0.0.1", 1), ("gateway.test", 0)] {
        let profile = browser.profile().await;
        let tab = profile.tab().await;
        tab.open(&format!("http://{host}:{}/", address.port())).await;
        assert_eq!(profile.cookies().await.len(), kept, "{host}");
    }
}
