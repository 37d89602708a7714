//! What stands in Redis under a session's key.
//!
//! ```text
//! live:       1  b'L'  user id (16)  absolute end, milliseconds since the epoch (8, big-endian)
//! tombstone:  1  b'T'
//! ```
//!
//! 26 bytes at most. Up to 44 Redis keeps a value in one allocation with its header, so there is room for 18 more.

use crate::clock::Timestamp;
use crate::id::UserId;
use crate::session::{Lookup, Record};

const VERSION: u8 = 1;
const LIVE: u8 = b'L';
const TOMBSTONE: u8 = b'T';
const LIVE_LENGTH: usize = 2 + 16 + 8;

/// A tombstone as it is written.
pub(super) const TOMBSTONE_VALUE: [u8; 2] = [VERSION, TOMBSTONE];

/// A live record as it is written.
pub(super) fn encode(record: &Record) -> [u8; LIVE_LENGTH] {
    let mut out = [0; LIVE_LENGTH];
    out[0] = VERSION;
    out[1] = LIVE;
    out[2..18].copy_from_slice(record.user_id.as_bytes());
    out[18..].copy_from_slice(&record.expires_at.millis().to_be_bytes());
    out
}

/// Reads what was found. Whatever this version did not write is as good as nothing: the vault is asked.
pub(super) fn decode(value: Option<&[u8]>) -> Lookup {
    match value {
        Some([VERSION, TOMBSTONE]) => Lookup::Tombstone,
        Some([VERSION, LIVE, rest @ ..]) => live(rest).map_or(Lookup::Absent, Lookup::Live),
        _ => Lookup::Absent,
    }
}

fn live(rest: &[u8]) -> Option<Record> {
    let (user_id, expires_at) = rest.split_first_chunk()?;
    let expires_at = i64::from_be_bytes(expires_at.try_into().ok()?);
    Some(Record { user_id: UserId::from_bytes(*user_id), expires_at: Timestamp::from_millis(expires_at) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Random, SystemRandom};

    fn any_record() -> Record {
        let random: &dyn Random = &SystemRandom;
        let expires_at = Timestamp::from_millis(i64::from_be_bytes(random.bytes()));
        Record { user_id: UserId::random(random), expires_at }
    }

    #[test]
    fn a_record_survives_to_the_millisecond() {
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
    fn a_damaged_length_is_absent() {
        let value = encode(&any_record());
        for length in 0..value.len() {
            assert_eq!(decode(Some(&value[..length])), Lookup::Absent, "{length}");
        }
        assert_eq!(decode(Some(&[&value[..], &[0]].concat())), Lookup::Absent);
        assert_eq!(decode(Some(&[VERSION, TOMBSTONE, 0])), Lookup::Absent);
    }

    #[test]
    fn an_unknown_version_or_state_is_absent() {
        for byte in 0..=u8::MAX {
            let mut value = encode(&any_record());
            value[0] = byte;
            assert_eq!(decode(Some(&value)) == Lookup::Absent, byte != VERSION);
            assert_eq!(decode(Some(&[byte, TOMBSTONE])) == Lookup::Absent, byte != VERSION);
            let mut value = encode(&any_record());
            value[1] = byte;
            assert_eq!(decode(Some(&value)) == Lookup::Absent, byte != LIVE);
        }
    }

    #[test]
    fn bytes_of_another_origin_are_never_live() {
        let random: &dyn Random = &SystemRandom;
        for length in (0..=64).filter(|length| *length != LIVE_LENGTH) {
            let mut value = vec![0; length];
            random.fill(&mut value);
            assert!(!matches!(decode(Some(&value)), Lookup::Live(_)));
        }
        for text in ["R", "{\"user\":\"00000000000000000000\"}", "OK"] {
            assert_eq!(decode(Some(text.as_bytes())), Lookup::Absent);
        }
    }
}
