//! Raw HTTP/2 frames that no library would send (RFC 9113 sections 4 and 6, RFC 7541).

/// Connection preface (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// RFC 9113 section 6.9.1.
pub(crate) const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// Frame types.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Kind {
    Data = 0,
    Headers = 1,
    Reset = 3,
    Settings = 4,
    WindowUpdate = 8,
    Continuation = 9,
}

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Encodes a frame (RFC 9113 section 4.1).
pub(crate) fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind as u8, flags], &stream.to_be_bytes(), payload].concat()
}

/// First frames of a client: the initial stream window, and the largest connection window.
pub(crate) fn hello(window: u32) -> Vec<u8> {
    // SETTINGS_INITIAL_WINDOW_SIZE
    let settings = [&4_u16.to_be_bytes()[..], &window.to_be_bytes()].concat();
    // The connection window starts at 65,535.
    let more = (LARGEST_WINDOW - 65_535).to_be_bytes();
    [PREFACE, &frame(Kind::Settings, 0, 0, &settings), &frame(Kind::WindowUpdate, 0, 0, &more)].concat()
}

/// RST_STREAM with CANCEL for a stream.
pub(crate) fn cancel(stream: u32) -> Vec<u8> {
    frame(Kind::Reset, 0, stream, &8_u32.to_be_bytes())
}

/// Header block of a request, without dynamic table entries (RFC 7541 sections 6.1 and 6.2.2).
pub(crate) fn request(method: &str, target: &str) -> Vec<u8> {
    let method = match method {
        "GET" => 0x82,
        "POST" => 0x83,
        _ => unreachable!("as the static table has them"),
    };
    // :method, :scheme https, :path, :authority
    [&[method, 0x87, 0x04][..], &text(target), &[0x01], &text("gateway.test")].concat()
}

/// A field without indexing.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0x00][..], &text(name), &text(value)].concat()
}

/// A field with incremental indexing, which [`LATEST`] refers to (RFC 7541 section 6.2.1).
pub(crate) fn kept_field(name: &str, value: &str) -> Vec<u8> {
    [&[0x40][..], &text(name), &text(value)].concat()
}

/// Repeats the most recently indexed field: one byte (RFC 7541 section 6.1).
pub(crate) const LATEST: u8 = 0x80 | 62;

/// A string literal without Huffman coding (RFC 7541 sections 5.1 and 5.2).
fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match u8::try_from(text.len()).ok().filter(|&length| length < 127) {
        Some(length) => bytes.push(length),
        None => {
            bytes.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).expect("below 128") | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).expect("below 128"));
        }
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
