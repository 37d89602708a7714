//! Check of an HTTP/1 header section before Pingora parses it.
//!
//! Pingora responds to a section that its parser refuses with a bare 400, without a log line or a count. So everything that it
//! would refuse is found here first, with a reason. A stand-in request takes its place ([`stand_in`]): the usual path sends the
//! response, logs and counts it. What Pingora would repair (several spaces, control characters, a fragment) is refused as well:
//! RFC 9112 section 3.2 advises against processing a request line that had to be corrected.
//!
//! One case is corrected. Every common server accepts `"`, `<`, `>` and bytes above 0x7F in a query; Pingora's URI type does
//! not. Browsers percent-encode them (WHATWG URL, query percent-encode set), and so does this module. Routes match the path, so
//! no decision depends on it.
//!
//! The check is one pass over the bytes.

use bytes::{BufMut as _, BytesMut};
use http::header;
use memchr::{memchr, memchr_iter};
use pingora::http::RequestHeader;
use pingora::protocols::http::authority::validate_request_authority;

use crate::error::Refusal;

/// Maximum number of fields: Pingora accepts 256. `server.limits.header_fields` is lower and is checked later.
const MAX_FIELDS: usize = 256;

/// Maximum length of a request target, in bytes: the limit of Pingora's URI type.
const MAX_TARGET: usize = 65_534;

/// Bytes of a path that a stand-in keeps for the log.
const LOGGED_PATH: usize = 1024;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Host and framing fields of a request.
#[derive(Default)]
struct Framing<'a> {
    host: Option<&'a [u8]>,
    has_length: bool,
    has_coding: bool,
}

/// Checks a complete header section, including line ends. `Some` is a corrected section to be parsed instead.
///
/// # Errors
/// The refusal to send to the client.
pub(crate) fn check(head: &[u8]) -> Result<Option<BytesMut>, Refusal> {
    let end = memchr(b'\n', head).unwrap_or(head.len());
    let line = RequestLine::read(without_cr(&head[..end]))?;
    let (mut framing, mut count, mut from) = (Framing::default(), 0, end + 1);
    for at in memchr_iter(b'\n', head.get(from..).unwrap_or_default()) {
        let field = without_cr(&head[from..end + 1 + at]);
        from = end + 1 + at + 1;
        if field.is_empty() {
            break;
        }
        count += 1;
        framing.read(field)?;
    }
    if count > MAX_FIELDS {
        return Err(Refusal::HeaderTooLarge);
    }
    if line.is_http10 && framing.has_coding {
        return Err(invalid("Transfer-Encoding: not in HTTP/1.0 (RFC 9112 section 6.1)"));
    }
    if framing.has_coding && framing.has_length {
        return Err(invalid("Content-Length: beside Transfer-Encoding"));
    }
    let target = line.check_target(framing.host)?;
    Ok(target.map(|target| {
        let mut head_with_target = BytesMut::with_capacity(head.len() + target.len());
        head_with_target.put_slice(line.method);
        head_with_target.put_u8(b' ');
        head_with_target.put_slice(&target);
        head_with_target.put_slice(&head[line.method.len() + 1 + line.target.len()..]);
        head_with_target
    }))
}

/// Whether `bytes` cannot become an HTTP/1 request, whatever follows: the response need not wait for the end of the section.
/// `bytes` begin with the request line; `line_end` is the offset of its line feed, if it was received.
pub(crate) fn is_no_request(bytes: &[u8], line_end: Option<usize>) -> bool {
    bytes.first().is_some_and(|&first| !is_token(first) && first != b'\r')
        || line_end.is_some_and(|end| RequestLine::read(without_cr(&bytes[..end])).is_err())
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    is_http10: bool,
}

impl<'a> RequestLine<'a> {
    /// RFC 9112 section 3: a method, a target and a version, with one space between them.
    fn read(line: &'a [u8]) -> Result<Self, Refusal> {
        let not_http = |line| Err(other_protocol(line));
        let Some(method_end) = memchr(b' ', line) else { return not_http(line) };
        let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
        let Some(target_end) = memchr(b' ', rest) else { return not_http(line) };
        let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
        if method.is_empty() || !method.iter().all(|&byte| is_token(byte)) {
            return not_http(line);
        }
        let is_http10 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return not_http(line),
        };
        if target.is_empty() || target.iter().any(|&byte| byte <= b' ' || byte == 0x7F) {
            return Err(invalid("request line: a target has no blanks and no control characters"));
        }
        if target.contains(&b'#') {
            return Err(invalid("request line: a target has no fragment (RFC 9112 section 3.2)"));
        }
        Ok(Self { method, target, is_http10 })
    }

    /// Checks the target, and returns the one to be parsed instead if Pingora's URI type cannot hold this one.
    fn check_target(&self, host: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
        if self.method == b"CONNECT" {
            return Err(Refusal::MethodNotAllowed(METHODS.into()));
        }
        let path_start = match self.target {
            b"*" => return Ok(None),
            [b'/', ..] => 0,
            target => absolute_path(target).ok_or(Refusal::TargetAmbiguous)?,
        };
        let query = memchr(b'?', &self.target[path_start..]).map_or(self.target.len(), |at| path_start + at);
        let (path, query) = self.target.split_at(query);
        let is_utf8 = self.target.is_ascii() || std::str::from_utf8(self.target).is_ok();
        if path.iter().any(|byte| b"<>`".contains(byte)) || !is_utf8 && !path.is_ascii() {
            return Err(Refusal::TargetAmbiguous);
        }
        let is_carried = |byte: u8| !b"\"<>".contains(&byte) && (is_utf8 || byte.is_ascii());
        let encoded = (!query.iter().all(|&byte| is_carried(byte))).then(|| {
            let mut target = path.to_vec();
            for &byte in query {
                if is_carried(byte) {
                    target.push(byte);
                } else {
                    target.extend_from_slice(format!("%{byte:02X}").as_bytes());
                }
            }
            target
        });
        let target = encoded.as_deref().unwrap_or(self.target);
        if target.len() > MAX_TARGET {
            return Err(Refusal::TargetTooLong);
        }
        if path_start > 0 {
            check_authority(target, host)?;
        }
        Ok(encoded)
    }
}

impl<'a> Framing<'a> {
    /// RFC 9112 section 5: `name ":" OWS value OWS`.
    fn read(&mut self, field: &'a [u8]) -> Result<(), Refusal> {
        if matches!(field[0], b' ' | b'\t') {
            return Err(invalid("a field goes on in the next line (RFC 9112 section 5.2)"));
        }
        let colon = memchr(b':', field).unwrap_or(field.len());
        let (name, value) = (&field[..colon], field.get(colon + 1..));
        let Some(value) = value.filter(|_| !name.is_empty() && name.iter().all(|&byte| is_token(byte)))
        else {
            return Err(invalid("a line of the header is no field (RFC 9112 section 5)"));
        };
        // Limit of the `http` crate's field names.
        if name.len() >= 1 << 15 {
            return Err(Refusal::HeaderTooLarge);
        }
        // Without a branch, in bytes: sixteen are compared at once.
        let is_control = |byte: u8| u8::from(byte < b' ') & u8::from(byte != b'\t') | u8::from(byte == 0x7F);
        if value.iter().fold(0, |any, &byte| any | is_control(byte)) != 0 {
            return Err(invalid("a field's value has control characters (RFC 9110 section 5.5)"));
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.read_host(value.trim_ascii()),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.read_length(value.trim_ascii()),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.read_coding(value.trim_ascii()),
            _ => Ok(()),
        }
    }

    fn read_host(&mut self, value: &'a [u8]) -> Result<(), Refusal> {
        if self.host.is_some() {
            return Err(invalid("Host: more than once"));
        }
        if value.contains(&b'@') {
            return Err(invalid("Host: with user information"));
        }
        self.host = Some(value);
        Ok(())
    }

    fn read_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let fits = || std::str::from_utf8(value).is_ok_and(|value| value.parse::<usize>().is_ok());
        if self.has_length || !is_number || !fits() {
            return Err(invalid("Content-Length: not one number"));
        }
        self.has_length = true;
        Ok(())
    }

    fn read_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.has_coding || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(invalid("Transfer-Encoding: only chunked is understood"));
        }
        self.has_coding = true;
        Ok(())
    }
}

/// Returns the offset of the path in an absolute-form target (RFC 9112 section 3.2.2).
fn absolute_path(target: &[u8]) -> Option<usize> {
    let has =
        |scheme: &&[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(has)?.len();
    let authority = target[scheme..].iter().position(|byte| b"/?".contains(byte));
    Some(scheme + authority.unwrap_or(target.len() - scheme))
}

/// Checks that Pingora accepts the authority of an absolute-form target, and that it matches `Host`.
fn check_authority(target: &[u8], host: Option<&[u8]>) -> Result<(), Refusal> {
    let mut request =
        RequestHeader::build("GET", target, None).map_err(|_| invalid("request line: not a URI"))?;
    if let Some(host) = host {
        request.append_header(header::HOST, host).map_err(|_| invalid("Host: not a host name"))?;
    }
    validate_request_authority(&request).map_err(|_| invalid("Host: another one than in the request target"))
}

/// Returns the refusal of bytes that are not an HTTP/1 request line, naming the protocol that they look like.
fn other_protocol(line: &[u8]) -> Refusal {
    invalid(match line {
        [0x16, ..] => "this address speaks HTTP in clear, and what came is TLS: write http://",
        _ if line.starts_with(b"PRI * HTTP/2.0") => {
            "HTTP/2 is not accepted here without TLS: use HTTP/1.1, or set server.h2c"
        }
        _ if line.starts_with(b"PROXY ") || line.starts_with(b"\0\r\nQUIT\n") || line == b"\0" => {
            "the PROXY protocol is not accepted from this address: see server.proxy_protocol_from"
        }
        _ => "request line: a method, a target and HTTP/1.1 or HTTP/1.0, with one blank between them",
    })
}

fn invalid(detail: &str) -> Refusal {
    Refusal::RequestInvalid(detail.to_owned())
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether the byte is a token character.
const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Token characters, as a table: read for each byte of each name.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token_character(byte as u8);
        byte += 1;
    }
    table
};

/// Token characters (RFC 9110 section 5.6.2).
const fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Builds a well-formed request that stands in for a refused one. It keeps the method and path for the log, and the well-formed
/// fields that decide the form of the response and the client's address. It has no credential.
pub(crate) fn stand_in(head: &[u8]) -> BytesMut {
    let mut lines = head.split(|&byte| byte == b'\n').map(without_cr);
    let line = lines.next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let is_known = |method: &&[u8]| {
        [&b"HEAD"[..], b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"].contains(method)
    };
    let method = words.next().filter(is_known).unwrap_or(b"GET");
    let target = words.next().unwrap_or_default();
    let target = &target[absolute_path(target).unwrap_or(0)..];
    let path = target.split(|byte| b"?#".contains(byte)).next().unwrap_or_default();
    let mut request = BytesMut::with_capacity(512);
    request.put_slice(method);
    request.put_slice(b" ");
    for &byte in path.iter().take(LOGGED_PATH).filter(|_| path.starts_with(b"/")) {
        if byte.is_ascii_graphic() && !b"<>`#".contains(&byte) {
            request.put_u8(byte);
        } else {
            request.put_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    if !path.starts_with(b"/") {
        request.put_u8(b'/');
    }
    request.put_slice(b" HTTP/1.1\r\n");
    let (mut has_host, mut framing) = (false, Vec::new());
    for field in lines.take_while(|line| !line.is_empty()).take(MAX_FIELDS) {
        if is_named(field, &[b"content-length", b"transfer-encoding"]) {
            framing.push(field);
        } else if is_kept(field) && !(is_named(field, &[b"host"]) && std::mem::replace(&mut has_host, true)) {
            request.put_slice(field);
            request.put_slice(b"\r\n");
        }
    }
    // With one valid framing field, the body is read for a while (lingering close), so that the client reads its response.
    if let [field] = framing[..]
        && Framing::default().read(field).is_ok()
    {
        request.put_slice(field);
        request.put_slice(b"\r\n");
    }
    if !has_host {
        // Pingora requires a host; its value is never used.
        request.put_slice(b"Host: -\r\n");
    }
    request.put_slice(b"\r\n");
    request
}

fn is_named(field: &[u8], names: &[&[u8]]) -> bool {
    memchr(b':', field)
        .is_some_and(|colon| names.iter().any(|name| field[..colon].eq_ignore_ascii_case(name)))
}

/// Whether a stand-in keeps the field.
fn is_kept(field: &[u8]) -> bool {
    const KEPT: [&[u8]; 11] = [
        b"host",
        // Scripts of an allowed origin read the refusal (CORS).
        b"origin",
        b"expect",
        b"accept",
        b"user-agent",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-request-id",
        b"traceparent",
    ];
    is_named(field, &KEPT) && Framing::default().read(field).is_ok()
}

#[cfg(test)]
mod tests;
