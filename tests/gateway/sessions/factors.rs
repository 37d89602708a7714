//! Second factors: authenticator apps and recovery codes at sign-in, step-up, and the policy that needs them.

mod authenticator;
mod enrolment;
mod passkeys;
mod policy;
mod program;
mod secrets;
mod sign_in;
mod step_up;

use std::time::Duration;

use doorward::clock::Clock;
use doorward::factor::totp::{STEP, TotpSecret};

use crate::browser::{Browser, hidden, later, with};
use crate::support::gateway::{ROUTES, Setup};
use crate::support::{PASSWORD, Response, TestGateway};

/// Duration of a step of an authenticator app.
const A_STEP: Duration = Duration::from_secs(STEP as u64);

/// Routes that need more than a session.
const STRICT: &str = r#"
[[routes]]
name = "vault"
path = "/vault"
access = { factor = "mfa" }
upstream = "app"

[[routes]]
name = "payroll"
path = "/payroll"
access = { roles = ["admin"], max_age = "15m" }
upstream = "app"
"#;

/// A gateway with those routes.
async fn strict() -> TestGateway {
    TestGateway::with(Setup { routes: format!("{ROUTES}{STRICT}"), ..Setup::default() }).await
}

/// An authenticator app.
pub(crate) struct App(TotpSecret);

impl App {
    /// Reads the key on the page, as a person would type it.
    fn set_up(page: &Response) -> Self {
        let text = page.text();
        let key = text.split("<code class=\"key\">").nth(1).unwrap_or_else(|| panic!("no key: {text}"));
        let key: String = key.split('<').next().unwrap_or_default().replace(' ', "");
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let value = |byte: u8| alphabet.iter().position(|known| *known == byte).expect("base32") as u64;
        let groups = key.as_bytes().chunks(8);
        let bytes = groups.flat_map(|group| {
            let bits = group.iter().fold(0, |bits, byte| bits << 5 | value(*byte));
            (0..5).rev().map(move |at| (bits >> (8 * at)) as u8)
        });
        Self(TotpSecret::from_bytes(&bytes.collect::<Vec<u8>>()).expect("20 bytes"))
    }

    /// The code that it shows now.
    pub(crate) fn code(&self, gateway: &TestGateway) -> String {
        self.0.code_at(gateway.clock.wall().secs().div_euclid(STEP)).to_string()
    }

    /// Six digits that are not its code now or soon.
    pub(crate) fn wrong(&self, gateway: &TestGateway) -> String {
        let now = gateway.clock.wall().secs().div_euclid(STEP);
        let near: Vec<String> = (now - 3..=now + 3).map(|step| self.0.code_at(step).to_string()).collect();
        (0..).map(|number| format!("{number:06}")).find(|code| !near.contains(code)).expect("some are wrong")
    }
}

/// Recovery codes on a page.
fn codes_on(page: &Response) -> Vec<String> {
    let text = page.text();
    text.split("<li><code>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap_or_default().to_owned())
        .collect()
}

/// Enrols an app in a session; returns it with the recovery codes, at the next step, so that its code is unused.
async fn enrol(gateway: &TestGateway, here: &mut Browser) -> (App, Vec<String>) {
    let page = here.go("/auth/totp").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let app = App::set_up(&page);
    let fields = with(&with(&hidden(&page), "code", &app.code(gateway)), "name", "My phone");
    let done = here.post("/auth/totp", &fields).await;
    assert!(done.status == 200 || done.status == 303, "{}", done.text());
    later(gateway, A_STEP).await;
    (app, codes_on(&done))
}

/// A user with an app, in a browser that is signed in with both.
pub(crate) async fn with_app(gateway: &TestGateway, name: &str) -> (Browser, App, Vec<String>) {
    let mut here = Browser::signed_in(gateway, name).await;
    let (app, codes) = enrol(gateway, &mut here).await;
    (here, app, codes)
}

/// Enters name and password; returns the browser at the second step.
pub(crate) async fn at_second_step(gateway: &TestGateway, name: &str, login: &str) -> Browser {
    let mut here = Browser::new(gateway);
    let response = here.sign_in(name, PASSWORD, login, &[]).await;
    assert_eq!(
        (response.status, response.header("location")),
        (303, Some("/auth/login/factor")),
        "{}",
        response.text()
    );
    here
}

/// Enters a code at the second step.
pub(crate) async fn enter(here: &mut Browser, code: &str) -> Response {
    let page = here.go("/auth/login/factor").await;
    assert_eq!(page.status, 200, "{}", page.text());
    here.post("/auth/login/factor", &with(&hidden(&page), "code", code)).await
}
