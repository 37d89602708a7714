//! An app with one response for everybody.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Starts an app that sends this response to the first request of each connection, and closes it.
pub(crate) async fn app(response: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
                {}
                let _ = stream.write_all(response).await;
                let _ = stream.shutdown().await;
                // Closing with unread data would reset the connection.
                while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}
