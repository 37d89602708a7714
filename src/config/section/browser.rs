//! `[browser]`: people who sign in with a form and are remembered by cookies.

use std::time::Duration;

use crate::config::Server;
use crate::config::parse::hint::quoted;
use crate::config::parse::origin;
use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;

/// `[browser]`: people who sign in with the form.
#[derive(Clone, Debug, PartialEq)]
pub struct Browser {
    /// Without "stay signed in", a session ends after this long without use.
    pub idle_timeout: Duration,
    /// With it, the session lives this long, used or not; zero = it is not offered.
    pub remember: Duration,
    /// The domain whose hosts share the cookies; `None` = each host has its own.
    pub cookie_domain: Option<String>,
    /// What browsers are told to delete of an origin when somebody signs out there (`Clear-Site-Data`).
    pub clear_site_data: Vec<SiteData>,
    /// Where people go after signing out: a path, or an http or https URL; `None` = a page that says so.
    pub after_sign_out: Option<String>,
}

/// What a browser keeps of an origin (W3C Clear Site Data section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteData {
    /// Pages and files, also those that the Back button shows.
    Cache,
    /// `localStorage`, `IndexedDB`, `CacheStorage` and service workers.
    Storage,
}

impl SiteData {
    /// As `Clear-Site-Data` has it.
    pub const fn directive(self) -> &'static str {
        match self {
            Self::Cache => "\"cache\"",
            Self::Storage => "\"storage\"",
        }
    }
}

/// Browsers keep a cookie no longer (RFC 6265bis section 5.5).
const LONGEST: Duration = Duration::from_hours(400 * 24);

/// Reads `[browser]`.
pub(crate) fn browser(table: Table<'_>, default: Browser, server: &Server) -> Browser {
    let minute = Duration::from_mins(1);
    let browser = Browser {
        idle_timeout: table
            .value("idle_timeout")
            .and_then(|value| value.duration(minute..=LONGEST, "a session lives through at least one page"))
            .unwrap_or(default.idle_timeout),
        remember: table
            .value("remember")
            .and_then(|value| {
                value.duration(
                    Duration::ZERO..=LONGEST,
                    "\"0s\" offers no box, and no browser keeps a cookie beyond 400d (RFC 6265bis)",
                )
            })
            .unwrap_or(default.remember),
        cookie_domain: table.value("cookie_domain").and_then(|value| value.parsed(domain)),
        clear_site_data: table
            .value("clear_site_data")
            .and_then(|value| clear_site_data(&value))
            .unwrap_or(default.clear_site_data),
        after_sign_out: table.value("after_sign_out").and_then(|value| value.parsed(page)),
    };
    if let Some(domain) = &browser.cookie_domain
        && let Some(stray) = server.public_urls.iter().find(|url| !is_below(url, domain))
        && !table.place_of("cookie_domain").is_flawed()
    {
        table.place_of("cookie_domain").problem(format!(
            "{} is not at or below {}, so its browsers would not take the cookies: change server.public_urls, or leave \
             cookie_domain out",
            quoted(stray),
            quoted(domain)
        ));
    }
    table.finish();
    browser
}

fn clear_site_data(value: &Value<'_>) -> Option<Vec<SiteData>> {
    let kinds = [("cache", SiteData::Cache), ("storage", SiteData::Storage)];
    let mut seen = Vec::new();
    value.list(r#"["cache", "storage"]"#, |item| {
        let kind = item.choice(&kinds)?;
        if seen.contains(&kind) {
            item.place().problem("listed twice: remove one");
            return None;
        }
        seen.push(kind);
        Some(kind)
    })
}

/// A path of the same origin, or a URL.
fn page(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>');
    let is_path = text.starts_with('/') && !text.starts_with("//");
    if !(is_path || text.starts_with("https://") || text.starts_with("http://")) {
        return Err(format!(
            "{} is neither a path nor a URL: write one such as \"/goodbye\" or \"https://www.example.com/\"",
            quoted(text)
        ));
    }
    if text.len() > 2048 || !text.bytes().all(is_plain) {
        return Err(format!(
            "{} is no address as browsers write it: percent-encode blanks and other letters, up to 2048 bytes",
            quoted(text)
        ));
    }
    if !is_path {
        origin::of_url(text)?;
    }
    Ok(text.to_owned())
}

/// Whether the host of an origin is `domain` or below it.
fn is_below(url: &str, domain: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(':').next().unwrap_or(host);
    host.strip_suffix(domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

fn domain(text: &str) -> Result<String, String> {
    let name = origin::host(text)?;
    // An address has no parent, and a cookie for a whole top-level domain is refused by browsers.
    if !name.contains('.')
        || name.starts_with('[')
        || name.split('.').all(|label| label.parse::<u8>().is_ok())
    {
        return Err(format!("{} is not a domain to share: write one such as \"example.com\"", quoted(text)));
    }
    Ok(name)
}
