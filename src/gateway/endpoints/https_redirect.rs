//! What is answered in clear on `server.redirect_listen`: people are sent on to https, programs are told.
//!
//! A program that is sent on silently goes on to send its token in clear, each time (ASVS 5.0, 4.1.2).

use http::{HeaderValue, Method, header};
use pingora::http::RequestHeader;

use crate::config::Server;
use crate::error::Refusal;
use crate::gateway::request::request_target::{host_of, origin_form};

/// Where a navigation is sent: to the address that people use for its host, and nowhere else.
///
/// # Errors
/// `HttpsRequired` for what is no navigation, or for a host that is none of ours.
pub(crate) fn to_https(request: &RequestHeader, server: &Server) -> Result<HeaderValue, Refusal> {
    let headers = &request.headers;
    let is_navigation = matches!(request.method, Method::GET | Method::HEAD)
        && headers.get("sec-fetch-mode").is_none_or(|mode| mode == "navigate")
        && ![
            header::AUTHORIZATION,
            header::UPGRADE,
            header::ORIGIN,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ]
        .iter()
        .any(|name| headers.contains_key(name));
    let target = origin_form(request);
    if !is_navigation || target.first() != Some(&b'/') {
        return Err(Refusal::HttpsRequired);
    }
    let host = host_of(request)?;
    let ours = server.public_urls.iter().find(|url| host_in(url) == Some(host.as_str()));
    let ours = ours.ok_or(Refusal::HttpsRequired)?;
    HeaderValue::from_bytes(&[ours.as_bytes(), target].concat()).map_err(|_| Refusal::HttpsRequired)
}

/// The host of an https origin, without its port.
fn host_in(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("https://")?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some(host),
        _ => Some(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn ask(method: &str, target: &str, fields: &[(&'static str, &str)]) -> Result<String, Refusal> {
        let mut server = Config::defaults(std::path::Path::new("")).server;
        server.public_urls = vec!["https://app.example.com".into(), "https://other.example.com:8443".into()];
        let mut request = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        to_https(&request, &server).map(|to| to.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_navigation_is_sent_to_the_address_of_its_host() {
        let host = ("Host", "app.example.com");
        for (target, to) in [
            ("/", "https://app.example.com/"),
            ("/a%2fb/../c?x=y&z", "https://app.example.com/a%2fb/../c?x=y&z"),
            ("//evil.test/x", "https://app.example.com//evil.test/x"),
        ] {
            assert_eq!(ask("GET", target, &[host]).as_deref(), Ok(to));
            assert_eq!(ask("HEAD", target, &[host]).as_deref(), Ok(to));
        }
        assert_eq!(
            ask("GET", "/x", &[("Host", "OTHER.example.com:80"), ("Sec-Fetch-Mode", "navigate")]).as_deref(),
            Ok("https://other.example.com:8443/x")
        );
    }

    #[test]
    fn everything_else_is_told_to_use_https() {
        let host = ("Host", "app.example.com");
        for (method, target, fields) in [
            ("POST", "/", vec![host]),
            ("DELETE", "/", vec![host]),
            ("OPTIONS", "*", vec![host]),
            ("GET", "/", vec![("Host", "evil.test")]),
            ("GET", "/", vec![host, ("Authorization", "Bearer x")]),
            ("GET", "/", vec![host, ("Upgrade", "websocket")]),
            ("GET", "/", vec![host, ("Sec-Fetch-Mode", "cors")]),
            ("GET", "/", vec![host, ("Origin", "https://app.example.com")]),
            ("GET", "/", vec![host, ("Content-Length", "5")]),
        ] {
            assert_eq!(
                ask(method, target, &fields),
                Err(Refusal::HttpsRequired),
                "{method} {target} {fields:?}"
            );
        }
        assert!(matches!(ask("GET", "/", &[]), Err(Refusal::RequestInvalid(_))));
    }
}
