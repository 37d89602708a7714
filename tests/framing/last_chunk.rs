//! The last chunk of a request body is written exactly once (RFC 9112 section 7.1), however the body ended on the
//! client's side.
//!
//! Pingora 0.9.1 writes an empty last chunk as a chunk, and then the last chunk again (cloudflare/pingora#935). An app
//! that keeps its connection after that reads the second one as a request, and each later response goes to the wrong
//! client.

use std::time::Duration;

use crate::frames::{self, END_HEADERS, END_STREAM, Kind};
use crate::recorder::{NAME, Recorder};
use crate::support::Client;
use crate::world::{Frames, World};

/// RFC 9113 section 6.1.
const PADDED: u8 = 8;
/// Timeout that only ends a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// An HTTP/2 body: frames of stream 1 after its HEADERS.
struct Shape {
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    ends_with_header: bool,
    frames: Vec<Vec<u8>>,
    body: &'static str,
}

fn shapes() -> Vec<Shape> {
    let data = |flags: u8, payload: &[u8]| frames::frame(Kind::Data, flags, 1, payload);
    let padded = |flags: u8, content: &[u8]| {
        let payload = [&[3_u8][..], content, &[0; 3]].concat();
        frames::frame(Kind::Data, flags | PADDED, 1, &payload)
    };
    let trailers =
        || frames::frame(Kind::Headers, END_STREAM | END_HEADERS, 1, &frames::field("x-checksum", "1"));
    let shape = |name, frames: &[Vec<u8>], body| Shape {
        name,
        fields: &[],
        ends_with_header: false,
        frames: frames.to_vec(),
        body,
    };
    let with_length = |shape: Shape, fields| Shape { fields, ..shape };
    vec![
        shape("an empty DATA frame ends it", &[data(0, b"hello"), data(END_STREAM, b"")], "hello"),
        shape("a padded empty DATA frame ends it", &[data(0, b"hello"), padded(END_STREAM, b"")], "hello"),
        shape("no content, then an empty DATA frame", &[data(END_STREAM, b"")], ""),
        shape("no content, then a padded empty DATA frame", &[padded(END_STREAM, b"")], ""),
        shape("several empty DATA frames", &[data(0, b""), data(0, b""), data(END_STREAM, b"")], ""),
        shape(
            "empty DATA frames in between",
            &[data(0, b"he"), data(0, b""), data(0, b"llo"), data(0, b""), data(END_STREAM, b"")],
            "hello",
        ),
        shape("the last bytes end it", &[data(END_STREAM, b"hello")], "hello"),
        shape("padded bytes end it", &[padded(END_STREAM, b"hello")], "hello"),
        shape("trailers end it", &[data(0, b"hello"), trailers()], "hello"),
        shape("trailers after an empty DATA frame", &[data(0, b"hello"), data(0, b""), trailers()], "hello"),
        shape("trailers alone", &[trailers()], ""),
        Shape { ends_with_header: true, ..shape("the header ends it", &[], "") },
        with_length(
            shape("a length, an empty DATA frame", &[data(0, b"hello"), data(END_STREAM, b"")], "hello"),
            &[("content-length", "5")],
        ),
        with_length(
            shape("a length of 0, an empty DATA frame", &[data(END_STREAM, b"")], ""),
            &[("content-length", "0")],
        ),
        with_length(
            Shape { ends_with_header: true, ..shape("a length of 0 in the header alone", &[], "") },
            &[("content-length", "0")],
        ),
    ]
}

/// Sends it in one write or frame by frame. Returns the response status, from its index in the static table.
async fn send(world: &World, shape: &Shape, method: &str, name: &str, at_once: bool) -> Option<u16> {
    let mut header = frames::request(method, "/upload");
    header.extend(frames::field(NAME, name));
    for (field, value) in shape.fields {
        header.extend(frames::field(field, value));
    }
    let flags = END_HEADERS | if shape.ends_with_header { END_STREAM } else { 0 };
    let mut pieces = vec![frames::hello(1 << 20), frames::frame(Kind::Headers, flags, 1, &header)];
    pieces.extend(shape.frames.iter().cloned());
    let mut connection = Frames::over(world.connect(b"h2").await);
    if at_once {
        connection.send(&pieces.concat()).await;
    } else {
        for piece in &pieces {
            connection.send(piece).await;
            tokio::task::yield_now().await;
        }
    }
    while let Some(frame) = connection.next().await {
        match (frame.kind, frame.stream, frame.payload.first()) {
            (1, 1, Some(0x88)) => return Some(200),
            (1, 1, Some(0x8c)) => return Some(400),
            (1 | 3, 1, _) => return None,
            _ => {}
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_request_body_ends_exactly_once() {
    let app = Recorder::start().await;
    let routes =
        "[[routes]]\nname = \"all\"\npath = \"/\"\naccess = \"public\"\nupstream = \"recorder\"\n".to_owned();
    let world = World::start("", &(app.upstream() + &routes)).await;
    let mut neighbour = Client::over(world.connect(b"http/1.1").await);
    let mut faults = Vec::new();
    for at_once in [true, false] {
        for (at, shape) in shapes().iter().enumerate() {
            for method in ["POST", "GET"] {
                let name = format!("{method}-{at}-{at_once}");
                let answered =
                    tokio::time::timeout(PATIENCE, send(&world, shape, method, &name, at_once)).await;
                if answered != Ok(Some(200)) {
                    faults.push(format!("{}: {method} answered {answered:?}", shape.name));
                }
                let body = app.take().pop().map(|record| record.body);
                if body.as_deref() != Some(shape.body.as_bytes()) {
                    faults.push(format!("{}: {method} brought {body:?}", shape.name));
                }
                // On the reused upstream connection.
                let name = format!("neighbour-{name}");
                let response = neighbour.request("GET", "/neighbour", &[(NAME, &name)], b"").await;
                if (response.status, response.text()) != (200, name) {
                    faults.push(format!("{}: then {} {}", shape.name, response.status, response.text()));
                }
                app.take();
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(app.faults(), [""; 0]);
}
