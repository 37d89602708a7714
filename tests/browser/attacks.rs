//! Attacks by other sites and by crafted links on a user's browser (T49-T54).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::chromium::Browser;
use crate::flows::{Site, sign_in};
use crate::support::PASSWORD;

/// A cross-site page that submits a form as soon as it is opened.
async fn evil_site(action: String, fields: &'static [(&'static str, &'static str)]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let inputs: String =
        fields.iter().map(|(name, value)| format!("<input name=\"{name}\" value=\"{value}\">")).collect();
    let page = format!(
        "<!doctype html><title>evil</title><form method=post action=\"{action}\">{inputs}</form>\
         <script>document.forms[0].submit()</script>"
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            // The request does not matter.
            let _ = stream.read(&mut request).await;
            let response = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            );
            let _ = stream.write_all(response.as_bytes()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_site_forms_change_nothing() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    let cookies = profile.cookies().await.len();
    for (path, fields) in [
        ("/auth/logout", &[("csrf", "guessed")][..]),
        ("/auth/logout-all", &[]),
        ("/auth/sessions/end-others", &[]),
        ("/auth/refresh", &[]),
        ("/auth/password", &[("current_password", PASSWORD), ("new_password", "quite another password")]),
        // Login CSRF: signs the victim in as another user.
        ("/auth/login", &[("username", "ada"), ("password", PASSWORD)]),
    ] {
        let evil = evil_site(site.url(path), fields).await;
        let other = profile.tab().await;
        // The IP address and the name are different sites to a browser.
        other.open(&format!("http://127.0.0.1:{}/", evil.port())).await;
        other
            .until(&format!("location.origin === '{}' && document.readyState === 'complete'", site.origin))
            .await;
        assert_ne!(other.title().await, "The app", "{path}");
        assert_eq!(tab.run("fetch('/notes').then((r) => r.status)").await, 200, "{path}: still signed in");
    }
    assert_eq!(profile.cookies().await.len(), cookies);
    // The password is unchanged.
    let elsewhere = browser.profile().await;
    site.signed_in(&elsewhere).await;
}

/// Spellings of another origin that could pass as a local path. T52
const ELSEWHERE: [&str; 40] = [
    "https://evil.test/",
    "http://evil.test/",
    "//evil.test/",
    "///evil.test/",
    "////evil.test/",
    "/\\evil.test/",
    "\\\\evil.test/",
    "\\/evil.test/",
    "/\\/evil.test/",
    "/%2F/evil.test/",
    "/%2f%2fevil.test/",
    "%2F%2Fevil.test/",
    "/%5Cevil.test/",
    "/%09/evil.test/",
    "/\t/evil.test/",
    "\t//evil.test/",
    "/\n/evil.test/",
    "\n//evil.test",
    " //evil.test/",
    "/%0d%0aLocation:%20//evil.test",
    "/.//evil.test/",
    "/..//evil.test/",
    "/x/..//evil.test/",
    "/;//evil.test/",
    "https:evil.test",
    "https:/evil.test",
    "https:///evil.test",
    "HTTPS://evil.test",
    "javascript:location='//evil.test'",
    "data:text/html,<script>location='//evil.test'</script>",
    "//evil.test@localhost/",
    "//localhost@evil.test/",
    "//evil.test:80/",
    "//evil%2etest/",
    "/@evil.test/",
    "//\u{ff45}vil.test/",
    "/\u{2215}/evil.test/",
    "/\u{200b}/evil.test/",
    "?return_to=//evil.test",
    "#//evil.test",
];

#[tokio::test(flavor = "multi_thread")]
async fn login_never_redirects_to_another_origin() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let (stranger, profile) = (browser.profile().await, browser.profile().await);
    let signed_in = site.signed_in(&profile).await;
    let at_home = format!("location.origin === '{}' && document.readyState === 'complete'", site.origin);
    for (at, place) in ELSEWHERE.iter().enumerate() {
        let escaped: String = place.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let link = site.url(&format!("/auth/login?return_to={escaped}"));
        signed_in.open(&link).await;
        signed_in.until(&at_home).await;
        // The same after a sign-in: every fifth, since each costs a password hash.
        if at % 5 == 0 {
            let fresh = browser.profile().await;
            let tab = fresh.tab().await;
            tab.open(&link).await;
            sign_in(&tab, PASSWORD).await;
            tab.until("!document.querySelector('#password')").await;
            tab.until(&at_home).await;
        }
        // And as a path of the app that redirects to the login.
        let tab = stranger.tab().await;
        tab.open(&site.url(&format!("/page/?to={escaped}"))).await;
        tab.until(&at_home).await;
    }
}
