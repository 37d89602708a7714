//! A browser at header level: a cookie jar, Fetch metadata and the forms of gateway pages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::gateway::SOON;
use crate::support::{PASSWORD, Response, TestGateway, assert_eventually, http};

/// Public URL of the gateways in these tests.
pub(crate) const ORIGIN: &str = "http://gateway.test";

pub(crate) const PAGE: [(&str, &str); 3] =
    [("Accept", "text/html,*/*;q=0.8"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
const FROM_US: [(&str, &str); 2] = [("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin")];
const SCRIPT: [(&str, &str); 3] =
    [("Accept", "*/*"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")];

#[derive(Clone)]
pub(crate) struct Browser {
    address: SocketAddr,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(gateway: &TestGateway) -> Self {
        Self { address: gateway.address(), cookies: BTreeMap::new() }
    }

    /// The same browser at another gateway.
    pub(crate) fn at(&self, gateway: &TestGateway) -> Self {
        Self { address: gateway.address(), ..self.clone() }
    }

    /// A browser that has signed in through the form.
    pub(crate) async fn signed_in(gateway: &TestGateway, name: &str) -> Self {
        let mut browser = Self::new(gateway);
        let response = browser.sign_in(name, PASSWORD, "/auth/login", &[]).await;
        assert_eq!((response.status, response.header("location")), (303, Some("/")), "{}", response.text());
        browser
    }

    /// Loads the form at `login` and submits it.
    pub(crate) async fn sign_in(
        &mut self,
        name: &str,
        password: &str,
        login: &str,
        more: &[(&str, &str)],
    ) -> Response {
        let page = self.go(login).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let mut fields = hidden(&page);
        fields
            .extend([("username".to_owned(), name.to_owned()), ("password".to_owned(), password.to_owned())]);
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.post("/auth/login", &fields).await
    }

    /// Navigates to a page.
    pub(crate) async fn go(&mut self, target: &str) -> Response {
        self.ask("GET", target, &PAGE, b"").await
    }

    /// Fetches from a script.
    pub(crate) async fn fetch(&mut self, target: &str) -> Response {
        self.ask("GET", target, &SCRIPT, b"").await
    }

    /// Submits a form of a gateway page.
    pub(crate) async fn post(&mut self, target: &str, fields: &[(String, String)]) -> Response {
        let headers: Vec<_> = PAGE.into_iter().chain(FROM_US).collect();
        self.post_with(target, fields, &headers).await
    }

    pub(crate) async fn post_with(
        &mut self,
        target: &str,
        fields: &[(String, String)],
        headers: &[(&str, &str)],
    ) -> Response {
        let body = encode(fields);
        let headers: Vec<_> = [("Content-Type", "application/x-www-form-urlencoded")]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        self.ask("POST", target, &headers, body.as_bytes()).await
    }

    pub(crate) async fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let cookie = self.cookie();
        let mut headers = headers.to_vec();
        if !cookie.is_empty() {
            headers.push(("Cookie", &cookie));
        }
        let response = http::request(self.address, method, target, &headers, body).await;
        self.take(&response);
        response
    }

    pub(crate) fn cookie(&self) -> String {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    /// Stores the cookies of a response.
    pub(crate) fn take(&mut self, response: &Response) {
        for cookie in response.all("set-cookie") {
            let (name, rest) = cookie.split_once('=').expect("a name");
            let value = rest.split(';').next().unwrap_or_default();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(crate) fn access(&self) -> &str {
        &self.cookies["__Host-doorward-access"]
    }

    pub(crate) fn refresh(&self) -> &str {
        &self.cookies["__Host-doorward-refresh"]
    }
}

/// Hidden fields of the first form on a page.
pub(crate) fn hidden(page: &Response) -> Vec<(String, String)> {
    let text = page.text();
    let form = text.split("<form").nth(1).unwrap_or_else(|| panic!("no form: {text}"));
    let form = form.split("</form>").next().unwrap_or_default();
    form.split("<input type=\"hidden\"")
        .skip(1)
        .map(|tag| (attribute(tag, "name"), attribute(tag, "value")))
        .collect()
}

fn attribute(tag: &str, name: &str) -> String {
    let rest = tag.split(&format!(" {name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {tag}"));
    let value = rest.split('"').next().unwrap_or_default();
    value.replace("&#38;", "&").replace("&amp;", "&")
}

pub(crate) fn encode(fields: &[(String, String)]) -> String {
    let escape = |text: &str| {
        let one = |byte: u8| match byte {
            b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        };
        text.bytes().map(one).collect::<String>()
    };
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

/// The fields with one changed.
pub(crate) fn with(fields: &[(String, String)], name: &str, value: &str) -> Vec<(String, String)> {
    let mut fields: Vec<_> = fields.iter().filter(|(known, _)| known != name).cloned().collect();
    fields.push((name.to_owned(), value.to_owned()));
    fields
}

/// Advances the clock and waits until the gateway has read its vault again.
pub(crate) async fn later(gateway: &TestGateway, span: Duration) {
    gateway.clock.advance(span);
    assert_eventually("the gateway is current", SOON, async || gateway.probe("/readyz").await.status == 200)
        .await;
}
