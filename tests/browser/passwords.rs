//! The text beside a new password while it is typed.

use std::collections::BTreeMap;

use doorward::password::{Names, Password, PasswordRules, Person};
use serde_json::json;

use crate::chromium::{Appearance, Browser, Tab};
use crate::flows::Site;
use crate::gallery;
use crate::looks::{axe, violations};
use crate::support::PASSWORD;

const SAID: &str = "document.querySelector('#new-strength').textContent";

/// Types a new password and returns what the page says.
async fn said(tab: &Tab, password: &str) -> String {
    tab.fill("#new", password).await;
    tab.run(SAID).await.as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn reason_is_said_while_typing_and_nothing_is_sent() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    // Files of the page apart: the icon may be loaded late.
    let requests =
        "performance.getEntriesByType('resource').filter((e) => !/\\/assets\\/[\\w.]+$/.test(e.name)).length";
    for (language, texts) in [
        (
            "en",
            [
                "is too short",
                "a repetition counts once",
                "counts as one character",
                "contains the name or the address of this site",
                "Long enough.",
            ],
        ),
        (
            "de",
            [
                "ist zu kurz",
                "eine Wiederholung zählt einmal",
                "zählt als ein Zeichen",
                "enthält den Namen oder die Adresse dieser Seite",
                "Lang genug.",
            ],
        ),
    ] {
        tab.languages(language).await;
        for page in ["/auth/password", "/auth/account"] {
            tab.open(&site.url(page)).await;
            assert_eq!(tab.run(SAID).await, "", "nothing typed, nothing said");
            let typed = [
                "fourteen chars",
                "passwordpassword",
                "password12345678",
                "Doorward-2024-Localhost",
                "violet kettle harbour window",
            ];
            for (typed, text) in typed.iter().zip(texts) {
                let said = said(&tab, typed).await;
                assert!(said.contains(text), "{page} {language} {typed}: {said}");
            }
            assert_eq!(said(&tab, "").await, "");
            assert_eq!(tab.run(requests).await, 0, "no request while typing");
            let role = "(() => { const e = document.querySelector('#new-strength'); return [e.role, \
                        document.querySelector('#new').getAttribute('aria-describedby').includes(e.id)]; })()";
            assert_eq!(tab.run(role).await, json!(["status", true]));
        }
    }
    // What the script cannot know, the server decides.
    tab.languages("en").await;
    tab.open(&site.url("/auth/password")).await;
    tab.fill("#current", PASSWORD).await;
    assert!(said(&tab, "Sunshine-Football-24").await.starts_with("Long enough."));
    tab.click("button.main").await;
    tab.until("!!document.querySelector('#problem')").await;
    assert!(tab.text("#problem").await.contains("made of common words"), "{}", tab.text("#problem").await);
    tab.fill("#current", PASSWORD).await;
    said(&tab, "violet kettle harbour window").await;
    tab.click("button.main").await;
    tab.until("document.title.startsWith('Your password is changed')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_with_a_reason_is_accessible_in_every_layout() {
    let (address, browser, axe) = (gallery::serve().await, Browser::start().await, axe());
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    let mut faults = Vec::new();
    for look in Appearance::ALL {
        tab.set_appearance(look).await;
        for page in ["password", "account"] {
            tab.open(&format!("http://localhost:{}/{page}", address.port())).await;
            for typed in ["passwordpassword", "violet kettle harbour window"] {
                assert_ne!(said(&tab, typed).await, "");
                let overflow = tab.run("document.documentElement.scrollWidth - innerWidth").await;
                faults.extend((overflow.as_i64() > Some(0)).then(|| format!("{page}: {overflow} too wide")));
                tab.run(&format!("{axe};null")).await;
                faults.extend(violations(&tab).await);
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn password_form_works_without_scripts() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    tab.scripts(false).await;
    tab.open(&site.url("/auth/password")).await;
    tab.fill("#current", PASSWORD).await;
    assert_eq!(said(&tab, "passwordpassword").await, "");
    tab.press("Enter").await;
    tab.until("!!document.querySelector('#problem')").await;
    assert!(tab.text("#problem").await.contains("a repetition counts once"));
}

/// Parts of passwords on which the rules of script and server could differ.
const PARTS: &[&str] = &[
    "password",
    "kartoffel",
    "Kartöffel",
    "ada",
    "ADA",
    "lovelace",
    "l0vel@ce",
    "countess77",
    "tower",
    "Clinic",
    "1234",
    "123456",
    "qwert",
    "poiuyt",
    "abc",
    "xyz",
    "aaa",
    "111",
    "222",
    "a1b2c3d4e5",
    "12",
    "-",
    " ",
    "!",
    "/",
    "'",
    ";",
    "ä",
    "e\u{301}",
    "é",
    "ß",
    "İ",
    "Σ",
    "ς",
    "Ａ",
    "１",
    "ﬁ",
    "²",
    "Ⅳ",
    "한",
    "各",
    "नि",
    "👩‍👩‍👧",
    "\u{1d400}",
    "x",
    "7",
    "$",
    "@",
];

/// Passwords of these parts, the same in each run.
fn typed() -> Vec<String> {
    let mut state = 1_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % limit as u64) as usize
    };
    let mut all: Vec<String> = (0..4_000)
        .map(|_| {
            let parts: Vec<&str> = (0..2 + below(3)).map(|_| PARTS[below(PARTS.len())]).collect();
            (0..1 + below(9)).map(|_| parts[below(parts.len())]).collect()
        })
        .collect();
    all.extend([700, 341, 342, 1024, 1025].map(|count| "窓x7".chars().cycle().take(count).collect()));
    all
}

/// Every rule that the script has gives the verdict of the server, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn script_and_server_agree() {
    let (address, browser) = (gallery::serve().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&format!("http://localhost:{}/password", address.port())).await;
    let rules = PasswordRules::new(15, "Tower Clinic", ["www.app.example.com"]);
    let person =
        Person { login: "ada.lovelace", name: Some("Ada Kïng"), email: Some("countess77@mail.example") };
    let Names { own, site } = rules.names(person);
    let typed = typed();
    let script = format!(
        "(() => {{ const said = document.querySelector('#new-strength'), field = document.querySelector('#new'); \
         said.dataset.ownNames = {}; said.dataset.siteNames = {}; return {}.map((typed) => {{ field.value = typed; \
         field.dispatchEvent(new Event('input')); return said.dataset.code; }}); }})()",
        json!(own.join(" ")),
        json!(site.join(" ")),
        json!(typed),
    );
    let codes: Vec<String> = serde_json::from_value(tab.run(&script).await).expect("codes");
    let (mut counted, mut differences) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for (typed, by_script) in typed.iter().zip(&codes) {
        let verdict = Password::new(typed).and_then(|password| rules.check(&password, person, 15));
        let by_server = match verdict.map_err(|fault| fault.code()) {
            Ok(()) | Err("password_common" | "password_common_words") => "good",
            Err(code) => code,
        };
        *counted.entry(by_server).or_default() += 1;
        differences.extend((by_server != by_script).then(|| format!("{typed:?}: {by_server}, {by_script}")));
    }
    assert!(
        differences.is_empty(),
        "{} differ: {:?}",
        differences.len(),
        &differences[..differences.len().min(20)]
    );
    // Each rule was tried.
    assert!(counted.len() == 7 && counted.values().all(|&count| count >= 2), "{counted:?}");
}
