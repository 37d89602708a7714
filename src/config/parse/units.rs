//! Durations and sizes: a whole number and a unit, in a string.

use std::time::Duration;

/// Largest first, since the largest that fits is shown.
const DURATIONS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `250ms`, `30s`, `15m`, `1h`, `14d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    measure(text, &DURATIONS).map(Duration::from_millis)
}

/// Reads `500B`, `64KiB`, `1MiB`, `1GiB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    measure(text, &SIZES)
}

/// Formats a duration so that [`duration`] reads it back.
pub(crate) fn show_duration(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 { "0s".to_owned() } else { show(millis, &DURATIONS) }
}

/// Formats a size so that [`size`] reads it back.
pub(crate) fn show_size(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { show(bytes, &SIZES) }
}

fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().find(|(_, scale)| amount.is_multiple_of(*scale));
    fits.map(|(name, scale)| format!("{}{name}", amount / scale)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_a_number_and_a_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("15m", 900_000),
            ("1h", 3_600_000),
            ("14d", 1_209_600_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in
            ["", "5", "s", "-5s", "+5s", "1.5s", "5 s", " 5s", "5S", "5min", "1h30m", "99999999999999999999d"]
        {
            assert_eq!(duration(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn size_is_a_number_and_a_unit() {
        for (text, bytes) in
            [("0B", 0), ("500B", 500), ("64KiB", 65_536), ("1MiB", 1 << 20), ("1GiB", 1 << 30)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "5", "KiB", "64KB", "64kib", "64k", "1.5MiB", "64 KiB", "99999999999999999GiB"] {
            assert_eq!(size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn shown_values_read_back() {
        for text in ["0s", "250ms", "90s", "15m", "36h", "400d"] {
            assert_eq!(duration(text).map(show_duration).as_deref(), Some(text));
        }
        for text in ["0B", "500B", "64KiB", "1536KiB", "16MiB", "64GiB"] {
            assert_eq!(size(text).map(show_size).as_deref(), Some(text));
        }
    }
}
