//! Apps with service workers, frames, fragments and cross-site forms, in a real browser.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::chromium::{Browser, Profile, Tab};
use crate::flows::{AT_LOGIN, Site, is_kept, sign_in};
use crate::support::gateway::ROUTES;
use crate::support::{PASSWORD, Setup};

/// Responses of an app: path, content type (or redirect target), body.
type Pages = Vec<(&'static str, String, String)>;

/// A small app, or another site. It echoes submitted forms.
async fn serve(pages: Pages) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let pages = std::sync::Arc::new(pages);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let pages = std::sync::Arc::clone(&pages);
            tokio::spawn(async move {
                let mut request = Vec::new();
                let end = loop {
                    if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                        break at + 4;
                    }
                    if stream.read_buf(&mut request).await.is_ok_and(|read| read == 0) {
                        return;
                    }
                };
                let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                while request.len() < end + length.unwrap_or(0) {
                    if stream.read_buf(&mut request).await.is_ok_and(|read| read == 0) {
                        return;
                    }
                }
                let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
                let user =
                    head.lines().find_map(|line| line.strip_prefix("x-auth-user: ")).unwrap_or("nobody");
                let found = pages.iter().find(|(known, _, _)| *known == path);
                let response = match found {
                    _ if head.starts_with("post ") => {
                        let body = String::from_utf8_lossy(&request[end..]).into_owned();
                        page(
                            &format!(
                                "<!doctype html><title>Received</title><p id=user>{user}</p><p id=body>{body}</p>"
                            ),
                            "text/html",
                        )
                    }
                    Some((_, to, _)) if to.starts_with("http") => {
                        format!(
                            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        )
                    }
                    Some((_, kind, body)) => page(body, kind),
                    None => {
                        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
                    }
                };
                // The browser may be gone by now.
                let _ = stream.write_all(response.as_bytes()).await;
            });
        }
    });
    address
}

fn page(body: &str, kind: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// A site whose `/site` is such an app, with extra lines for its route, and extra tables.
async fn site_of(pages: Pages, route: &str, more: &str) -> Site {
    let app = serve(pages).await;
    let routes = format!(
        "{ROUTES}[[routes]]\nname = \"site\"\npath = \"/site\"\naccess = \"signed-in\"\nupstream = \"site\"\n{route}\n\
         [upstreams.site]\nservers = [\"http://{app}\"]\n"
    );
    let more = more.to_owned();
    Site::like("localhost", |setup| Setup { routes, login: more, ..setup }).await
}

fn html(path: &'static str, body: &str) -> (&'static str, String, String) {
    (path, "text/html".into(), format!("<!doctype html><title>Site</title>{body}"))
}

/// Signs in and opens the page.
async fn open(site: &Site, profile: &Profile<'_>, path: &str) -> Tab {
    let tab = profile.tab().await;
    tab.open(&site.url(path)).await;
    sign_in(&tab, PASSWORD).await;
    tab.until("document.title === 'Site'").await;
    tab
}

/// A page that registers a service worker, which handles every page below `/site`.
fn with_worker(fetch: &str) -> Pages {
    let worker = format!(
        "addEventListener('install', () => skipWaiting()); addEventListener('activate', (e) => e.waitUntil(clients.claim())); \
         addEventListener('fetch', (e) => {{ if (e.request.mode === 'navigate' && e.request.method === 'GET') {fetch} }});"
    );
    vec![html("/site/page", "<p>the app"), ("/site/worker.js", "text/javascript".into(), worker)]
}

async fn register(tab: &Tab) {
    tab.run("navigator.serviceWorker.register('/site/worker.js').then(() => navigator.serviceWorker.ready).then(() => null)").await;
    tab.until("!!navigator.serviceWorker.controller").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_behind_service_worker_leads_to_sign_in_and_back() {
    let browser = Browser::start().await;
    for (fetch, is_redirected) in [
        ("e.respondWith(fetch(e.request));", true),
        ("e.respondWith(fetch(e.request).catch(() => caches.match(e.request)));", true),
        // It sends a new request, as a script does.
        ("e.respondWith(fetch(e.request.url, { headers: e.request.headers }));", false),
    ] {
        let site = site_of(with_worker(fetch), "", "").await;
        let profile = browser.profile().await;
        let tab = open(&site, &profile, "/site/page").await;
        register(&tab).await;
        tab.open(&site.url("/site/page?x=1")).await;
        assert_eq!(tab.title().await, "Site", "{fetch}");
        site.later(Duration::from_hours(13)).await;
        tab.open(&site.url("/site/page?x=2#/inbox")).await;
        if !is_redirected {
            assert!(tab.text("main").await.contains("signed in"), "{}", tab.text("body").await);
            tab.click("a.button.main").await;
        }
        tab.until(AT_LOGIN).await;
        sign_in(&tab, PASSWORD).await;
        tab.until("document.title === 'Site'").await;
        assert!(tab.url().await.starts_with(&site.url("/site/page?x=2")), "{fetch} {}", tab.url().await);
        if is_redirected {
            assert_eq!(tab.run("location.hash").await, "#/inbox", "{fetch}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frame_without_session_links_to_sign_in() {
    let browser = Browser::start().await;
    let pages =
        vec![html("/site/outer", "<iframe src=/site/inner></iframe>"), html("/site/inner", "<p>inside")];
    let site = site_of(pages, "", "").await;
    let profile = browser.profile().await;
    let tab = open(&site, &profile, "/site/outer").await;
    let inside = "document.querySelector('iframe').contentDocument";
    tab.until(&format!("{inside}?.body?.innerText === 'inside'")).await;
    site.later(Duration::from_hours(13)).await;
    // The outer page reloads the frame, and is its Referer.
    tab.run("document.querySelector('iframe').src = '/site/inner?again'; null").await;
    tab.until(&format!("{inside}?.querySelector('a.button')?.target === '_top'")).await;
    // Styled like every gateway page.
    tab.until(&format!("{inside}.styleSheets.length === 1 && {inside}.styleSheets[0].cssRules.length > 20"))
        .await;
    tab.run(&format!("{inside}.querySelector('a.button').click(); null")).await;
    tab.until(AT_LOGIN).await;
    sign_in(&tab, PASSWORD).await;
    tab.until("document.title === 'Site'").await;
    assert_eq!(tab.url().await, site.url("/site/outer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sandboxed_frame_loads_the_style_sheet() {
    let browser = Browser::start().await;
    let site = site_of(vec![html("/site/outer", "<p>the app")], "", "").await;
    let profile = browser.profile().await;
    let tab = open(&site, &profile, "/site/outer").await;
    tab.open(&site.url("/auth/login")).await;
    let sheet = tab.run("document.querySelector('link[rel=stylesheet]').href").await;
    let sheet = sheet.as_str().expect("a style sheet").to_owned();
    tab.open(&site.url("/site/outer")).await;
    // Its origin is opaque, so it is the same as no other.
    tab.run(&format!(
        "onmessage = (e) => document.title = e.data; const frame = document.createElement('iframe'); \
         frame.sandbox = 'allow-scripts'; frame.srcdoc = `<link rel=stylesheet href='{sheet}' \
         onload=\"parent.postMessage('loaded', '*')\" onerror=\"parent.postMessage('blocked', '*')\">`; \
         document.body.append(frame); null"
    ))
    .await;
    tab.until("document.title === 'loaded' || document.title === 'blocked'").await;
    assert_eq!(tab.title().await, "loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn framed_form_after_session_end_leads_to_sign_in() {
    let browser = Browser::start().await;
    let form = "<iframe name=inside></iframe><form method=post action=/site/save target=inside><textarea name=a>my text</textarea></form>";
    let site = site_of(vec![html("/site/form", form)], "", "").await;
    let profile = browser.profile().await;
    let tab = open(&site, &profile, "/site/form").await;
    let inside = "document.querySelector('iframe').contentDocument";
    tab.run("document.forms[0].submit(); null").await;
    tab.until(&format!("{inside}?.querySelector('#body')?.innerText === 'a=my+text'")).await;
    site.later(Duration::from_hours(13)).await;
    tab.run("document.forms[0].submit(); null").await;
    tab.until(&format!("{inside}?.querySelector('h1')?.innerText === 'Your form was not sent'")).await;
    let link = tab.run(&format!("{inside}.querySelector('a.button').href")).await;
    assert_eq!(tab.run(&format!("{inside}.querySelector('a.button').target")).await, "_blank");
    // In a new tab, on to the page of the form; then the one that was filled in is sent again.
    let new = profile.tab().await;
    new.open(link.as_str().expect("an address")).await;
    sign_in(&new, PASSWORD).await;
    new.until("document.title === 'Site'").await;
    assert_eq!(new.url().await, site.url("/site/form"));
    tab.run("document.forms[0].submit(); null").await;
    tab.until(&format!("{inside}?.querySelector('#body')?.innerText === 'a=my+text'")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fragment_survives_sign_in() {
    let browser = Browser::start().await;
    let site = site_of(vec![html("/site/app", "<p>the app")], "", "").await;
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&site.url("/site/app?a=1#/settings?tab=2")).await;
    assert_eq!(tab.run(AT_LOGIN).await, true);
    // Also after a failed attempt.
    sign_in(&tab, "not the password at all").await;
    tab.until("!!document.querySelector('#problem')").await;
    sign_in(&tab, PASSWORD).await;
    tab.until("document.title === 'Site'").await;
    assert_eq!(tab.url().await, site.url("/site/app?a=1#/settings?tab=2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_site_form_is_resubmitted_by_a_click() {
    let browser = Browser::start().await;
    let site = site_of(vec![html("/site/app", "<p>the app")], "cross_origin = \"confirm\"", "").await;
    let inputs = "<input name=order value=17><input name=remark value='&lt;b&gt; caf\u{e9} &amp; 1+1'><textarea name=text>\none\ntwo</textarea>";
    let form = format!(
        "<meta charset=utf-8><form method=post action='{}'>{inputs}</form><script>document.forms[0].submit()</script>",
        site.url("/site/return?id=1")
    );
    let bank = serve(vec![html("/", &form)]).await;
    let profile = browser.profile().await;
    let _signed_in = open(&site, &profile, "/site/app").await;
    let tab = profile.tab().await;
    tab.hold_animations().await;
    tab.open(&format!("http://127.0.0.1:{}/", bank.port())).await;
    tab.until("!!document.querySelector('button.later')").await;
    let shown = tab.text("main").await;
    assert!(
        shown.contains(&format!("http://127.0.0.1:{}", bank.port())) && shown.contains("/site/return?id=1"),
        "{shown}"
    );
    // Within the first second nothing can be clicked. The animation is held there, and then ended.
    tab.run("addEventListener('submit', () => window.sent = true, true); null").await;
    tab.run("document.querySelector('button.later').getAnimations()[0].currentTime = 999; null").await;
    tab.click("button.later").await;
    assert_eq!(tab.run("window.sent ?? false").await, false);
    tab.run("document.querySelector('button.later').getAnimations()[0].finish(); null").await;
    tab.click("button.later").await;
    tab.until("document.title === 'Received'").await;
    assert_eq!((tab.url().await, tab.text("#user").await), (site.url("/site/return?id=1"), "ada".to_owned()));
    let body = tab.run("document.querySelector('#body').textContent").await;
    assert_eq!(body, "order=17&remark=%3Cb%3E+caf%C3%A9+%26+1%2B1&text=one%0D%0Atwo");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_clears_workers_caches_and_storage() {
    let browser = Browser::start().await;
    let site = site_of(
        with_worker("e.respondWith(caches.match('/site/kept').then((kept) => kept ?? fetch(e.request)));"),
        "",
        "",
    )
    .await;
    let profile = browser.profile().await;
    let tab = open(&site, &profile, "/site/page").await;
    register(&tab).await;
    tab.run(
        "localStorage.setItem('draft', 'secret'); caches.open('app').then((cache) => cache.put('/site/kept', \
         new Response('<title>Kept</title>', { headers: { 'content-type': 'text/html' } }))).then(() => null)",
    )
    .await;
    tab.open(&site.url("/site/page")).await;
    assert_eq!(tab.title().await, "Kept", "the worker shows what it has kept");
    tab.open(&site.url("/auth/logout")).await;
    tab.click("form[action='/auth/logout'] button").await;
    tab.until("document.title.startsWith('You are signed out')").await;
    tab.until("navigator.serviceWorker.getRegistrations().then((all) => all.length === 0)").await;
    assert_eq!(tab.run("caches.keys().then((keys) => keys.length)").await, 0);
    assert_eq!(tab.run("localStorage.getItem('draft')").await, json!(null));
    tab.open(&site.url("/site/page")).await;
    assert_eq!(tab.run(AT_LOGIN).await, true, "{}", tab.title().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_redirects_to_another_site() {
    let browser = Browser::start().await;
    let other = serve(vec![html("/bye", "<p>bye")]).await;
    let more = format!("[browser]\nafter_sign_out = \"http://127.0.0.1:{}/bye\"\n", other.port());
    let site = site_of(vec![html("/site/app", "<p>the app")], "", &more).await;
    let profile = browser.profile().await;
    let tab = open(&site, &profile, "/site/app").await;
    tab.open(&site.url("/auth/logout")).await;
    tab.click("form[action='/auth/logout'] button").await;
    tab.until("location.pathname === '/bye'").await;
    assert!(profile.cookies().await.iter().all(is_kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_follows_an_app_redirect_to_another_site() {
    let browser = Browser::start().await;
    let other = serve(vec![html("/there", "<p>there")]).await;
    let away = ("/site/away", format!("http://127.0.0.1:{}/there", other.port()), String::new());
    let site = site_of(vec![away], "", "").await;
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&site.url("/site/away")).await;
    sign_in(&tab, PASSWORD).await;
    tab.until("location.pathname === '/there'").await;
}
