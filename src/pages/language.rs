//! Language negotiation of pages.

/// Maximum number of ranges that are read. Browsers send at most a dozen.
const MAX_RANGES: usize = 32;

/// A language of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, the default.
    #[default]
    English,
    /// German.
    German,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Returns the `lang` value (BCP 47).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// Returns the language with the highest quality in `Accept-Language` fields; the earlier one of two equals (RFC
    /// 9110 12.5.4). Ranges beyond the 32nd are ignored.
    pub fn accepted<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        let ranges = fields.into_iter().flat_map(|field| field.split(','));
        let ranges = ranges.take(MAX_RANGES).filter_map(range);
        let mut best = None;
        for (language, quality) in ranges {
            if quality > 0 && best.is_none_or(|(_, highest)| quality > highest) {
                best = Some((language, quality));
            }
        }
        best.map_or(Self::default(), |(language, _)| language)
    }
}

/// Parses one range such as `de-AT;q=0.8` into a supported language and its quality in thousandths.
fn range(text: &str) -> Option<(Language, u32)> {
    let mut parts = text.split(';').map(str::trim);
    let tag = parts.next()?;
    let primary = tag.split('-').next()?;
    let named = |language: &Language| language.tag().eq_ignore_ascii_case(primary);
    let any = (tag == "*").then(Language::default);
    let language = Language::ALL.into_iter().find(named).or(any)?;
    let quality = match parts.next() {
        None => 1000,
        Some(weight) => thousandths(weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?)?,
    };
    Some((language, quality))
}

/// Parses a quality such as `0.8`: at most three decimal places, at most 1.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = part.bytes().chain(*b"000").take(3);
    let value = digits.fold(u32::from(whole == "1"), |value, digit| value * 10 + u32::from(digit - b'0'));
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_quality_wins_and_english_is_the_default() {
        let cases = [
            ("", Language::English),
            ("de", Language::German),
            ("DE-at", Language::German),
            ("fr, de;q=0.4, en;q=0.3", Language::German),
            ("de;q=0.3, en;q=0.4", Language::English),
            ("de;q=0.300,en;q=0.3", Language::German),
            ("de;q=0", Language::English),
            ("de;q=0, *", Language::English),
            ("de;q=1.5", Language::English),
            ("de;q=0.8888", Language::English),
            ("de; q=0.8 , en ; q=0.5", Language::German),
            ("*;q=0.5, de;q=0.4", Language::English),
            ("deutsch", Language::English),
            (";q=1,,;", Language::English),
        ];
        for (field, language) in cases {
            assert_eq!(Language::accepted([field]), language, "{field:?}");
        }
        assert_eq!(Language::accepted(["fr", "de;q=0.1"]), Language::German, "several fields are one list");
    }

    #[test]
    fn ranges_beyond_the_limit_are_not_read() {
        let behind = |count: usize| format!("{}de", "fr;q=0.1,".repeat(count));
        assert_eq!(Language::accepted([behind(MAX_RANGES - 1).as_str()]), Language::German);
        assert_eq!(Language::accepted([behind(MAX_RANGES).as_str()]), Language::English);
        let mut read = 0;
        let fields = std::iter::repeat_n("fr", 10_000).inspect(|_| read += 1);
        assert_eq!(Language::accepted(fields), Language::English);
        assert!(read <= MAX_RANGES + 1, "{read}");
    }
}
