//! Every page in its relevant states, served as the gateway does.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward::clock::Timestamp;
use doorward::config::Config;
use doorward::error::PasswordFault;
use doorward::factor::{QrCode, qr_code};
use doorward::pages::NotForwarded::CookiesOmitted;
use doorward::pages::{
    ASSET_HEADERS, Account, AccountPage, Brand, CrossSite, Device, ErrorPage, FactorItem, FactorPage,
    FactorProblem, FactorSection, Framed, HEADERS, Interrupted, Language, LinkedAccount, Page, PasswordHints,
    PasswordPage, PasswordProblem, Program, ProviderButton, RecoveryCodesPage, Resend, SignIn, SignInFields,
    SignInProblem, SignOut, SignedIn, SignedOut, StepUpPage, StillSignedIn, TotpPage, render,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

mod links;
mod passkeys;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

const ACCOUNT: Account<'_> = Account {
    user: "ada",
    csrf: "csrf",
    home: "/",
    page: "/auth/account",
    sign_out: "/auth/logout",
    sign_out_everywhere: "/auth/logout-all",
};

static RULES: PasswordHints =
    PasswordHints { min_length: 15, max_bytes: 1024, own_names: Vec::new(), site_names: Vec::new() };

const TOO_SHORT: PasswordFault = PasswordFault::TooShort { has: 3, needs: 15 };

/// Names of the pages and of their screenshots.
pub(crate) const NAMES: &[&str] = &[
    "sign-in",
    "sign-in-wrong",
    "sign-in-too-many",
    "sign-in-providers",
    "sign-in-name",
    "sign-in-provider",
    "sign-in-forgot",
    "reset",
    "reset-too-many",
    "reset-sent",
    "link",
    "link-too-short",
    "link-invitation",
    "link-done",
    "link-invalid",
    "link-elsewhere",
    "verify",
    "verify-sent",
    "verify-done",
    "signed-in",
    "signed-out",
    "signed-out-pending",
    "password",
    "password-too-short",
    "password-changed",
    "account",
    "account-older",
    "factor",
    "factor-wrong",
    "step-up",
    "step-up-factor",
    "totp",
    "passkey",
    "passkey-offer",
    "recovery-codes",
    "interrupted",
    "interrupted-framed",
    "interrupted-proof",
    "sign-out",
    "framed",
    "cross-site",
    "resend",
    "resend-empty",
    "error-403-origin",
    "error-401",
    "error-403",
    "error-403-denied",
    "error-403-waiting",
    "error-403-login-taken",
    "error-400-flow",
    "error-404",
    "error-502",
    "error-502-provider",
    "error-503",
];

fn sign_in(username: &'static str, problem: Option<SignInProblem>) -> Page<'static> {
    sign_in_with(SignInFields::NameAndPassword, &[], username, problem)
}

fn sign_in_with<'a>(
    fields: SignInFields,
    providers: &'a [ProviderButton],
    username: &'a str,
    problem: Option<SignInProblem>,
) -> Page<'a> {
    Page::SignIn(SignIn {
        fields,
        providers,
        action: "/auth/login",
        csrf: "csrf",
        return_to: Some("/reports?year=2026"),
        username,
        problem,
        remember: false,
        remember_offered: true,
        is_return_lost: false,
        passkey: Some(PASSKEY),
        forgotten_passkey: None,
        forgot: None,
        drops_fragment: false,
    })
}

/// Options and state of a request to a passkey. The pages of the gallery make no real one.
const PASSKEY: (&str, &str) = (r#"{"challenge":"AAAA","rpId":"example.com"}"#, "state");

fn password(problem: Option<PasswordProblem>, done: bool) -> Page<'static> {
    Page::Password(PasswordPage { account: ACCOUNT, action: "/auth/password", rules: &RULES, problem, done })
}

fn error(status: u16, code: &'static str, sign_in: Option<&'static str>) -> Page<'static> {
    let request_id = Some("5f0c9a7e21d4");
    let retry_after = (status == 503).then_some(1);
    let home = (code == "origin_not_allowed").then_some("/");
    Page::Error(ErrorPage {
        status,
        code,
        request_id,
        sign_in,
        retry_after,
        person: None,
        home,
        is_framed: false,
    })
}

/// The sign-in page, to which an error page leads.
const SIGN_IN: Option<&str> = Some("/auth/login");

fn interrupted(had_session: bool, is_framed: bool) -> Page<'static> {
    Page::FormInterrupted(Interrupted { sign_in: "/auth/login", had_session, needs_proof: false, is_framed })
}

fn interrupted_proof() -> Page<'static> {
    let sign_in = "/auth/step-up?factor=mfa";
    Page::FormInterrupted(Interrupted { sign_in, had_session: true, needs_proof: true, is_framed: false })
}

fn factor(problem: Option<FactorProblem>) -> Page<'static> {
    Page::Factor(FactorPage {
        action: "/auth/login/factor",
        csrf: "csrf",
        user: "ada",
        cancel: "/auth/login",
        has_code: true,
        passkey: problem.map(|_| PASSKEY),
        problem,
    })
}

fn step_up(needs_factor: bool, providers: &[(String, String)]) -> Page<'_> {
    Page::StepUp(StepUpPage {
        account: ACCOUNT,
        action: "/auth/step-up",
        return_to: Some("/payroll"),
        needs_factor,
        has_code: !needs_factor,
        passkey: providers.first().map(|_| PASSKEY),
        has_password: !needs_factor,
        providers,
        enrol: "/auth/totp",
        problem: None,
    })
}

fn totp(qr: &QrCode) -> Page<'_> {
    Page::Totp(TotpPage {
        action: "/auth/totp",
        csrf: "csrf",
        user: "ada",
        secret: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
        sealed: "sealed",
        qr: Some((qr.size, &qr.path)),
        return_to: None,
        later: "/auth/account#factors",
        is_needed: false,
        passkey: Some(PASSKEY),
        problem: None,
    })
}

fn factors() -> FactorSection {
    let item = |id: &str, name: &str, used_at| FactorItem {
        id: id.to_owned(),
        name: name.to_owned(),
        created_at: NOW - Duration::from_secs(9 * 86_400),
        used_at,
    };
    FactorSection {
        apps: vec![
            item("a", "Ada's phone", Some(NOW - Duration::from_secs(7_300))),
            item("b", "Old phone", None),
        ],
        passkeys: vec![item("c", "Ada's laptop", Some(NOW - Duration::from_secs(60)))],
        add_passkey: Some("/auth/passkey".to_owned()),
        remove_passkey: "/auth/passkey/remove".to_owned(),
        accepted_passkeys: None,
        recovery_codes: Some(9),
        add: "/auth/totp".to_owned(),
        remove: "/auth/totp/remove".to_owned(),
        new_codes: "/auth/recovery-codes".to_owned(),
    }
}

/// Site of the form on the page.
const ORIGIN: Option<&str> = Some("https://login.bank.example");

fn resend(fields: &[(String, String)]) -> Page<'_> {
    let action = "/saml/acs?return=%2Freports";
    Page::Resend(Resend { origin: ORIGIN, reason: CookiesOmitted, action, home: "/", fields })
}

fn signed_out(everywhere: bool, pending: bool) -> Page<'static> {
    let sign_out = Some("https://sso.example.com/session/end");
    let still_at = pending.then_some(StillSignedIn { provider: "Example SSO", sign_out });
    Page::SignedOut(SignedOut { sign_in: "/auth/login", everywhere, pending, still_at })
}

fn devices() -> Vec<Device> {
    let device = |id: &str, user_agent: &str, address: &str, signed_in: u64, renewed: u64| Device {
        session_id: id.to_owned(),
        user_agent: Some(user_agent.to_owned()),
        address: Some(address.parse::<IpAddr>().expect("an address")),
        signed_in: NOW - Duration::from_secs(signed_in),
        renewed: NOW - Duration::from_secs(renewed),
        this: id == "a",
    };
    vec![
        device(
            "a",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "192.0.2.14",
            3 * 86_400,
            40,
        ),
        device(
            "b",
            "(iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Safari/604.1",
            "2001:db8:85a3:8d3:1319:8a2e:370:7348",
            19 * 86_400,
            7_300,
        ),
        device(
            "c",
            "(Windows NT 10.0; Win64; x64) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "198.51.100.7",
            86_400,
            5 * 3_600,
        ),
        device("d", "backup-script", "203.0.113.9", 1_900, 1_900),
    ]
}

fn buttons() -> Vec<ProviderButton> {
    let button = |label: &str, id: &str| ProviderButton { label: label.to_owned(), id: id.to_owned() };
    vec![button("Example SSO", "sso"), button("GitHub", "github")]
}

fn accounts() -> Vec<LinkedAccount> {
    let linked = LinkedAccount {
        label: "Example SSO".to_owned(),
        action: Some("/auth/providers/sso/unlink".to_owned()),
        issuer: Some("https://sso.example.com/realms/main".to_owned()),
        subject: Some("4711".to_owned()),
        used_at: Some(NOW - Duration::from_secs(7_300)),
    };
    let (label, action) = ("GitHub".to_owned(), Some("/auth/providers/github/link".to_owned()));
    vec![linked, LinkedAccount { label, action, issuer: None, subject: None, used_at: None }]
}

fn account<'a>(
    list: &'a [Device],
    programs: &'a [Program],
    accounts: &'a [LinkedAccount],
    factors: &'a FactorSection,
) -> AccountPage<'a> {
    AccountPage {
        factors,
        accounts,
        has_password: accounts.is_empty(),
        account: ACCOUNT,
        name: Some("Ada Lovelace"),
        email: Some("ada.lovelace@analytical-engine.example.org"),
        email_verified: true,
        verify: None,
        roles: &["admin", "analytical-engine:operate", "staff"],
        change_password: "/auth/password",
        rules: &RULES,
        end: "/auth/sessions/end",
        end_others: "/auth/sessions/end-others",
        end_programs: "/auth/sessions/end-programs",
        list,
        older_devices: None,
        programs,
        older_programs: None,
        is_first: true,
        now: NOW,
    }
}

/// HTML of one page.
pub(crate) fn html(name: &str, brand: &Brand, language: Language) -> Option<String> {
    let list = devices();
    let programs = [Program { sessions: vec![list[3].clone(); 34] }];
    let (buttons, accounts, factors) = (buttons(), accounts(), factors());
    let no_factors = FactorSection { add: factors.add.clone(), ..FactorSection::default() };
    let qr =
        qr_code("otpauth://totp/Example%20Works:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").expect("short");
    let labels = [("sso".to_owned(), "Example SSO".to_owned())];
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let fields = [field("order", "17"), field("SAMLResponse", &"PHNhbWxwOlJlc3BvbnNl".repeat(12))];
    let page = match name {
        "sign-in" => sign_in("", None),
        "sign-in-wrong" => sign_in("ada", Some(SignInProblem::CredentialsWrong)),
        "sign-in-too-many" => sign_in("ada", Some(SignInProblem::TooMany(Duration::from_secs(12)))),
        "sign-in-providers" => sign_in_with(SignInFields::NameAndPassword, &buttons, "", None),
        "sign-in-name" => sign_in_with(SignInFields::Name, &buttons, "", None),
        "sign-in-provider" => sign_in_with(SignInFields::None, &buttons[..1], "", None),
        "signed-in" => Page::SignedIn(SignedIn { account: ACCOUNT }),
        "signed-out" => signed_out(false, false),
        "signed-out-pending" => signed_out(true, true),
        "password" => password(None, false),
        "password-too-short" => password(Some(PasswordProblem::Rejected(TOO_SHORT)), false),
        "password-changed" => password(None, true),
        "account" => Page::Account(account(&list[..3], &programs, &[], &factors)),
        "account-older" => Page::Account(AccountPage {
            is_first: false,
            older_devices: Some("/auth/account?devices_after=c#devices"),
            older_programs: Some("/auth/account?programs_after=d#programs"),
            email_verified: false,
            verify: Some("/auth/email"),
            ..account(&list[1..3], &programs, &accounts, &no_factors)
        }),
        "factor" => factor(None),
        "factor-wrong" => factor(Some(FactorProblem::CodeWrong)),
        "step-up" => step_up(false, &labels),
        "step-up-factor" => step_up(true, &[]),
        "totp" => totp(&qr),
        "passkey" => passkeys::page(false),
        "passkey-offer" => passkeys::page(true),
        "recovery-codes" => Page::RecoveryCodes(RecoveryCodesPage {
            codes: &["ABCD-EFGH-JKLM-NPQR", "STUV-WXYZ-2345-6789", "HJKL-MNPQ-RSTU-VWXY"],
            go_on: "/auth/account#factors",
        }),
        "interrupted" => interrupted(true, false),
        "interrupted-framed" => interrupted(false, true),
        "interrupted-proof" => interrupted_proof(),
        "sign-out" => Page::SignOut(SignOut { account: ACCOUNT }),
        "framed" => Page::Framed(Framed { sign_in: Some("/auth/login"), open: "" }),
        "cross-site" => {
            Page::CrossSite(CrossSite { origin: ORIGIN, reason: CookiesOmitted, home: "/", is_framed: false })
        }
        "resend" => resend(&fields),
        "resend-empty" => resend(&[]),
        "error-403-origin" => error(403, "origin_not_allowed", None),
        "error-401" => error(401, "token_revoked", SIGN_IN),
        "error-403" => error(403, "role_missing", None),
        "error-403-denied" => error(403, "provider_denied", SIGN_IN),
        "error-403-waiting" => error(403, "approval_pending", SIGN_IN),
        "error-403-login-taken" => error(403, "provider_login_taken", SIGN_IN),
        "error-400-flow" => error(400, "provider_flow_lost", SIGN_IN),
        "error-404" => error(404, "route_unknown", None),
        "error-502" => error(502, "upstream_unavailable", None),
        "error-502-provider" => error(502, "provider_away", SIGN_IN),
        "error-503" => error(503, "store_unavailable", None),
        other => links::page(other)?,
    };
    Some(render(&page, brand, language).as_str().to_owned())
}

/// Serves each page under its name, in the requested language, until the test ends.
pub(crate) async fn serve() -> SocketAddr {
    let mut brand = Config::defaults(Path::new("")).brand;
    "Example Works".clone_into(&mut brand.name);
    let brand = Arc::new(Brand::new(&brand, "/auth"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(respond(stream, Arc::clone(&brand)));
        }
    });
    address
}

async fn respond(mut stream: TcpStream, brand: Arc<Brand>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let languages = request.lines().filter_map(|line| line.split_once(": "));
    let languages =
        languages.filter(|(name, _)| name.eq_ignore_ascii_case("accept-language")).map(|(_, value)| value);
    let (fields, content_type, body) = match brand.asset(path) {
        Some(asset) => (ASSET_HEADERS, Some(asset.content_type), asset.body.to_vec()),
        None => match html(path.trim_start_matches('/'), &brand, Language::accepted(languages)) {
            Some(html) => (HEADERS, None, html.into_bytes()),
            // For an empty body a browser shows its own error page.
            None => (&[] as &[_], Some("text/plain"), b"nothing here".to_vec()),
        },
    };
    let status = if content_type == Some("text/plain") { "404 Not Found" } else { "200 OK" };
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    let content_type = content_type.map(|content_type| ("content-type", content_type));
    for (name, value) in fields.iter().copied().chain(content_type) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    // The browser may be gone by now.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
    let _ = stream.shutdown().await;
    // Closing with unread data would reset the connection and lose the response.
    while stream.read_buf(&mut Vec::with_capacity(1024)).await.is_ok_and(|read| read > 0) {}
}
