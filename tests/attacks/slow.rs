//! Those who take their time with a header.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::siege::{Done, Siege};
use crate::stage::Stage;

/// How many connections each attack holds.
const CONNECTIONS: usize = 2000;

/// Sends `begin`, then a byte now and then until the gateway ends it.
async fn dribble(mut stream: TcpStream, done: Arc<Done>, begin: &'static [u8]) {
    let (mut from, mut to) = stream.split();
    let reading = async {
        let mut said = [0; 1024];
        while from.read(&mut said).await.is_ok_and(|read| read > 0) {}
    };
    let writing = async {
        let mut next = begin;
        while to.write_all(next).await.is_ok() {
            done.sent(next.len());
            next = b"x";
            // The slowness itself.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! { () = reading => {} () = writing => {} }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers() {
    let stage = Stage::clear("[server.limits]\nheader_deadline = \"3s\"").await;
    let target = stage.gateway.public;
    let attack = || {
        Siege::begin(CONNECTIONS, target, |stream, done| {
            dribble(stream, done, b"GET /public HTTP/1.1\r\nHost: gateway.test\r\nX-Slow: ")
        })
    };
    let withstood = stage
        .withstand("slow headers", attack, async |done| {
            done.opened.load(Ordering::SeqCst) > 2 * CONNECTIONS as u64
        })
        .await;
    assert!(withstood.open >= CONNECTIONS as f64, "{}", withstood.open);
    let longest = withstood.done.get(|done| &done.longest);
    assert!(longest < 8_000, "one was put up with for {longest} ms");
}
