//! Shapes of requests and responses.

/// Request body of a client, and its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sends {
    /// No body; over HTTP/2 the header ends the stream.
    Nothing,
    /// With `Content-Length`.
    Length,
    /// With `Content-Length`, after 100 Continue.
    AfterContinue,
    /// HTTP/1.1 chunks of these bytes, with an extension and trailers if `extras`.
    Chunks { extras: bool },
    /// HTTP/2 without a length: the last DATA frame with content ends it.
    LastData,
    /// HTTP/2 without a length: an empty DATA frame ends it.
    EmptyData,
    /// HTTP/2 with `Content-Length`: an empty DATA frame ends it.
    LengthThenEmptyData,
    /// HTTP/2 without a length: trailers end it.
    Trailers,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) sends: Sends,
    /// Content length.
    pub(crate) length: usize,
}

impl Request {
    pub(crate) fn content(&self) -> Vec<u8> {
        (0..self.length).map(|at| b'a' + u8::try_from(at % 26).expect("a letter")).collect()
    }
}

/// Enough for several reads, chunks and frames.
const LARGE: usize = 150_000;

const fn request(method: &'static str, sends: Sends, length: usize) -> Request {
    Request { method, sends, length }
}

/// HTTP/1.0 requests.
pub(crate) const HTTP10: &[Request] = &[
    request("GET", Sends::Nothing, 0),
    request("HEAD", Sends::Nothing, 0),
    request("POST", Sends::Length, 0),
    request("POST", Sends::Length, 5),
    request("PUT", Sends::Length, LARGE),
];

/// HTTP/1.1 requests.
pub(crate) const HTTP11: &[Request] = &[
    request("GET", Sends::Nothing, 0),
    request("HEAD", Sends::Nothing, 0),
    request("POST", Sends::Nothing, 0),
    request("DELETE", Sends::Nothing, 0),
    request("POST", Sends::Length, 0),
    request("POST", Sends::Length, 5),
    request("GET", Sends::Length, 5),
    request("PUT", Sends::Length, LARGE),
    request("PUT", Sends::AfterContinue, 5),
    request("POST", Sends::Chunks { extras: false }, 0),
    request("POST", Sends::Chunks { extras: false }, 5),
    request("GET", Sends::Chunks { extras: false }, 5),
    request("POST", Sends::Chunks { extras: true }, 5),
    request("PUT", Sends::Chunks { extras: false }, LARGE),
];

/// HTTP/2 requests. Padding is tested in `last_chunk`.
pub(crate) const HTTP2: &[Request] = &[
    request("GET", Sends::Nothing, 0),
    request("HEAD", Sends::Nothing, 0),
    request("POST", Sends::Nothing, 0),
    request("DELETE", Sends::Nothing, 0),
    request("POST", Sends::Length, 5),
    request("PUT", Sends::Length, LARGE),
    request("POST", Sends::LastData, 5),
    request("GET", Sends::LastData, 5),
    request("POST", Sends::EmptyData, 0),
    request("POST", Sends::EmptyData, 5),
    request("GET", Sends::EmptyData, 0),
    request("HEAD", Sends::EmptyData, 0),
    request("PUT", Sends::EmptyData, LARGE),
    request("POST", Sends::LengthThenEmptyData, 0),
    request("POST", Sends::LengthThenEmptyData, 5),
    request("POST", Sends::Trailers, 0),
    request("POST", Sends::Trailers, 5),
];

/// Framing of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No framing: the connection or the stream ends it.
    End,
    /// With these `Content-Length` fields.
    Length(&'static [&'static str]),
    /// With these `Transfer-Encoding` fields and chunks.
    Coding(&'static [&'static str]),
    /// Chunks with an extension and trailers, announced by `Trailer`; over HTTP/2 trailers.
    Trailers,
}

/// Peculiarity of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Particular {
    None,
    /// Preceded by these 1xx responses.
    After(&'static [u16]),
    /// With hop-by-hop fields, and fields that `Connection` names.
    HopByHop,
    /// With a folded field (RFC 9112 section 5.2).
    Folded,
    /// Ends before its content does.
    Truncated,
    /// Followed by bytes that belong to no request.
    Surplus,
    /// Sent before the request's body is read.
    Early,
    /// Sent before the request's body is read; then the connection closes.
    EarlyClose,
    /// HTTP/2: an empty DATA frame ends it where the header could.
    EmptyData,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Response {
    pub(crate) name: &'static str,
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    pub(crate) content: &'static [u8],
    pub(crate) particular: Particular,
    /// Invalid for every recipient: 502.
    pub(crate) is_faulty: bool,
    /// Versions that can express it.
    pub(crate) versions: &'static [Speaks],
}

/// Version of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http10,
    Http11,
    Http2,
}

use Framing::{Coding, End, Length, Trailers};
use Speaks::{Http2, Http10, Http11};

const ALL: &[Speaks] = &[Http10, Http11, Http2];
const HTTP1: &[Speaks] = &[Http10, Http11];
const HTTP11_ONLY: &[Speaks] = &[Http11];
const HTTP2_ONLY: &[Speaks] = &[Http2];
const HELLO: &[u8] = b"hello world";
const MUCH: &[u8] = &[b'm'; LARGE];

const fn plain(
    name: &'static str,
    status: u16,
    framing: Framing,
    content: &'static [u8],
    versions: &'static [Speaks],
) -> Response {
    Response { name, status, framing, content, particular: Particular::None, is_faulty: false, versions }
}

const fn odd(response: Response, particular: Particular) -> Response {
    Response { particular, ..response }
}

const fn faulty(response: Response) -> Response {
    Response { is_faulty: true, ..response }
}

pub(crate) const RESPONSES: &[Response] = &[
    plain("length", 200, Length(&["11"]), HELLO, ALL),
    plain("length-twice", 200, Length(&["11", "11"]), HELLO, ALL),
    plain("length-list", 200, Length(&["11, 11"]), HELLO, ALL),
    plain("length-zeros", 200, Length(&["0011"]), HELLO, ALL),
    faulty(plain("lengths-differ", 200, Length(&["11", "12"]), HELLO, ALL)),
    faulty(plain("length-list-differs", 200, Length(&["12, 11"]), HELLO, HTTP1)),
    faulty(plain("length-no-number", 200, Length(&["+11"]), HELLO, ALL)),
    faulty(plain("length-empty", 200, Length(&[""]), HELLO, HTTP1)),
    plain("length-0", 200, Length(&["0"]), b"", ALL),
    plain("length-large", 200, Length(&["150000"]), MUCH, ALL),
    plain("not-found", 404, Length(&["11"]), HELLO, ALL),
    plain("end", 200, End, HELLO, ALL),
    plain("end-large", 200, End, MUCH, ALL),
    plain("end-at-once", 200, End, b"", ALL),
    odd(plain("end-empty-data", 200, End, b"", HTTP2_ONLY), Particular::EmptyData),
    odd(plain("end-content-empty-data", 200, End, HELLO, HTTP2_ONLY), Particular::EmptyData),
    plain("chunks", 200, Coding(&["chunked"]), HELLO, HTTP1),
    plain("chunks-capital", 200, Coding(&["Chunked"]), HELLO, HTTP11_ONLY),
    plain("chunks-empty", 200, Coding(&["chunked"]), b"", HTTP11_ONLY),
    plain("chunks-large", 200, Coding(&["chunked"]), MUCH, HTTP11_ONLY),
    faulty(plain("coding-gzip", 200, Coding(&["gzip"]), HELLO, HTTP1)),
    faulty(plain("coding-gzip-chunks", 200, Coding(&["gzip, chunked"]), HELLO, HTTP11_ONLY)),
    faulty(plain("coding-twice", 200, Coding(&["chunked", "chunked"]), HELLO, HTTP11_ONLY)),
    faulty(plain("coding-identity", 200, Coding(&["identity"]), HELLO, HTTP11_ONLY)),
    plain("trailers", 200, Trailers, HELLO, &[Http11, Http2]),
    plain("trailers-alone", 200, Trailers, b"", &[Http11, Http2]),
    plain("no-content", 204, End, b"", ALL),
    plain("no-content-length", 204, Length(&["11"]), b"", ALL),
    plain("no-content-length-0", 204, Length(&["0"]), b"", ALL),
    plain("no-content-coding", 204, Coding(&["chunked"]), b"", HTTP11_ONLY),
    odd(plain("no-content-empty-data", 204, End, b"", HTTP2_ONLY), Particular::EmptyData),
    plain("not-modified", 304, End, b"", ALL),
    plain("not-modified-length", 304, Length(&["11"]), b"", ALL),
    plain("not-modified-coding", 304, Coding(&["chunked"]), b"", HTTP11_ONLY),
    plain("reset", 205, Length(&["0"]), b"", ALL),
    plain("reset-content", 205, Length(&["11"]), HELLO, ALL),
    plain("reset-chunks", 205, Coding(&["chunked"]), HELLO, HTTP11_ONLY),
    odd(plain("early-hints", 200, Length(&["11"]), HELLO, &[Http11, Http2]), Particular::After(&[103])),
    odd(plain("hints-twice", 200, Coding(&["chunked"]), HELLO, HTTP11_ONLY), Particular::After(&[102, 103])),
    odd(plain("continue", 200, Length(&["11"]), HELLO, HTTP11_ONLY), Particular::After(&[100])),
    odd(plain("hop-by-hop", 200, Length(&["11"]), HELLO, HTTP1), Particular::HopByHop),
    odd(plain("hop-by-hop-204", 204, End, b"", HTTP1), Particular::HopByHop),
    odd(plain("folded", 200, Length(&["11"]), HELLO, HTTP1), Particular::Folded),
    odd(plain("truncated", 200, Length(&["20"]), HELLO, ALL), Particular::Truncated),
    odd(plain("truncated-chunks", 200, Coding(&["chunked"]), HELLO, HTTP11_ONLY), Particular::Truncated),
    odd(plain("truncated-end", 200, End, HELLO, HTTP2_ONLY), Particular::Truncated),
    odd(plain("surplus", 200, Length(&["11"]), HELLO, HTTP11_ONLY), Particular::Surplus),
    odd(plain("surplus-chunks", 200, Coding(&["chunked"]), HELLO, HTTP11_ONLY), Particular::Surplus),
    odd(plain("surplus-204", 204, End, b"", HTTP11_ONLY), Particular::Surplus),
    odd(plain("early", 200, Length(&["11"]), HELLO, ALL), Particular::Early),
    odd(plain("early-chunks", 200, Coding(&["chunked"]), HELLO, HTTP11_ONLY), Particular::Early),
    odd(plain("early-413", 413, Length(&["11"]), HELLO, HTTP1), Particular::EarlyClose),
];

impl Response {
    /// The shape of this name.
    pub(crate) fn named(name: &str) -> Self {
        *RESPONSES.iter().find(|known| known.name == name).unwrap_or_else(|| panic!("no `{name}`"))
    }

    /// Returns true if the status or the request's method excludes content (RFC 9110 section 6.4.1).
    pub(crate) fn is_empty_to(&self, method: &str) -> bool {
        method == "HEAD" || matches!(self.status, 204 | 304)
    }
}
