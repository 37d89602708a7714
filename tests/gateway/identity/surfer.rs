//! A browser that goes back and forth between the gateway and the provider, with the cookies of each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::browser::{Browser, ORIGIN, encode, hidden, with};
use crate::support::{Response, TestGateway, http};

/// Maximum number of redirects in a row. A sign-in has about eight.
const MAX_REDIRECTS: usize = 16;

/// The provider's button on the sign-in page.
pub(super) const BUTTON: &str = "<button name=\"provider\" value=\"sso\"";

/// A browser.
#[derive(Clone)]
pub(crate) struct Surfer {
    /// The browser at the gateway.
    pub(crate) here: Browser,
    /// Cookies of the provider, by name and path.
    there: BTreeMap<(String, String), String>,
    /// Origin of the provider.
    origin: String,
    provider: SocketAddr,
    /// URL in the address bar.
    pub(crate) at: String,
    /// URLs that were visited, in order.
    pub(crate) trail: Vec<String>,
    /// A URL with this text is not visited: the redirect that leads there is returned.
    pub(crate) stop_at: Option<&'static str>,
}

impl Surfer {
    pub(super) fn new(gateway: &TestGateway, provider: SocketAddr) -> Self {
        Self {
            here: Browser::new(gateway),
            there: BTreeMap::new(),
            origin: format!("http://{provider}"),
            provider,
            at: ORIGIN.to_owned(),
            trail: Vec::new(),
            stop_at: None,
        }
    }

    /// Goes to a URL, or to a path of the host in the address bar, and follows redirects.
    pub(super) async fn go(&mut self, url: &str) -> Response {
        let mut next = Some(url.to_owned());
        let mut last = None;
        for _ in 0..MAX_REDIRECTS {
            let Some(url) = next.take() else { break };
            let url = self.absolute(&url);
            self.at.clone_from(&url);
            if last.is_some() && self.stop_at.is_some_and(|text| url.contains(text)) {
                break;
            }
            let response = self.visit(&url).await;
            next = redirect(&response);
            last = Some(response);
        }
        assert!(next.is_none(), "too many redirects: {:#?}", self.trail);
        last.expect("one page at least")
    }

    /// Follows the redirects of a response of the gateway.
    pub(super) async fn follow(&mut self, response: Response) -> Response {
        self.at = ORIGIN.to_owned();
        match redirect(&response) {
            Some(url) if self.stop_at.is_some_and(|text| url.contains(text)) => {
                self.at = self.absolute(&url);
                response
            }
            Some(url) => self.go(&url).await,
            None => response,
        }
    }

    /// Requests one URL, and follows nothing.
    pub(super) async fn visit(&mut self, url: &str) -> Response {
        self.trail.push(url.to_owned());
        if let Some(target) = url.strip_prefix(ORIGIN) {
            return self.here.go(if target.is_empty() { "/" } else { target }).await;
        }
        self.ask_provider("GET", url, b"").await
    }

    /// Chooses the provider on the sign-in page that `target` leads to.
    pub(super) async fn choose(&mut self, target: &str) -> Response {
        let page = self.go(&format!("{ORIGIN}{target}")).await;
        self.press(&page).await
    }

    /// Presses the provider's button on the sign-in page.
    pub(super) async fn press(&mut self, page: &Response) -> Response {
        assert!(page.text().contains(BUTTON), "no button: {}", page.text());
        self.submit(page, "/auth/login", &[("provider", "sso")]).await
    }

    /// Signs in at the provider whose page is shown.
    pub(super) async fn sign_in_there(&mut self, name: &str) -> Response {
        assert!(self.at.starts_with(&self.origin), "not at the provider: {}", self.at);
        let url = self.at.clone();
        let form = encode(&[("login".to_owned(), name.to_owned())]);
        let response = self.ask_provider("POST", &url, form.as_bytes()).await;
        match redirect(&response) {
            Some(next) => self.go(&next).await,
            None => response,
        }
    }

    /// Opens a page of the gateway, and signs in with the provider on the way.
    pub(super) async fn sign_in(&mut self, name: &str, target: &str) -> Response {
        let page = self.choose(target).await;
        if page.text().contains("<title>Provider</title>") { self.sign_in_there(name).await } else { page }
    }

    /// Signs in with the name in the request, so that the provider asks nothing.
    pub(super) async fn sign_in_as(&mut self, name: &str) {
        let page = self.go(&format!("{ORIGIN}/auth/providers/sso/start?login_hint={name}")).await;
        assert_eq!(page.status, 200, "{name}: {} {}", self.at, page.text());
    }

    /// Signs in as far as the callback, which is not visited. Returns its URL.
    pub(super) async fn up_to_callback(&mut self, name: &str, target: &str) -> String {
        self.stop_at = Some("/callback?");
        self.sign_in(name, target).await;
        self.stop_at = None;
        assert!(self.at.contains("/callback?"), "{}", self.at);
        self.at.clone()
    }

    /// Submits the form of a page of the gateway, with some fields changed, and follows redirects.
    pub(super) async fn submit(
        &mut self,
        page: &Response,
        action: &str,
        changes: &[(&str, &str)],
    ) -> Response {
        let fields = changes.iter().fold(hidden(page), |fields, (name, value)| with(&fields, name, value));
        let response = self.here.post(action, &fields).await;
        self.follow(response).await
    }

    /// Signs out at the provider whose page with a form is shown.
    pub(super) async fn confirm_there(&mut self, page: &Response) -> Response {
        self.submit_there(page, &[]).await
    }

    /// Submits the form of a page of the provider with more fields, and follows redirects.
    pub(super) async fn submit_there(&mut self, page: &Response, more: &[(&str, &str)]) -> Response {
        let text = page.text();
        let form = text.split("<form").nth(1).unwrap_or_else(|| panic!("no form: {text}"));
        let (tag, form) = form.split_once('>').expect("a tag");
        // Without an action it is the page's own address.
        let action = attribute(tag, "action").unwrap_or_else(|| self.at.clone());
        let hidden = form.split("<input type=\"hidden\"").skip(1).map(|rest| {
            let tag = rest.split('>').next().unwrap_or_default();
            (attribute(tag, "name").expect("a name"), attribute(tag, "value").unwrap_or_default())
        });
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let fields: Vec<(String, String)> = hidden.chain(more).collect();
        let url = self.absolute(&action);
        let response = self.ask_provider("POST", &url, encode(&fields).as_bytes()).await;
        match redirect(&response) {
            Some(next) => self.go(&next).await,
            None => response,
        }
    }

    async fn ask_provider(&mut self, method: &str, url: &str, body: &[u8]) -> Response {
        let target = url.strip_prefix(&self.origin).unwrap_or_else(|| panic!("a stranger's URL: {url}"));
        let target = target.split('#').next().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let sent: Vec<String> = (self.there.iter())
            .filter(|((_, below), _)| path.starts_with(below.as_str()))
            .map(|((name, _), value)| format!("{name}={value}"))
            .collect();
        let (cookie, host) = (sent.join("; "), self.provider.to_string());
        let mut headers = vec![("Host", host.as_str()), ("Accept", "text/html")];
        if !cookie.is_empty() {
            headers.push(("Cookie", &cookie));
        }
        if method == "POST" {
            headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        }
        let response = http::request(self.provider, method, target, &headers, body).await;
        for cookie in response.all("set-cookie") {
            let (name, rest) = cookie.split_once('=').expect("a name");
            let mut parts = rest.split(';').map(str::trim);
            let value = parts.next().unwrap_or_default();
            let path = parts.clone().find_map(|part| part.strip_prefix("path=")).unwrap_or("/");
            let key = (name.to_owned(), path.to_owned());
            if rest.contains("expires=Thu, 01 Jan 1970") {
                self.there.remove(&key);
            } else {
                self.there.insert(key, value.to_owned());
            }
        }
        response
    }

    fn absolute(&self, url: &str) -> String {
        if !url.starts_with('/') {
            return url.to_owned();
        }
        let is_there = self.at.starts_with(&self.origin);
        format!("{}{url}", if is_there { self.origin.as_str() } else { ORIGIN })
    }
}

/// The first link on a page with this text in its URL.
pub(super) fn link(page: &Response, text: &str) -> String {
    let html = page.text();
    let mut links = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let found = links.find(|url| url.contains(text)).unwrap_or_else(|| panic!("no link {text}: {html}"));
    found.replace("&#38;", "&").replace("&amp;", "&")
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let rest = tag.split(&format!(" {name}=\"")).nth(1)?;
    let value = rest.split('"').next().unwrap_or_default();
    Some(value.replace("&#x27;", "'").replace("&quot;", "\"").replace("&amp;", "&"))
}

fn redirect(response: &Response) -> Option<String> {
    let is_redirect = matches!(response.status, 302 | 303);
    response.header("location").filter(|_| is_redirect).map(str::to_owned)
}
