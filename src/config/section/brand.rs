//! `[brand]`: appearance of the pages. Files are read here, so that a missing one is found before a page is served.

use std::path::Path;

use bytes::Bytes;

use crate::config::parse::colour::{Colour, DARK, LIGHT};
use crate::config::parse::hint::quoted;
use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;
use crate::config::parse::secrets::path;

/// `[brand]`: appearance of the gateway's own pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Brand {
    /// Name shown at the top of every page and in its title.
    pub name: String,
    /// Colour of links and buttons in the light theme; readable there.
    pub accent: Colour,
    /// Colour of links and buttons in the dark theme; readable there.
    pub accent_dark: Colour,
    /// Logo shown beside the name.
    pub logo: Option<Logo>,
    /// Style sheet loaded after the built-in one.
    pub css: Option<Bytes>,
}

/// A logo image, unmodified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// Image format.
    pub kind: LogoKind,
    /// Content of the file.
    pub bytes: Bytes,
}

/// Supported image formats of a logo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoKind {
    /// `image/svg+xml`
    Svg,
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
    /// `image/webp`
    WebP,
}

impl LogoKind {
    /// File name extension of this format.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }

    /// Value of `Content-Type`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }
}

/// Reads `[brand]`.
pub(crate) fn brand(table: Table<'_>, default: Brand, dir: &Path) -> Brand {
    let accent = table.value("accent").and_then(|value| value.parsed(light));
    let dark = table.value("accent_dark").and_then(|value| value.parsed(dark));
    let brand = Brand {
        name: table.value("name").and_then(|value| value.parsed(name)).unwrap_or(default.name),
        accent_dark: dark.or(accent.map(Colour::for_dark)).unwrap_or(default.accent_dark),
        accent: accent.unwrap_or(default.accent),
        logo: table.value("logo_file").and_then(|value| logo(&value, &table, dir)),
        css: table.value("css_file").and_then(|value| css(&value, &table, dir)),
    };
    table.finish();
    brand
}

fn name(text: &str) -> Result<String, String> {
    // It is shown above the card on a phone; beyond two lines it no longer looks like a name.
    const MAX_LENGTH: usize = 60;
    if text.trim().is_empty() || text.chars().count() > MAX_LENGTH || text.chars().any(char::is_control) {
        return Err(format!(
            "{} is not a name: write 1 to {MAX_LENGTH} characters in one line",
            quoted(text)
        ));
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

fn logo(value: &Value<'_>, table: &Table<'_>, dir: &Path) -> Option<Logo> {
    value.parsed(|text| {
        // Every visitor loads it together with the login page.
        let bytes = contents((table, "logo_file"), text, dir, 256 << 10)?;
        let kind = kind(&bytes).ok_or_else(|| {
            format!("{} is not SVG, PNG, JPEG or WebP: save the logo as one of these", quoted(text))
        })?;
        Ok(Logo { kind, bytes })
    })
}

/// Detects the format by the first bytes; the file name is ignored.
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

fn css(value: &Value<'_>, table: &Table<'_>, dir: &Path) -> Option<Bytes> {
    value.parsed(|text| {
        let bytes = contents((table, "css_file"), text, dir, 64 << 10)?;
        if std::str::from_utf8(&bytes).is_err() {
            return Err(format!("{} is not UTF-8: save it in that encoding", quoted(text)));
        }
        Ok(bytes)
    })
}

/// Reads the file that `key` names and adds it to the watched files.
fn contents(
    key: (&Table<'_>, &'static str),
    text: &str,
    dir: &Path,
    max_bytes: u64,
) -> Result<Bytes, String> {
    let (table, key) = key;
    let file = path(text, dir)?;
    let unread = |error| {
        format!("`{}` cannot be read: {error}; put the file there, or name another one", file.display())
    };
    // The size is checked first: the path may name a whole disk.
    let size = std::fs::metadata(&file).map_or(0, |file| file.len());
    let bytes =
        if size > max_bytes { Bytes::new() } else { table.file(key, &file).map_err(unread)?.to_vec().into() };
    if bytes.is_empty() {
        return Err(format!(
            "`{}` has {size} bytes: every visitor loads it, so keep it between 1 and {max_bytes}",
            file.display()
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Reads `[brand]` with these lines in a directory with a few files. Returns the brand or the problems.
    fn read(lines: &str) -> Result<Brand, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("logo.svg", b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
        write("logo.png", b"\x89PNG\r\n\x1a\n rest");
        write("logo.gif", b"GIF89a");
        write("own.css", b"main { border-radius: 0 }");
        write("latin1.css", b"/* \xe9 */");
        write("large.css", &[b' '; (64 << 10) + 1]);
        let parsed =
            Config::parse(&format!("[brand]\n{lines}"), &folder.path().join("gateway.toml"), &|_| None);
        let dir = format!("{}/", folder.path().display());
        parsed.map(|config| config.brand).map_err(|problems| {
            problems
                .iter()
                .map(|problem| format!("{}: {}", problem.key, problem.message).replace(&dir, ""))
                .collect()
        })
    }

    #[test]
    fn brand_has_a_name_colours_and_files() {
        let brand =
            read("name = \"Example Works\"\naccent = \"#0a7d4b\"\nlogo_file = \"logo.svg\"\ncss_file = \"own.css\"")
                .unwrap();
        assert_eq!((brand.name.as_str(), brand.accent.to_string()), ("Example Works", "#0a7d4b".to_owned()));
        assert!(brand.accent_dark.is_readable_on(&DARK), "lightened for the dark theme");
        assert_eq!(brand.logo.unwrap().kind, LogoKind::Svg);
        assert!(brand.css.unwrap().starts_with(b"main"));
        assert_eq!(read("logo_file = \"logo.png\"").unwrap().logo.unwrap().kind, LogoKind::Png);
    }

    #[test]
    fn every_problem_of_a_brand_says_what_to_write() {
        let lines = "name = \" \"\naccent = \"#ffcc00\"\naccent_dark = \"#333\"\nlogo_file = \"logo.gif\"\n\
                     css_file = \"gone.css\"";
        assert_eq!(
            read(lines).unwrap_err(),
            [
                "brand.name: \" \" is not a name: write 1 to 60 characters in one line",
                "brand.accent: \"#ffcc00\" has a contrast of 1.3:1 on the light pages, and text needs 4.5:1 (WCAG \
                 1.4.3): write \"#846a00\", or one that is darker still",
                "brand.accent_dark: \"#333333\" has a contrast of 1.3:1 on the dark pages, and text needs 4.5:1 (WCAG \
                 1.4.3): write \"#888888\", or one that is lighter still",
                "brand.logo_file: \"logo.gif\" is not SVG, PNG, JPEG or WebP: save the logo as one of these",
                "brand.css_file: `gone.css` cannot be read: No such file or directory (os error 2); put the file there, \
                 or name another one",
            ]
        );
        assert_eq!(
            read("accent = \"blue\"").unwrap_err(),
            ["brand.accent: \"blue\" is not a colour: write one such as \"#1d5fb8\""]
        );
        assert_eq!(
            read("css_file = \"latin1.css\"").unwrap_err(),
            ["brand.css_file: \"latin1.css\" is not UTF-8: save it in that encoding"]
        );
        assert_eq!(
            read("css_file = \"large.css\"").unwrap_err(),
            [
                "brand.css_file: `large.css` has 65537 bytes: every visitor loads it, so keep it between 1 and 65536"
            ]
        );
        assert_eq!(
            read("colour = \"#000\"").unwrap_err(),
            ["brand.colour: unknown key: remove it, or see gateway.toml for every key"]
        );
    }
}
