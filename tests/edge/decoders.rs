//! Path decoders of known servers, independent of the gateway's policy. They decide the corpus of paths and the fuzz
//! target.
//!
//! Each is as lenient as some version of its server has been, since it stands for an unknown backend. `None` means that
//! it refuses.

use unicode_normalization::UnicodeNormalization as _;

/// Maps an origin-form target to the path that selects a file or a handler.
pub(crate) type Decoder = fn(&[u8]) -> Option<Vec<u8>>;

/// Their names, and whether they are case-sensitive.
pub(crate) const DECODERS: [(&str, Decoder, bool); 8] = [
    ("literal", literal, true),
    ("nginx", nginx, true),
    ("tomcat", tomcat, true),
    ("iis", iis, false),
    ("node", node, true),
    ("router", router, true),
    ("double", double, true),
    ("folder", folder, false),
];

/// A server that compares bytes.
fn literal(target: &[u8]) -> Option<Vec<u8>> {
    Some(cut(target, b"?#").to_vec())
}

/// With `merge_slashes`: escapes decoded once, slashes merged, dot segments removed, nothing above the root.
fn nginx(target: &[u8]) -> Option<Vec<u8>> {
    let path = unescape(cut(target, b"?#"), Bad::Refused)?;
    (!path.contains(&0)).then_some(())?;
    resolve(&path, Above::Refused)
}

/// Removes parameters before and after decoding; accepts overlong UTF-8 as its older decoders did; treats a backslash
/// as a slash.
fn tomcat(target: &[u8]) -> Option<Vec<u8>> {
    let path = unescape(&without_parameters(cut(target, b"?")), Bad::Refused)?;
    (!path.contains(&0)).then_some(())?;
    let path = without_parameters(&slashed(&overlong(&path)));
    resolve(&path, Above::Refused)
}

/// `%uXXXX`, best-fit characters, backslashes, dots and spaces at the end of names, case-insensitive; a NUL ends a
/// name.
fn iis(target: &[u8]) -> Option<Vec<u8>> {
    let path = unescape(&unescape_wide(cut(target, b"?#")), Bad::Kept)?;
    let path: String = String::from_utf8_lossy(&path).chars().map(best_fit).collect();
    let path = slashed(cut(path.as_bytes(), b"\0"));
    let name = |segment: &[u8]| -> Vec<u8> {
        let short = segment.trim_ascii_end();
        if short == b"." || short == b".." {
            return short.to_vec();
        }
        let end = segment.iter().rposition(|&b| b != b'.' && b != b' ').map_or(0, |at| at + 1);
        segment[..end].to_vec()
    };
    let path = resolve(&path, Above::Root)?;
    let names: Vec<Vec<u8>> = path.split(|&b| b == b'/').map(name).collect();
    Some(resolve(&names.join(&b'/'), Above::Root)?.to_ascii_lowercase())
}

/// `path.posix.normalize(decodeURIComponent(new URL(request.url, base).pathname))`: a leading `//` starts an authority.
fn node(target: &[u8]) -> Option<Vec<u8>> {
    let path = unescape(&resolved_as_url(target), Bad::Refused)?;
    std::str::from_utf8(&path).ok()?;
    resolve(&path, Above::Root)
}

/// `new URL(decodeURI(request.url), base).pathname`: a decoded authority counts; delimiters stay encoded.
fn router(target: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    for (at, &byte) in target.iter().enumerate() {
        let code = target.get(at + 1..at + 3).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        let delimits = byte == b'%' && code.is_some_and(|byte| b";/?:@&=+$,#".contains(&byte));
        kept.extend_from_slice(if delimits { b"%25" } else { std::slice::from_ref(&byte) });
    }
    let decoded = unescape(&kept, Bad::Refused)?;
    std::str::from_utf8(&decoded).ok()?;
    resolve(resolved_as_url(&decoded).trim_ascii_end(), Above::Root)
}

/// WHATWG URL parsing for http: backslashes are slashes, two of them start an authority, `%2e` is a dot in a dot
/// segment.
fn resolved_as_url(target: &[u8]) -> Vec<u8> {
    let target: Vec<u8> = target.iter().copied().filter(|b| !b"\t\r\n".contains(b)).collect();
    let path = slashed(cut(&target, b"?#"));
    let path = if path.starts_with(b"//") {
        let rest = &path[path.iter().position(|&b| b != b'/').unwrap_or(path.len())..];
        rest.iter().position(|&b| b == b'/').map_or(&b"/"[..], |at| &rest[at..]).to_vec()
    } else {
        path
    };
    let dots = |segment: &[u8]| -> Vec<u8> {
        match segment.to_ascii_lowercase().as_slice() {
            b"%2e" => b".".to_vec(),
            b".%2e" | b"%2e." | b"%2e%2e" => b"..".to_vec(),
            _ => segment.to_vec(),
        }
    };
    let segments: Vec<Vec<u8>> = path.split(|&b| b == b'/').map(dots).collect();
    segments.join(&b'/')
}

/// Decodes twice; each time a `?` or `#` that appears ends the path.
fn double(target: &[u8]) -> Option<Vec<u8>> {
    let once = unescape(cut(target, b"?#"), Bad::Kept)?;
    let twice = unescape(cut(&once, b"?#"), Bad::Kept)?;
    resolve(&without_parameters(cut(&slashed(&twice), b"?#")), Above::Root)
}

/// Removes compatibility forms, marks and zero-width characters, then folds case, like case-insensitive stores.
fn folder(target: &[u8]) -> Option<Vec<u8>> {
    let path = unescape(cut(target, b"?#"), Bad::Refused)?;
    let text = String::from_utf8(path).ok()?;
    let shown = |c: &char| {
        let mark = matches!(c, '\u{300}'..='\u{36f}');
        !mark
            && !matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
    };
    let folded: String = text.nfkd().filter(shown).collect();
    let folded = folded.to_uppercase().to_lowercase();
    resolve(folded.as_bytes(), Above::Root)
}

/// Handling of an invalid escape.
#[derive(Clone, Copy, PartialEq)]
enum Bad {
    Refused,
    Kept,
}

/// Handling of `..` at the root.
#[derive(Clone, Copy, PartialEq)]
enum Above {
    Refused,
    Root,
}

fn cut<'a>(text: &'a [u8], at: &[u8]) -> &'a [u8] {
    text.split(|b| at.contains(b)).next().unwrap_or_default()
}

fn unescape(text: &[u8], bad: Bad) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let code = text.get(at + 1..at + 3).filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        match (byte, code) {
            (b'%', Some(code)) => {
                out.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
                at += 2;
            }
            (b'%', None) if bad == Bad::Refused => return None,
            _ => out.push(byte),
        }
        at += 1;
    }
    Some(out)
}

fn unescape_wide(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let wide = text.get(at..at + 6).filter(|wide| wide[0] == b'%' && matches!(wide[1], b'u' | b'U'));
        let wide = wide.and_then(|wide| u32::from_str_radix(std::str::from_utf8(&wide[2..]).ok()?, 16).ok());
        match wide.and_then(char::from_u32) {
            Some(wide) => {
                out.extend_from_slice(wide.to_string().as_bytes());
                at += 6;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Decodes overlong sequences of two and three bytes.
fn overlong(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at..] {
            [lead @ 0xc0..=0xc1, next, ..] => {
                out.push((lead & 1) << 6 | next & 0x3f);
                at += 2;
            }
            [0xe0, middle @ 0x80..=0x81, last, ..] => {
                out.push((middle & 1) << 6 | last & 0x3f);
                at += 3;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}

fn slashed(path: &[u8]) -> Vec<u8> {
    path.iter().map(|&b| if b == b'\\' { b'/' } else { b }).collect()
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    path.split(|&b| b == b'/').map(|segment| cut(segment, b";")).collect::<Vec<_>>().join(&b'/')
}

/// Best-fit replacement of a character missing in the code page.
fn best_fit(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{2044}' | '\u{2215}' => '/',
        '\u{2216}' => '\\',
        '\u{2024}' => '.',
        '\u{101}' | '\u{103}' | '\u{105}' | '\u{1ce}' => 'a',
        '\u{10f}' | '\u{111}' => 'd',
        '\u{129}' | '\u{12b}' | '\u{12d}' | '\u{131}' => 'i',
        '\u{144}' | '\u{146}' | '\u{148}' => 'n',
        _ => c,
    }
}

/// Merges slashes and removes dot segments.
fn resolve(path: &[u8], above: Above) -> Option<Vec<u8>> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|&b| b == b'/') {
        match segment {
            b"" | b"." => {}
            b".." if kept.pop().is_none() && above == Above::Refused => return None,
            b".." => {}
            _ => kept.push(segment),
        }
    }
    let mut out = vec![b'/'];
    out.extend_from_slice(&kept.join(&b'/'));
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    if !kept.is_empty() && matches!(last, b"" | b"." | b"..") {
        out.push(b'/');
    }
    Some(out)
}

/// The longest of `prefixes` that contains the path, by whole segments: an independent definition of route matching.
pub(crate) fn matching_prefix<'p>(path: &[u8], prefixes: &[&'p str], keeps_case: bool) -> Option<&'p str> {
    let below = |prefix: &&&str| {
        let prefix = prefix.trim_end_matches('/').as_bytes();
        let Some((head, rest)) = path.split_at_checked(prefix.len()) else { return false };
        let same = if keeps_case { head == prefix } else { head.eq_ignore_ascii_case(prefix) };
        same && (rest.is_empty() || rest[0] == b'/')
    };
    prefixes.iter().filter(below).max_by_key(|prefix| prefix.trim_end_matches('/').len()).copied()
}
