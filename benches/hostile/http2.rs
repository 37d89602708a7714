//! HTTP/2 requests whose long path is sent once and then referenced by one byte (RFC 7541 section 6.1).

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::frames::{self, END_HEADERS, END_STREAM, Kind, frame};
use crate::tls::Trust;

/// Concurrent requests.
const AT_ONCE: usize = 50;

/// Name, path and size of each request.
pub(crate) fn targets() -> Vec<(&'static str, String, usize)> {
    vec![
        ("HTTP/2 ordinary, public", "/public".to_owned(), 13),
        ("HTTP/2 path of many segments, indexed", format!("/zz/{}%41;/", "A/".repeat(1_900)), 13),
        ("HTTP/2 path of many escapes, indexed", format!("/zz/{}", "%2e;/".repeat(760)), 13),
    ]
}

/// Sends a batch over one connection and waits for every response.
pub(crate) fn send(
    runtime: &tokio::runtime::Runtime,
    folder: &Path,
    gateway: SocketAddr,
    path: &str,
    requests: usize,
) -> anyhow::Result<()> {
    let certificate = folder.join("app.crt");
    let all = async {
        let trust = Trust::of(&[&certificate]);
        let stream = trust.offering(&[b"h2"]).connect(gateway, "gateway.test").await?;
        let (mut from, mut to) = tokio::io::split(stream);
        to.write_all(&frames::hello(frames::LARGEST_WINDOW)).await?;
        // :method, :scheme, :authority; the path is indexed, so that later requests are one byte longer than an empty
        // one.
        let rest = [&[0x82, 0x87][..], &frames::field(":authority", "gateway.test")].concat();
        let first = [&frames::kept_field(":path", path)[..], &rest].concat();
        let next = [&[frames::LATEST][..], &rest].concat();
        let (mut stream, mut sent) = (1, 0);
        while sent < requests {
            let batch = AT_ONCE.min(requests - sent);
            let mut bytes = Vec::new();
            for _ in 0..batch {
                let block = if stream == 1 { &first } else { &next };
                bytes.extend(frame(Kind::Headers, END_HEADERS | END_STREAM, stream, block));
                stream += 2;
            }
            to.write_all(&bytes).await?;
            to.flush().await?;
            ended(&mut from, batch).await?;
            sent += batch;
        }
        anyhow::Ok(())
    };
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), all).await.context("no response")? })
}

/// Reads frames until this many streams have ended.
async fn ended(from: &mut (impl tokio::io::AsyncRead + Unpin), streams: usize) -> anyhow::Result<()> {
    let mut left = streams;
    while left > 0 {
        let mut head = [0; 9];
        from.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).await?;
        let is_end = matches!(head[3], 0 | 1) && head[4] & END_STREAM != 0;
        ensure!(head[3] != 7, "GOAWAY");
        if is_end || head[3] == Kind::Reset as u8 {
            left -= 1;
        }
    }
    Ok(())
}
