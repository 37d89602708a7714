//! Which language a page is in.

/// A language the pages are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English: also for whoever asks for none of ours.
    #[default]
    English,
    /// German.
    German,
}

impl Language {
    /// Every one of them.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// As `lang` has it (BCP 47).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The one with the highest quality in `Accept-Language` fields; the earlier one of two equals (RFC 9110 12.5.4).
    pub fn accepted<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        let ranges = fields.into_iter().flat_map(|field| field.split(',')).filter_map(range);
        let mut best = None;
        for (language, quality) in ranges {
            if quality > 0 && best.is_none_or(|(_, most)| quality > most) {
                best = Some((language, quality));
            }
        }
        best.map_or(Self::default(), |(language, _)| language)
    }
}

/// One range, `de-AT;q=0.8`: the language of ours it asks for, and how much, in thousandths.
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

/// `0.8` and the like: at most three digits after the point, at most 1.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u32 = format!("{whole}{part:0<3}").parse().ok()?;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_quality_wins_and_the_rest_is_english() {
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
}
