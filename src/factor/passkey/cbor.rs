//! Reader of the little CBOR that authenticator data has: a COSE key and a map of extensions.
//!
//! Strict, as CTAP2's canonical form is: definite lengths, shortest lengths and integers, no tags, at most four levels.
//! Each step takes at least one byte, so the work is linear whatever a header claims.

/// Maximum number of maps and arrays within each other (CTAP 2.1 section 8).
const MAX_DEPTH: u32 = 4;

/// Major types (RFC 8949 section 3.1).
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

/// Integer or byte string: all that a COSE key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
}

/// Bytes that are not read yet. Every method returns `None` for what is not there, or not as this module has it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the next `length` bytes as they are.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads the header of a map. Returns the number of its entries.
    pub(super) fn map(&mut self) -> Option<u64> {
        let (MAP, entries) = self.header()? else { return None };
        Some(entries)
    }

    pub(super) fn integer(&mut self) -> Option<i64> {
        let Value::Integer(integer) = self.value()? else { return None };
        Some(integer)
    }

    pub(super) fn value(&mut self) -> Option<Value<'a>> {
        match self.header()? {
            (UNSIGNED, value) => i64::try_from(value).ok().map(Value::Integer),
            (NEGATIVE, value) => i64::try_from(value).ok().map(|value| Value::Integer(-1 - value)),
            (BYTES, length) => self.take(usize::try_from(length).ok()?).map(Value::Bytes),
            _ => None,
        }
    }

    /// Reads a whole map, whatever is in it.
    pub(super) fn skip_map(&mut self) -> Option<()> {
        let entries = self.map()?;
        self.skip_all(entries.checked_mul(2)?, 1)
    }

    fn skip_all(&mut self, items: u64, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        (0..items).try_for_each(|_| self.skip(depth))
    }

    fn skip(&mut self, depth: u32) -> Option<()> {
        match self.header()? {
            (UNSIGNED | NEGATIVE | SIMPLE, _) => Some(()),
            (BYTES, length) => self.take(usize::try_from(length).ok()?).map(|_| ()),
            (TEXT, length) => {
                let text = self.take(usize::try_from(length).ok()?)?;
                std::str::from_utf8(text).is_ok().then_some(())
            }
            (ARRAY, items) => self.skip_all(items, depth + 1),
            (MAP, entries) => self.skip_all(entries.checked_mul(2)?, depth + 1),
            _ => None,
        }
    }

    /// Reads a major type and its argument. The argument of a simple value or a float is its bits.
    fn header(&mut self) -> Option<(u8, u64)> {
        let first = *self.take(1)?.first()?;
        let (major, short) = (first >> 5, first & 31);
        let length = match short {
            0..24 => return Some((major, u64::from(short))),
            24..28 => 1 << (short - 24),
            // Reserved, and the indefinite length.
            _ => return None,
        };
        let argument = self.take(length)?.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let smallest = match length {
            // Simple values below 32 are written in one byte; a float's length is its precision.
            1 if major == SIMPLE => 32,
            _ if major == SIMPLE => 0,
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        (argument >= smallest).then_some((major, argument))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skips(bytes: &[u8]) -> bool {
        let mut reader = Reader::new(bytes);
        reader.skip_map().is_some() && reader.is_at_end()
    }

    #[test]
    fn value_is_read_in_its_shortest_form_only() {
        let value = |bytes: &'static [u8]| Reader::new(bytes).value();
        for (bytes, integer) in [
            (&b"\x00"[..], 0),
            (b"\x17", 23),
            (b"\x18\x18", 24),
            (b"\x19\x01\x00", 256),
            (b"\x1a\x00\x01\x00\x00", 65_536),
            (b"\x1b\x00\x00\x00\x01\x00\x00\x00\x00", 1 << 32),
            (b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
            (b"\x20", -1),
            (b"\x26", -7),
            (b"\x39\x01\x00", -257),
            (b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MIN),
        ] {
            assert_eq!(value(bytes), Some(Value::Integer(integer)), "{bytes:x?}");
        }
        assert_eq!(value(b"\x43abc"), Some(Value::Bytes(b"abc")));
        assert_eq!(value(b"\x40"), Some(Value::Bytes(b"")));
        for bad in [
            &b""[..],
            b"\x18",
            b"\x18\x17",
            b"\x19\x00\xff",
            b"\x1a\x00\x00\xff\xff",
            b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
            b"\x1b\x80\x00\x00\x00\x00\x00\x00\x00",
            b"\x3b\x80\x00\x00\x00\x00\x00\x00\x00",
            b"\x1c",
            b"\x1d",
            b"\x1e",
            b"\x1f",
            b"\x43ab",
            b"\x58\x03abc",
            b"\x5f\x41a\xff",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x61a",
            b"\x80",
            b"\xa0",
            b"\xc0\x00",
            b"\xf5",
        ] {
            assert_eq!(Reader::new(bad).value(), None, "{bad:x?}");
        }
        assert_eq!(Reader::new(b"\x40").integer(), None);
        assert_eq!(Reader::new(b"\x00").map(), None);
    }

    #[test]
    fn map_of_extensions_is_skipped_to_its_end() {
        for good in [
            &b"\xa0"[..],
            b"\xa1\x6bcredProtect\x02",
            b"\xa1\x6bhmac-secret\xf5",
            b"\xa2\x61a\x43abc\x61b\xf9\x3c\x00",
            b"\xa2\x61a\xf6\x61b\xf8\x20",
            b"\xa1\x61a\xfb\x00\x00\x00\x00\x00\x00\x00\x00",
            // Four levels.
            b"\xa1\x61a\x81\xa1\x01\x81\x00",
        ] {
            assert!(skips(good), "{good:x?}");
        }
        for bad in [
            &b""[..],
            b"\x80",
            b"\x00",
            b"\xa1",
            b"\xa1\x61a",
            b"\xa0\x00",
            b"\xbf\xff",
            b"\xa1\x61a\x5f\xff",
            b"\xa1\x61a\xff",
            b"\xa1\x61a\xc0\x00",
            b"\xa1\x61a\xf8\x14",
            b"\xa1\x61\xff\x00",
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff\x00",
            b"\xa1\x61a\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            // Five levels.
            b"\xa1\x61a\x81\xa1\x01\x81\x80",
        ] {
            assert!(!skips(bad), "{bad:x?}");
        }
        assert!(!skips(&[0xa1; 4096]), "no deep recursion");
        assert!(!skips(&[0x81; 4096]));
    }
}
