//! Colours and their contrast.

use std::fmt;

/// An sRGB colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

/// Backgrounds of text in the accent colour in the light theme: the page and the card, as in `assets/page.css`.
pub(crate) const LIGHT: [Colour; 2] = [Colour([0xf3, 0xf4, 0xf6]), Colour([0xff, 0xff, 0xff])];
/// The same in the dark theme.
pub(crate) const DARK: [Colour; 2] = [Colour([0x11, 0x13, 0x18]), Colour([0x1b, 0x1e, 0x25])];

/// Minimum contrast of text (WCAG 2.2 1.4.3). Below it text is not readable by everybody; above 7 few colours remain.
const READABLE: f64 = 4.5;

impl Colour {
    const BLACK: Self = Self([0; 3]);
    const WHITE: Self = Self([0xff; 3]);

    /// `#rrggbb` or `#rgb`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        let digit = |at: usize| u8::try_from(char::from(digits.as_bytes()[at]).to_digit(16)?).ok();
        let pair = |high: usize, low: usize| Some(digit(high)? << 4 | digit(low)?);
        match digits.len() {
            3 => Some(Self([pair(0, 0)?, pair(1, 1)?, pair(2, 2)?])),
            6 => Some(Self([pair(0, 1)?, pair(2, 3)?, pair(4, 5)?])),
            _ => None,
        }
    }

    /// Contrast ratio from 1 (the same colour) to 21 (black and white), as WCAG defines it.
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Lowest contrast with any of `backgrounds`.
    pub(crate) fn least_contrast(self, backgrounds: &[Self]) -> f64 {
        backgrounds.iter().map(|background| self.contrast(*background)).fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn is_readable_on(self, backgrounds: &[Self]) -> bool {
        self.least_contrast(backgrounds) >= READABLE
    }

    /// Nearest darker colour that is readable in the light theme.
    pub(crate) fn for_light(self) -> Self {
        self.towards(Self::BLACK, &LIGHT)
    }

    /// Nearest lighter colour that is readable in the dark theme.
    pub(crate) fn for_dark(self) -> Self {
        self.towards(Self::WHITE, &DARK)
    }

    /// Mixes the colour with `end` in steps of 1/50 until it is readable.
    fn towards(self, end: Self, backgrounds: &[Self]) -> Self {
        let mixed = |step: u16| {
            let channel = |at: usize| {
                let (from, to) = (u16::from(self.0[at]), u16::from(end.0[at]));
                u8::try_from((from * (50 - step) + to * step) / 50).unwrap_or(u8::MAX)
            };
            Self([channel(0), channel(1), channel(2)])
        };
        (0..=50).map(mixed).find(|colour| colour.is_readable_on(backgrounds)).unwrap_or(end)
    }

    /// WCAG's relative luminance.
    fn luminance(self) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl fmt::Display for Colour {
    /// `#rrggbb`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_follows_wcag() {
        assert!((Colour::BLACK.contrast(Colour::WHITE) - 21.0).abs() < 1e-9);
        // The lightest grey that is readable on white.
        assert!(Colour([0x76; 3]).is_readable_on(&[Colour::WHITE]));
        assert!(!Colour([0x77; 3]).is_readable_on(&[Colour::WHITE]));
    }

    #[test]
    fn every_colour_has_a_readable_neighbour_in_each_theme() {
        for channels in [[0, 0, 0], [255, 255, 0], [255, 255, 255], [29, 95, 184], [0, 255, 0]].map(Colour) {
            assert!(channels.for_light().is_readable_on(&LIGHT), "{channels}");
            assert!(channels.for_dark().is_readable_on(&DARK), "{channels}");
        }
        let fine = Colour([29, 95, 184]);
        assert_eq!(fine.for_light(), fine, "a readable colour stays as it is");
    }

    #[test]
    fn colours_have_three_or_six_digits() {
        assert_eq!(Colour::parse("#1d5fb8").map(|c| c.to_string()).as_deref(), Some("#1d5fb8"));
        assert_eq!(Colour::parse("#FA0").map(|c| c.to_string()).as_deref(), Some("#ffaa00"));
        for wrong in ["", "#", "1d5fb8", "#1d5fb", "#1d5fbg", "#1d5fb8ff", "red", "#é1", "#ééé"] {
            assert_eq!(Colour::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn backgrounds_match_the_style_sheet() {
        let style = include_str!("../../../assets/page.css");
        let mut at = 0;
        for (theme, name) in [(LIGHT, "light"), (DARK, "dark")] {
            for (property, colour) in ["page", "card"].iter().zip(theme) {
                let line = format!("--{property}: {colour};");
                at += style[at..].find(&line).unwrap_or_else(|| panic!("no `{line}` for {name}"));
            }
        }
    }
}
