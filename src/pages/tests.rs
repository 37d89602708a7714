//! Tests of every page in every state and language.

mod factors;
mod links;

use std::path::Path;
use std::time::Duration;

use super::text::Text;
use super::*;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::PasswordFault;

/// Markup that must never appear unescaped.
const HOSTILE: &str = "\"'><script>alert(1)</script>&amp;";

fn brand() -> Brand {
    let mut brand = Config::defaults(Path::new("")).brand;
    brand.name = HOSTILE.to_owned();
    Brand::new(&brand, "/auth")
}

const ACCOUNT: Account<'_> = Account {
    user: HOSTILE,
    csrf: HOSTILE,
    home: HOSTILE,
    page: HOSTILE,
    sign_out: HOSTILE,
    sign_out_everywhere: HOSTILE,
};

fn device(this: bool) -> Device {
    Device {
        session_id: HOSTILE.to_owned(),
        user_agent: Some(HOSTILE.to_owned()),
        address: Some([192, 0, 2, 1].into()),
        signed_in: Timestamp::EPOCH,
        renewed: Timestamp::from_secs(86_400),
        this,
    }
}

/// Every page in every state, with hostile texts.
fn pages() -> Vec<Page<'static>> {
    let button = || ProviderButton { label: HOSTILE.to_owned(), id: HOSTILE.to_owned() };
    let providers: &'static [ProviderButton] = Box::leak(Box::new([button(), button()]));
    let sign_in = |problem, username, return_to, remember| SignIn {
        fields: SignInFields::NameAndPassword,
        providers: if remember { providers } else { &[] },
        action: HOSTILE,
        csrf: HOSTILE,
        return_to,
        username,
        problem,
        remember,
        remember_offered: true,
        is_return_lost: remember,
        passkey: remember.then_some((HOSTILE, HOSTILE)),
        forgotten_passkey: remember.then_some(HOSTILE),
        drops_fragment: remember,
        forgot: remember.then_some(HOSTILE),
    };
    let rules: &'static PasswordHints = Box::leak(Box::new(PasswordHints {
        min_length: 15,
        max_bytes: 1024,
        own_names: vec![HOSTILE.to_owned()],
        site_names: vec![HOSTILE.to_owned()],
    }));
    let password = |problem, done| PasswordPage { account: ACCOUNT, action: HOSTILE, rules, problem, done };
    let error = |status, code, sign_in, retry_after| ErrorPage {
        status,
        code,
        request_id: Some(HOSTILE),
        sign_in,
        retry_after,
        person: (status == 403).then_some(Person { user: HOSTILE, sign_out: HOSTILE }),
        home: matches!(status, 403 | 404).then_some(HOSTILE),
        is_framed: status == 404,
    };
    let list: &'static [Device] = Box::leak(Box::new([device(true), device(false)]));
    let of_program = || Program { sessions: vec![device(false), device(false)] };
    let programs: &'static [Program] = Box::leak(Box::new([of_program(), of_program()]));
    let linked = |subject: Option<&str>| LinkedAccount {
        label: HOSTILE.to_owned(),
        action: subject.is_none_or(|subject| subject == HOSTILE).then(|| HOSTILE.to_owned()),
        issuer: subject.map(str::to_owned),
        subject: subject.map(str::to_owned),
        used_at: subject.map(|_| Timestamp::from_secs(80_000)),
    };
    let accounts: &'static [LinkedAccount] =
        Box::leak(Box::new([linked(Some(HOSTILE)), linked(None), linked(Some("the last"))]));
    let (factors, no_factors) = factors::sections();
    let account = |list| AccountPage {
        account: ACCOUNT,
        name: Some(HOSTILE),
        email: Some(HOSTILE),
        email_verified: true,
        verify: Some(HOSTILE),
        roles: &[HOSTILE, HOSTILE],
        factors,
        accounts,
        has_password: true,
        change_password: HOSTILE,
        rules,
        end: HOSTILE,
        end_others: HOSTILE,
        end_programs: HOSTILE,
        list,
        older_devices: None,
        programs: &[],
        older_programs: None,
        is_first: true,
        now: Timestamp::from_secs(90_000),
    };
    let field = (HOSTILE.to_owned(), HOSTILE.repeat(10));
    let fields: &'static [(String, String)] = Box::leak(vec![field; 51].into_boxed_slice());
    let interrupted =
        |is_framed, had_session| Interrupted { sign_in: HOSTILE, had_session, needs_proof: false, is_framed };
    let cross_site = |origin, reason, is_framed| CrossSite { origin, reason, home: HOSTILE, is_framed };
    let resend = |origin, fields| Resend {
        origin,
        reason: NotForwarded::NotSignedIn,
        action: HOSTILE,
        home: HOSTILE,
        fields,
    };
    let mut pages = vec![
        Page::SignIn(sign_in(None, "", None, false)),
        Page::SignIn(sign_in(Some(SignInProblem::CredentialsWrong), HOSTILE, Some(HOSTILE), true)),
        Page::SignIn(sign_in(Some(SignInProblem::Incomplete), "", None, false)),
        Page::SignIn(sign_in(Some(SignInProblem::TooMany(Duration::from_millis(1))), HOSTILE, None, false)),
        Page::SignIn(sign_in(Some(SignInProblem::Unavailable), HOSTILE, None, false)),
        Page::SignIn(sign_in(Some(SignInProblem::FormExpired), HOSTILE, None, false)),
        Page::SignIn(SignIn {
            fields: SignInFields::Name,
            ..sign_in(Some(SignInProblem::NoProvider), HOSTILE, None, true)
        }),
        Page::SignIn(SignIn { fields: SignInFields::None, ..sign_in(None, "", None, true) }),
        Page::SignIn(sign_in(Some(SignInProblem::PasskeyWrong), HOSTILE, None, true)),
        Page::SignIn(sign_in(Some(SignInProblem::PasskeyNotAlone), HOSTILE, None, true)),
        Page::SignedIn(SignedIn { account: ACCOUNT }),
        Page::Account(AccountPage { factors: no_factors, ..account(list) }),
        Page::FormInterrupted(Interrupted { needs_proof: true, ..interrupted(false, true) }),
        Page::SignOut(SignOut { account: ACCOUNT }),
        Page::Password(password(None, false)),
        Page::Password(password(None, true)),
        Page::Account(account(list)),
        Page::Account(AccountPage { name: None, email: None, roles: &[], ..account(&list[..1]) }),
        Page::Account(AccountPage { programs, email_verified: false, ..account(&list[..1]) }),
        Page::Account(AccountPage { older_devices: Some(HOSTILE), ..account(list) }),
        Page::Account(AccountPage {
            programs,
            older_programs: Some(HOSTILE),
            is_first: false,
            ..account(&[])
        }),
        Page::FormInterrupted(interrupted(false, true)),
        Page::FormInterrupted(interrupted(false, false)),
        Page::FormInterrupted(interrupted(true, true)),
        Page::FormInterrupted(interrupted(true, false)),
        Page::Framed(Framed { sign_in: Some(HOSTILE), open: "" }),
        Page::Framed(Framed { sign_in: None, open: HOSTILE }),
        Page::CrossSite(cross_site(Some(HOSTILE), NotForwarded::CookiesOmitted, false)),
        Page::CrossSite(cross_site(None, NotForwarded::OtherOrigin, true)),
        Page::Resend(resend(Some(HOSTILE), fields)),
        Page::Resend(resend(None, &[])),
        Page::Error(error(403, "origin_not_allowed", None, None)),
        Page::Error(error(401, HOSTILE, Some(HOSTILE), None)),
    ];
    pages.extend(factors::pages());
    pages.extend(links::pages());
    let problems = [
        PasswordProblem::Incomplete,
        PasswordProblem::TooMany(Duration::from_secs(90)),
        PasswordProblem::Unavailable,
        PasswordProblem::FormExpired,
    ];
    pages.extend(problems.map(|problem| Page::Password(password(Some(problem), false))));
    let rejected = PasswordFault::ALL.map(PasswordProblem::Rejected);
    pages.extend(rejected.map(|problem| Page::Password(password(Some(problem), false))));
    for (everywhere, pending) in [(false, false), (false, true), (true, false), (true, true)] {
        pages.push(Page::SignedOut(SignedOut {
            sign_in: HOSTILE,
            everywhere,
            pending,
            still_at: pending.then_some(StillSignedIn { provider: HOSTILE, sign_out: Some(HOSTILE) }),
        }));
    }
    for status in [400, 401, 403, 404, 405, 413, 414, 429, 431, 500, 502, 503, 504] {
        pages.push(Page::Error(error(status, HOSTILE, None, Some(90))));
    }
    pages
}

#[test]
fn all_page_values_are_escaped() {
    for page in pages() {
        for language in Language::ALL {
            let html = render(&page, &brand(), language);
            let html = html.as_str();
            assert!(!html.contains("<script>"), "{html}");
            assert!(!html.contains("\"'>"), "{html}");
            assert!(!html.contains("alert(1)</"), "{html}");
        }
    }
}

/// Elements without an end tag.
const VOID: &[&str] = &["meta", "link", "img", "input", "br"];

/// Name of a start tag, and its attributes with values.
type Tag<'a> = (&'a str, Vec<(&'a str, Option<&'a str>)>);

/// Returns the start tags of a page with their attributes, and checks that every element is closed correctly.
fn tags(html: &str) -> Vec<Tag<'_>> {
    let (mut open, mut tags, mut rest) = (Vec::new(), Vec::new(), html);
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{html}");
            continue;
        }
        let is_empty = tag.ends_with('/');
        let (name, mut rest) =
            tag.trim_end_matches('/').split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        let mut attributes = Vec::new();
        while !rest.trim_start().is_empty() {
            rest = rest.trim_start();
            let end = rest.find([' ', '=']).unwrap_or(rest.len());
            let (attribute, after) = rest.split_at(end);
            match after.strip_prefix("=\"") {
                Some(after) => {
                    let (value, after) = after.split_once('"').expect("a value ends");
                    attributes.push((attribute, Some(value)));
                    rest = after;
                }
                None => {
                    assert!(!after.starts_with('='), "a value without quotes: {tag}");
                    attributes.push((attribute, None));
                    rest = after;
                }
            }
        }
        let mut names: Vec<&str> = attributes.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), attributes.len(), "an attribute twice: {tag}");
        if !is_empty && !VOID.contains(&name) {
            open.push(name);
        }
        tags.push((name, attributes));
    }
    assert!(open.is_empty(), "{open:?} in {html}");
    tags
}

#[test]
fn pages_are_well_formed_and_follow_their_csp() {
    for page in pages() {
        let html = render(&page, &brand(), Language::English);
        let tags = tags(html.as_str());
        let all = |name: &str| -> Vec<&str> {
            let values = tags.iter().flat_map(|(_, attributes)| attributes);
            values.filter(|(known, _)| *known == name).filter_map(|(_, value)| *value).collect()
        };
        let ids = all("id");
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "an id twice in {page:?}");
        for reference in ["for", "aria-describedby", "data-for"] {
            for id in all(reference).iter().flat_map(|ids| ids.split(' ')) {
                assert!(ids.contains(&id), "{reference}={id} leads nowhere in {page:?}");
            }
        }
        for (name, attributes) in &tags {
            let has = |wanted: &str| attributes.iter().any(|(name, _)| *name == wanted);
            assert!(
                !has("style") && !attributes.iter().any(|(name, _)| name.starts_with("on")),
                "inline: {name}"
            );
            assert_ne!(*name, "style");
            if *name == "form" {
                assert!(attributes.contains(&("method", Some("post"))), "GET changes nothing");
            }
        }
        // Without the style sheet they would fill the window.
        let pictures = tags.iter().filter(|(name, _)| matches!(*name, "svg" | "img"));
        for (name, attributes) in pictures {
            assert!(attributes.iter().any(|(known, _)| *known == "height"), "{name} without a size");
        }
        let count = |name: &str| tags.iter().filter(|(known, _)| *known == name).count();
        assert_eq!((count("h1"), count("main"), count("title")), (1, 1, 1), "{page:?}");
        let csrf = all("name").iter().filter(|name| **name == "csrf").count();
        // Except the form from another site, which the app must receive unchanged.
        let forms = if matches!(page, Page::Resend(_)) { 0 } else { count("form") };
        assert_eq!(csrf, forms, "every form has a form token: {page:?}");
        let focused = tags.iter().filter(|(_, attributes)| attributes.contains(&("autofocus", None)));
        assert!(focused.count() <= 1);
    }
}

#[test]
fn loaded_files_exist_under_their_content_hash() {
    let brand = brand();
    for page in pages() {
        let html = render(&page, &brand, Language::English);
        for (_, attributes) in tags(html.as_str()) {
            for (name, value) in attributes {
                let file = value
                    .filter(|value| matches!(name, "href" | "src") && value.starts_with("/auth/assets/"));
                assert!(file.is_none_or(|file| brand.asset(file).is_some()), "{file:?}");
            }
        }
    }
    assert!(brand.asset("/auth/assets/page.css").is_none());
    assert!(brand.asset(&brand.style().replace("/auth/", "/other/")).is_none());
    let mut other = Config::defaults(Path::new("")).brand;
    other.accent = other.accent_dark;
    assert_ne!(Brand::new(&other, "/auth").style(), brand.style(), "another content, another name");
}

#[test]
fn form_without_fields_has_no_list_of_them() {
    let has_list = |fields| {
        let reason = NotForwarded::CookiesOmitted;
        let page = Page::Resend(Resend { origin: None, reason, action: "/a", home: "/", fields });
        render(&page, &brand(), Language::English).as_str().contains("What it says")
    };
    assert!(!has_list(&[]));
    assert!(has_list(&[("a".to_owned(), "b".to_owned())]));
}

#[test]
fn fragment_is_dropped_with_the_address_it_belongs_to() {
    let has_script_class = |drops_fragment| {
        let page = SignIn {
            fields: SignInFields::NameAndPassword,
            forgot: None,
            providers: &[],
            action: "/a",
            csrf: "c",
            return_to: None,
            username: "",
            problem: None,
            remember: false,
            remember_offered: false,
            is_return_lost: drops_fragment,
            passkey: None,
            forgotten_passkey: None,
            drops_fragment,
        };
        render(&Page::SignIn(page), &brand(), Language::English).as_str().contains("class=\"onward\"")
    };
    assert!(has_script_class(false) && !has_script_class(true));
}

#[test]
fn files_of_pages_can_be_loaded_by_a_sandboxed_frame() {
    assert!(ASSET_HEADERS.contains(&("cross-origin-resource-policy", "cross-origin")));
}

#[test]
fn style_sheet_stays_small() {
    let brand = brand();
    let style = brand.asset(&brand.style()).unwrap();
    assert!(style.body.len() < 8 << 10, "{} bytes", style.body.len());
}

#[test]
fn every_error_has_a_text_in_both_languages() {
    let [english, german] = Language::ALL.map(Text::of);
    assert_eq!(english.errors.len(), german.errors.len());
    for ((of, english), (same, german)) in english.errors.iter().zip(german.errors) {
        assert_eq!(of, same);
        assert_ne!(english.title, german.title, "{of:?}");
        assert_ne!(english.text, german.text, "{of:?}");
    }
    assert_eq!(english.error(418, "teapot"), &english.errors.last().unwrap().1);
    // A 403 that is not about rights, and a 404 that is not about an address, have texts of their own.
    for (status, code) in [
        (400, "credentials_conflict"),
        (403, "origin_not_allowed"),
        (403, "form_invalid"),
        (403, "cookie_too_large"),
        (403, "https_required"),
        (404, "session_unknown"),
        (421, "connection_outdated"),
        (408, "request_timeout"),
    ] {
        for text in [english, german] {
            assert_ne!(text.error(status, code), text.error(status, "another"), "{code}");
        }
    }
}

#[test]
fn every_password_fault_has_a_text_of_its_own_in_both_languages() {
    let texts = Language::ALL.map(Text::of).map(|text| PasswordFault::ALL.map(text.password_fault));
    let all: std::collections::BTreeSet<&String> = texts.iter().flatten().collect();
    assert_eq!(all.len(), 2 * PasswordFault::ALL.len());
    for (fault, text) in
        PasswordFault::ALL.iter().zip(&texts[0]).chain(PasswordFault::ALL.iter().zip(&texts[1]))
    {
        assert_eq!(text.contains("15"), fault.to_string().contains("15"), "{fault:?}: {text}");
    }
}

#[test]
fn spans_are_shown_in_the_largest_unit() {
    let [english, german] = Language::ALL.map(Text::of);
    let seconds = Duration::from_secs;
    assert_eq!((english.span)(seconds(1)), "1 second");
    assert_eq!((english.span)(seconds(119)), "1 minute");
    assert_eq!((english.ago)(seconds(59)), "just now");
    assert_eq!((english.ago)(seconds(7_200)), "2 hours ago");
    assert_eq!((german.ago)(seconds(86_400)), "vor einem Tag");
    assert_eq!((german.ago)(seconds(200_000)), "vor 2 Tagen");
}

#[test]
fn credential_error_is_the_same_for_every_user() {
    let page = |username| {
        let problem = Some(SignInProblem::CredentialsWrong);
        let page = SignIn {
            fields: SignInFields::NameAndPassword,
            forgot: None,
            providers: &[],
            action: "/a",
            csrf: "c",
            return_to: None,
            username,
            problem,
            remember: false,
            remember_offered: false,
            is_return_lost: false,
            passkey: None,
            forgotten_passkey: None,
            drops_fragment: false,
        };
        render(&Page::SignIn(page), &brand(), Language::English).as_str().replace(username, "")
    };
    assert_eq!(page("ada-lovelace"), page("nobody-at-all"));
}
