//! Appearance and accessibility of the pages.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::chromium::{Appearance, Browser, Tab};
use crate::gallery;

/// axe-core, downloaded by `.ci/setup`: checks a page against WCAG 2.2 A and AA.
const AXE: &str = ".venv/node/axe/node_modules/axe-core/axe.min.js";

/// axe-core's source.
pub(crate) fn axe() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(AXE);
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{AXE}: {error}: run `.ci/setup test`"))
}

/// axe-core violations of the current page: rule and element.
pub(crate) async fn violations(tab: &Tab) -> Vec<String> {
    let found = tab
        .run(
            "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }) \
             .then((r) => r.violations.flatMap((v) => v.nodes.map((n) => v.id + ': ' + n.html + ' ' + n.failureSummary)))",
        )
        .await;
    found.as_array().expect("a list").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Opens a page and ends its animations: a button may be hidden for the first second.
async fn show(tab: &Tab, url: &str) {
    tab.open(url).await;
    tab.run("document.getAnimations().forEach((animation) => animation.finish()); null").await;
}

/// Each page in each theme and width fits without horizontal scrolling, loads all its files under its policy, and
/// passes axe-core. With `DOORWARD_SCREENSHOTS=<folder>` (`make screenshots`) the test also writes the screenshots.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_and_is_accessible_in_every_layout() {
    let folder = std::env::var_os("DOORWARD_SCREENSHOTS");
    let (address, browser, axe) = (gallery::serve().await, Browser::start().await, axe());
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    let mut faults = Vec::new();
    for look in Appearance::ALL {
        tab.set_appearance(look).await;
        for name in gallery::NAMES {
            show(&tab, &format!("http://localhost:{}/{name}", address.port())).await;
            let overflow = tab.run("document.documentElement.scrollWidth - innerWidth").await;
            if overflow.as_i64() > Some(0) {
                faults.push(format!("{name} {}: {overflow} pixels too wide", look.name));
            }
            let styled = "document.styleSheets.length === 1 && document.styleSheets[0].cssRules.length > 20";
            if tab.run(styled).await != true {
                faults.push(format!("{name}: the style sheet did not load"));
            }
            tab.run(&format!("{axe};null")).await;
            faults
                .extend(violations(&tab).await.iter().map(|fault| format!("{name} {}: {fault}", look.name)));
            if let Some(folder) = &folder {
                let picture = STANDARD.decode(tab.screenshot().await).expect("base64");
                std::fs::write(Path::new(folder).join(format!("{name}-{}.webp", look.name)), picture)
                    .expect("a screenshot");
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Faults of a page with text of another size, as people set it in their browser: what is wider than the window, a heading that
/// is broken inside a word, a field without room for what is typed.
const LARGE_TEXT_FAULTS: &str = "
(() => {
  document.documentElement.style.fontSize = SIZE;
  const faults = [];
  const name = (e) => `${e.tagName} ${e.className} ${e.textContent.trim().slice(0, 30)}`;
  for (const e of document.querySelectorAll('body *')) {
    const right = Math.round(e.getBoundingClientRect().right);
    if (right > WIDTH) faults.push(`${name(e)}: ends at ${right}`);
  }
  const scroll = document.documentElement.scrollWidth;
  if (scroll > WIDTH) faults.push(`scrolls to ${scroll}`);
  for (const heading of document.querySelectorAll('h1')) {
    const text = heading.firstChild;
    for (const word of text.textContent.matchAll(/[^ ]+/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (range.getClientRects().length > 1) faults.push(`h1 breaks ${word[0]}`);
    }
  }
  for (const field of document.querySelectorAll('.field input')) {
    const style = getComputedStyle(field);
    const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (room < 5 * parseFloat(style.fontSize)) faults.push(`#${field.id}: ${room} pixels to type in`);
  }
  for (const list of document.querySelectorAll('.devices dl')) {
    const width = list.getBoundingClientRect().width, size = parseFloat(getComputedStyle(list).fontSize);
    if (list.checkVisibility() && width < Math.min(9 * size, WIDTH / 2)) faults.push(`dl: ${width} pixels wide`);
  }
  return faults;
})()";

/// WCAG 1.4.4 (text of 200 %) and 1.4.10 (a window of 320 pixels).
#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_a_narrow_window_with_large_text() {
    let (address, browser) = (gallery::serve().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    let mut faults = Vec::new();
    for language in ["en", "de"] {
        tab.languages(language).await;
        for (width, size) in [(320, "100%"), (320, "200%"), (640, "300%"), (1280, "200%")] {
            tab.set_appearance(Appearance { name: "narrow", width, height: 700, dark: false }).await;
            for name in gallery::NAMES {
                show(&tab, &format!("http://localhost:{}/{name}", address.port())).await;
                let script = LARGE_TEXT_FAULTS.replace("SIZE", &format!("'{size}'"));
                let found = tab.run(&script.replace("WIDTH", &width.to_string())).await;
                let found = found.as_array().expect("a list").iter().filter_map(Value::as_str);
                faults.extend(found.map(|fault| format!("{name} {language} {width} {size}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn confirm_and_cancel_buttons_are_separate_and_equally_wide() {
    let (address, browser) = (gallery::serve().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    show(&tab, &format!("http://localhost:{}/resend", address.port())).await;
    let gap = "(() => { const [send, not] = ['button.main', '.instead .button'].map((s) => \
               document.querySelector(s).getBoundingClientRect()); \
               return [not.top - send.bottom, not.width - send.width]; })()";
    let gap = tab.run(gap).await;
    assert!(gap[0].as_f64() >= Some(8.0) && gap[1].as_f64() == Some(0.0), "{gap}");
}

/// A broken axe-core would pass every check above.
#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_a_planted_fault() {
    let (address, browser) = (gallery::serve().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&format!("http://localhost:{}/sign-in", address.port())).await;
    tab.run("document.querySelector('label[for=username]').remove()").await;
    tab.run(&format!("{};null", axe())).await;
    let found = violations(&tab).await;
    assert!(found.iter().any(|fault| fault.starts_with("label:")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shown_password_is_hidden_again_before_submit() {
    let (address, browser) = (gallery::serve().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&format!("http://localhost:{}/sign-in", address.port())).await;
    assert_eq!(tab.title().await, "Sign in · Example Works");
    assert_eq!(tab.run("document.activeElement.id").await, "username", "ready to type");
    tab.fill("#password", "correct horse").await;
    tab.click(".show").await;
    assert_eq!(tab.run("document.querySelector('#password').type").await, "text");
    assert_eq!(tab.run("document.querySelector('.show').ariaPressed").await, "true");
    tab.run("document.querySelector('form').addEventListener('submit', (e) => e.preventDefault())").await;
    tab.fill("#username", "ada").await;
    tab.click("button.main").await;
    tab.until("document.querySelector('#password').type === 'password'").await;
    assert_eq!(tab.run("document.querySelector('#password').value").await, "correct horse");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_form_works_without_scripts() {
    let (address, browser) = (gallery::serve().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.scripts(false).await;
    tab.open(&format!("http://localhost:{}/sign-in", address.port())).await;
    assert_eq!(tab.run("document.querySelector('.show').checkVisibility()").await, false);
    tab.fill("#username", "ada").await;
    tab.press("Tab").await;
    assert_eq!(
        tab.run("document.activeElement.id").await,
        "password",
        "the keyboard goes from field to field"
    );
    tab.fill("#password", "correct horse").await;
    tab.press("Enter").await;
    tab.until("location.pathname === '/auth/login'").await;
    assert!(!tab.url().await.contains("correct"), "nothing typed is in an address");
}

#[tokio::test(flavor = "multi_thread")]
async fn german_browser_gets_german_pages() {
    let (address, browser) = (gallery::serve().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.languages("de-AT,de;q=0.9,en;q=0.8").await;
    tab.open(&format!("http://localhost:{}/sign-in-wrong", address.port())).await;
    assert_eq!(tab.title().await, "Problem: Anmelden · Example Works");
    assert_eq!(tab.run("document.documentElement.lang").await, "de");
    assert!(tab.text("[role=alert]").await.starts_with("Der Benutzername oder das Passwort ist falsch."));
    // The user name is already filled in. The browser moves the focus when it renders the page.
    tab.until("document.activeElement.id === 'password'").await;
}
