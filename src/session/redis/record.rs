//! Format of the values stored in Redis under a session's key.
//!
//! ```text
//! live:       2  b'L'  user id (16)  absolute end (8)  idle end (8)  kind of client (1)
//! live, old:  1  b'L'  user id (16)  absolute end (8)
//! tombstone:  1  b'T'
//! ```
//!
//! Times are milliseconds since the epoch, big-endian. The old form is read and no longer written, except for a record
//! without an idle end. A doorward that writes it reads the new one as absent and queries the vault. Both versions read
//! the tombstone.
//!
//! A value has at most 35 bytes. Redis keeps a value of up to 44 bytes in one allocation with its header, so there is
//! room for 9 more.

use crate::clock::Timestamp;
use crate::id::UserId;
use crate::identity::ClientKind;
use crate::session::{Lookup, Record};

const VERSION: u8 = 2;
const OLD: u8 = 1;
const LIVE: u8 = b'L';
const TOMBSTONE: u8 = b'T';
const LIVE_LENGTH: usize = 2 + 16 + 8 + 8 + 1;

/// A tombstone as written.
pub(super) const TOMBSTONE_VALUE: [u8; 2] = [OLD, TOMBSTONE];

/// Encodes a live record. Without an idle end the old form is used.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(LIVE_LENGTH);
    out.extend([if record.idle.is_some() { VERSION } else { OLD }, LIVE]);
    out.extend(record.user_id.as_bytes());
    out.extend(record.expires_at.millis().to_be_bytes());
    if let Some((idle_end, kind)) = record.idle {
        out.extend(idle_end.millis().to_be_bytes());
        out.push(kind.to_u8());
    }
    out
}

/// Decodes a value. An unknown format counts as absent, so the vault is queried.
pub(super) fn decode(value: Option<&[u8]>) -> Lookup {
    match value {
        Some([OLD, TOMBSTONE]) => Lookup::Tombstone,
        Some([VERSION, LIVE, rest @ ..]) => live(rest, true).map_or(Lookup::Absent, Lookup::Live),
        Some([OLD, LIVE, rest @ ..]) => live(rest, false).map_or(Lookup::Absent, Lookup::Live),
        _ => Lookup::Absent,
    }
}

fn live(rest: &[u8], has_idle_end: bool) -> Option<Record> {
    let (user_id, rest) = rest.split_first_chunk()?;
    let (expires_at, rest) = time(rest)?;
    let (idle, rest) = match rest {
        _ if !has_idle_end => (None, rest),
        _ => {
            let (idle_end, rest) = time(rest)?;
            let (kind, rest) = rest.split_first()?;
            (Some((idle_end, ClientKind::from_u8(*kind)?)), rest)
        }
    };
    rest.is_empty().then(|| Record { user_id: UserId::from_bytes(*user_id), expires_at, idle })
}

fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (millis, rest) = bytes.split_first_chunk()?;
    Some((Timestamp::from_millis(i64::from_be_bytes(*millis)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Random, SystemRandom};

    fn any_record() -> Record {
        let random: &dyn Random = &SystemRandom;
        let time = || Timestamp::from_millis(i64::from_be_bytes(random.bytes()));
        let kind = ClientKind::from_u8(random.bytes::<1>()[0] % 3 + 1).unwrap();
        Record { user_id: UserId::random(random), expires_at: time(), idle: Some((time(), kind)) }
    }

    #[test]
    fn record_round_trips_to_the_millisecond() {
        for _ in 0..1000 {
            let record = any_record();
            let value = encode(&record);
            assert!(value.len() <= 44);
            assert_eq!(decode(Some(&value)), Lookup::Live(record));
        }
        assert_eq!(decode(Some(&TOMBSTONE_VALUE)), Lookup::Tombstone);
        assert_eq!(decode(None), Lookup::Absent);
    }

    #[test]
    fn wrong_length_is_absent() {
        let value = encode(&any_record());
        for length in 0..value.len() {
            assert_eq!(decode(Some(&value[..length])), Lookup::Absent, "{length}");
        }
        assert_eq!(decode(Some(&[&value[..], &[0]].concat())), Lookup::Absent);
        assert_eq!(decode(Some(&[OLD, TOMBSTONE, 0])), Lookup::Absent);
    }

    #[test]
    fn unknown_version_or_state_is_absent() {
        for byte in 0..=u8::MAX {
            let mut value = encode(&any_record());
            value[0] = byte;
            assert_eq!(decode(Some(&value)) == Lookup::Absent, byte != VERSION);
            assert_eq!(decode(Some(&[byte, TOMBSTONE])) == Lookup::Absent, byte != OLD);
            let mut value = encode(&any_record());
            value[1] = byte;
            assert_eq!(decode(Some(&value)) == Lookup::Absent, byte != LIVE);
        }
    }

    #[test]
    fn old_record_is_live_without_an_idle_end() {
        let old = Record { idle: None, ..any_record() };
        let value = encode(&old);
        assert_eq!((value.len(), value[0]), (26, OLD), "as it was written then");
        assert_eq!(decode(Some(&value)), Lookup::Live(old));
        assert_eq!(decode(Some(&[&value[..], &[0]].concat())), Lookup::Absent);
    }

    #[test]
    fn unknown_client_kind_is_absent() {
        for byte in 0..=u8::MAX {
            let mut value = encode(&any_record());
            *value.last_mut().unwrap() = byte;
            assert_eq!(decode(Some(&value)) == Lookup::Absent, !(1..=3).contains(&byte), "{byte}");
        }
    }

    #[test]
    fn foreign_values_are_never_live() {
        let random: &dyn Random = &SystemRandom;
        for length in (0..=64).filter(|length| ![26, LIVE_LENGTH].contains(length)) {
            let mut value = vec![0; length];
            random.fill(&mut value);
            assert!(!matches!(decode(Some(&value)), Lookup::Live(_)));
        }
        for text in ["R", "{\"user\":\"00000000000000000000\"}", "OK"] {
            assert_eq!(decode(Some(text.as_bytes())), Lookup::Absent);
        }
    }
}
