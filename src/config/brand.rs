//! `[brand]`: whose pages they are. Files are read here, so that a missing one is found before anybody sees a page.

use std::path::Path;

use bytes::Bytes;

use super::colour::{Colour, DARK, LIGHT};
use super::hint::quoted;
use super::reader::Table;
use super::secrets::path;
use super::value::Value;
use super::{Brand, Logo, LogoKind};

/// Reads `[brand]`.
pub(super) fn brand(table: Table<'_>, default: Brand, dir: &Path) -> Brand {
    let accent = table.value("accent").and_then(|value| value.parsed(light));
    let dark = table.value("accent_dark").and_then(|value| value.parsed(dark));
    let brand = Brand {
        name: table.value("name").and_then(|value| value.parsed(name)).unwrap_or(default.name),
        accent_dark: dark.or(accent.map(Colour::for_dark)).unwrap_or(default.accent_dark),
        accent: accent.unwrap_or(default.accent),
        logo: table.value("logo_file").and_then(|value| logo(&value, dir)),
        css: table.value("css_file").and_then(|value| css(&value, dir)),
    };
    table.finish();
    brand
}

fn name(text: &str) -> Result<String, String> {
    // It stands above the card on a phone; two lines of it are the most that looks like a name.
    const MOST: usize = 60;
    if text.trim().is_empty() || text.chars().count() > MOST || text.chars().any(char::is_control) {
        return Err(format!("{} is not a name: write 1 to {MOST} characters in one line", quoted(text)));
    }
    Ok(text.to_owned())
}

fn light(text: &str) -> Result<Colour, String> {
    let colour = colour(text)?;
    if colour.is_readable_on(&LIGHT) {
        return Ok(colour);
    }
    Err(faint(colour, "light", colour.least_contrast(&LIGHT), colour.for_light(), "darker"))
}

fn dark(text: &str) -> Result<Colour, String> {
    let colour = colour(text)?;
    if colour.is_readable_on(&DARK) {
        return Ok(colour);
    }
    Err(faint(colour, "dark", colour.least_contrast(&DARK), colour.for_dark(), "lighter"))
}

fn faint(colour: Colour, theme: &str, contrast: f64, instead: Colour, way: &str) -> String {
    // Rounded down: 4.49 is not 4.5.
    let contrast = (contrast * 10.0).floor() / 10.0;
    format!(
        "\"{colour}\" has a contrast of {contrast:.1}:1 on the {theme} pages, and text needs 4.5:1 (WCAG 1.4.3): write \
         \"{instead}\", or one that is {way} still"
    )
}

fn colour(text: &str) -> Result<Colour, String> {
    Colour::parse(text)
        .ok_or_else(|| format!("{} is not a colour: write one such as \"#1d5fb8\"", quoted(text)))
}

fn logo(value: &Value<'_>, dir: &Path) -> Option<Logo> {
    value.parsed(|text| {
        // Every visitor loads it before they see who asks for their password.
        let bytes = contents(text, dir, 256 << 10)?;
        let kind = kind(&bytes).ok_or_else(|| {
            format!("{} is none of SVG, PNG, JPEG and WebP: save the logo as one of these", quoted(text))
        })?;
        Ok(Logo { kind, bytes })
    })
}

/// By its first bytes: what the name says does not count.
fn kind(bytes: &[u8]) -> Option<LogoKind> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some(LogoKind::Png);
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Some(LogoKind::Jpeg);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Some(LogoKind::WebP);
    }
    let text = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').trim_start();
    let is_svg = text.starts_with("<svg")
        || ((text.starts_with("<?xml") || text.starts_with("<!")) && text.contains("<svg"));
    is_svg.then_some(LogoKind::Svg)
}

fn css(value: &Value<'_>, dir: &Path) -> Option<Bytes> {
    value.parsed(|text| {
        let bytes = contents(text, dir, 64 << 10)?;
        if std::str::from_utf8(&bytes).is_err() {
            return Err(format!("{} is not UTF-8: save it in that encoding", quoted(text)));
        }
        Ok(bytes)
    })
}

fn contents(text: &str, dir: &Path, most: u64) -> Result<Bytes, String> {
    let file = path(text, dir)?;
    let unread = |error| {
        format!("`{}` cannot be read: {error}; put the file there, or name another one", file.display())
    };
    let size = std::fs::metadata(&file).map_err(unread)?.len();
    if size > most || size == 0 {
        return Err(format!(
            "`{}` has {size} bytes: every visitor loads it, so keep it between 1 and {most}",
            file.display()
        ));
    }
    std::fs::read(&file).map(Bytes::from).map_err(unread)
}
