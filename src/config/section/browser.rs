//! `[browser]`: browser sessions, which start with the login form and use cookies.

use std::time::Duration;

use crate::config::Server;
use crate::config::parse::hint::quoted;
use crate::config::parse::origin;
use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;

/// `[browser]`: browser sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Browser {
    /// Idle timeout of a session without "Keep me signed in".
    pub idle_timeout: Duration,
    /// Absolute lifetime of a session with "Keep me signed in"; zero = not offered.
    pub remember: Duration,
    /// Domain whose hosts share the cookies; `None` = cookies per host.
    pub cookie_domain: Option<String>,
    /// Data that browsers delete when a user signs out (`Clear-Site-Data`).
    pub clear_site_data: Vec<SiteData>,
    /// Page after sign-out: a path, or an http or https URL; `None` = a built-in page.
    pub after_sign_out: Option<String>,
}

/// Data of an origin that a browser can delete (W3C Clear Site Data section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteData {
    /// Pages and files, including those that the Back button shows.
    Cache,
    /// `localStorage`, `IndexedDB`, `CacheStorage` and service workers.
    Storage,
}

impl SiteData {
    /// Directive of the `Clear-Site-Data` header.
    pub const fn directive(self) -> &'static str {
        match self {
            Self::Cache => "\"cache\"",
            Self::Storage => "\"storage\"",
        }
    }
}

/// Maximum lifetime of a cookie in browsers (RFC 6265bis section 5.5).
const MAX_LIFETIME: Duration = Duration::from_hours(400 * 24);

/// Reads `[browser]`.
pub(crate) fn browser(table: Table<'_>, default: Browser, server: &Server) -> Browser {
    let minute = Duration::from_mins(1);
    let browser = Browser {
        idle_timeout: table
            .value("idle_timeout")
            .and_then(|value| value.duration(minute..=MAX_LIFETIME, "a session must outlast one page"))
            .unwrap_or(default.idle_timeout),
        remember: table
            .value("remember")
            .and_then(|value| {
                value.duration(
                    Duration::ZERO..=MAX_LIFETIME,
                    "\"0s\" hides the checkbox, and no browser keeps a cookie beyond 400d (RFC 6265bis)",
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
        && !table.location_of("cookie_domain").has_problem()
    {
        table.location_of("cookie_domain").problem(format!(
            "{} is not at or below {}, so browsers would reject the cookies: change server.public_urls, or remove \
             cookie_domain",
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
            item.location().problem("listed twice: remove one");
            return None;
        }
        seen.push(kind);
        Some(kind)
    })
}

/// Reads a path of the same origin, or a URL.
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
            "{} is not a valid URL: percent-encode spaces and special characters, up to 2048 bytes",
            quoted(text)
        ));
    }
    if !is_path {
        origin::of_url(text)?;
    }
    Ok(text.to_owned())
}

/// Returns whether the host of an origin is `domain` or below it.
fn is_below(url: &str, domain: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(':').next().unwrap_or(host);
    host.strip_suffix(domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

fn domain(text: &str) -> Result<String, String> {
    let name = origin::host(text)?;
    // An IP address has no parent domain, and browsers reject a cookie for a whole top-level domain.
    if !name.contains('.')
        || name.starts_with('[')
        || name.split('.').all(|label| label.parse::<u8>().is_ok())
    {
        return Err(format!("{} is not a domain to share: write one such as \"example.com\"", quoted(text)));
    }
    Ok(name)
}
