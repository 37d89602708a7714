//! Redirect to https on `server.redirect_listen`: browser navigation is redirected, any other request is refused.
//!
//! A program that is redirected silently would send its token in clear every time (ASVS 5.0, 4.1.2).

use http::{HeaderValue, Method, header};
use pingora::http::RequestHeader;

use crate::config::Server;
use crate::error::Refusal;
use crate::gateway::request::request_target::{host_of, origin_form};

/// Returns the redirect target of a navigation, on the public URL of its host.
///
/// # Errors
/// `HttpsRequired` if the request is not a navigation, or no public URL has its host.
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
    let public_url = server.public_urls.iter().find(|url| host_in(url) == Some(host.as_str()));
    let public_url = public_url.ok_or(Refusal::HttpsRequired)?;
    HeaderValue::from_bytes(&[public_url.as_bytes(), target].concat()).map_err(|_| Refusal::HttpsRequired)
}

/// Returns the host of an https origin, without its port.
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

    fn redirect(method: &str, target: &str, fields: &[(&'static str, &str)]) -> Result<String, Refusal> {
        let mut server = Config::defaults(std::path::Path::new("")).server;
        server.public_urls = vec!["https://app.example.com".into(), "https://other.example.com:8443".into()];
        let mut request = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        to_https(&request, &server).map(|to| to.to_str().unwrap().to_owned())
    }

    #[test]
    fn navigation_is_redirected_to_public_url_of_its_host() {
        let host = ("Host", "app.example.com");
        for (target, to) in [
            ("/", "https://app.example.com/"),
            ("/a%2fb/../c?x=y&z", "https://app.example.com/a%2fb/../c?x=y&z"),
            ("//evil.test/x", "https://app.example.com//evil.test/x"),
        ] {
            assert_eq!(redirect("GET", target, &[host]).as_deref(), Ok(to));
            assert_eq!(redirect("HEAD", target, &[host]).as_deref(), Ok(to));
        }
        assert_eq!(
            redirect("GET", "/x", &[("Host", "OTHER.example.com:80"), ("Sec-Fetch-Mode", "navigate")])
                .as_deref(),
            Ok("https://other.example.com:8443/x")
        );
    }

    #[test]
    fn other_requests_are_refused_with_https_required() {
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
                redirect(method, target, &fields),
                Err(Refusal::HttpsRequired),
                "{method} {target} {fields:?}"
            );
        }
        assert!(matches!(redirect("GET", "/", &[]), Err(Refusal::RequestInvalid(_))));
    }
}
