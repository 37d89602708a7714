//! Incremental parser of HTTP/2 frames (RFC 9113 section 4.1): frame headers and the first bytes of payloads.

/// Length of a frame header: length, type, flags and stream.
const FRAME_HEADER: usize = 9;

/// Bytes of a payload that are kept: the stream and the error code of a GOAWAY.
pub(super) const PAYLOAD_KEPT: usize = 8;

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// A complete frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) length: usize,
    /// The first [`PAYLOAD_KEPT`] bytes of the payload.
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns four bytes of the payload as a number.
    pub(super) fn number(&self, at: usize) -> Option<u32> {
        self.payload.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
    }
}

/// Parser of the frames of one direction.
#[derive(Debug, Default)]
pub(super) struct Parser {
    header: [u8; FRAME_HEADER],
    header_length: usize,
    payload: [u8; PAYLOAD_KEPT],
    payload_length: usize,
    payload_left: usize,
}

impl Parser {
    /// Parses bytes, and calls `complete` for every frame that ends in them.
    pub(super) fn parse(&mut self, mut bytes: &[u8], complete: &mut impl FnMut(&Frame<'_>)) {
        while !bytes.is_empty() {
            if self.header_length < FRAME_HEADER {
                let taken = bytes.len().min(FRAME_HEADER - self.header_length);
                self.header[self.header_length..self.header_length + taken].copy_from_slice(&bytes[..taken]);
                self.header_length += taken;
                bytes = &bytes[taken..];
                if self.header_length < FRAME_HEADER {
                    return;
                }
                self.payload_length = 0;
                self.payload_left = self.length();
            }
            let taken = bytes.len().min(self.payload_left);
            let kept = taken.min(PAYLOAD_KEPT - self.payload_length);
            self.payload[self.payload_length..self.payload_length + kept].copy_from_slice(&bytes[..kept]);
            self.payload_length += kept;
            self.payload_left -= taken;
            bytes = &bytes[taken..];
            if self.payload_left == 0 {
                self.header_length = 0;
                let [_, _, _, kind, flags, a, b, c, d] = self.header;
                complete(&Frame {
                    kind,
                    flags,
                    stream: u32::from_be_bytes([a & 0x7F, b, c, d]),
                    length: self.length(),
                    payload: &self.payload[..self.payload_length],
                });
            }
        }
    }

    /// Returns the type of the frame whose header is complete and whose payload is not.
    pub(super) fn incomplete(&self) -> Option<u8> {
        (self.header_length == FRAME_HEADER).then_some(self.header[3])
    }

    fn length(&self) -> usize {
        let [high, middle, low, ..] = self.header;
        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
    }
}
