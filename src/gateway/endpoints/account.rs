//! `account`: the page of a signed-in user, with personal data, devices, programs and the password form.

use std::collections::HashMap;

use super::browser_page::{FORM, Links, page, password_rules, session_digest};
use super::form::Form;
use super::{Call, EndpointError, OwnResponse};
use super::{email, factors, providers};
use crate::auth::Auth;
use crate::error::Refusal;
use crate::id::SessionId;
use crate::identity::Identity;
use crate::pages::{AccountPage, Device, Page, Program};
use crate::vault::{SessionPage, SessionRow};

/// Number of browsers on a page. More than most people have, and no more than anybody reads.
const BROWSERS: u32 = 20;

/// Number of sign-ins of programs on a page. They take one line for each program, so there may be more than browsers.
const PROGRAMS: u32 = 50;

/// A page of one of the two lists.
struct List {
    rows: Vec<SessionRow>,
    /// Last session on this page, if there are more.
    more_after: Option<SessionId>,
}

impl List {
    async fn read(
        auth: &Auth,
        identity: &Identity,
        browsers: bool,
        after: Option<SessionId>,
    ) -> Result<Self, Refusal> {
        let size = if browsers { BROWSERS } else { PROGRAMS };
        // One more tells whether there is another page.
        let page = SessionPage { browsers: Some(browsers), after, limit: size + 1 };
        let mut rows = auth.sessions_of(identity, page).await?;
        let has_more = rows.len() > size as usize;
        rows.truncate(size as usize);
        let more_after = rows.last().filter(|_| has_more).map(|row| row.grant.session_id);
        Ok(Self { rows, more_after })
    }
}

/// `GET account`, and `GET sessions` of a browser: the page. `devices_after` and `programs_after` in the query name the
/// last session of the page before.
pub(super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.browser_user().await?;
    // Without it the forms on the page would not work: the user must sign in again.
    let digest = session_digest(call).ok_or(Refusal::TokenMissing)?;
    // A link with something else leads to the first page.
    let query = Form::parse(call.query()).unwrap_or_default();
    let after = |name: &str| query.get(name).and_then(|id| id.parse::<SessionId>().ok());
    let (devices_after, programs_after) = (after("devices_after"), after("programs_after"));
    let (browsers, programs) = tokio::try_join!(
        List::read(call.auth, &identity, true, devices_after),
        List::read(call.auth, &identity, false, programs_after)
    )?;
    let device = |row: SessionRow| Device {
        session_id: row.grant.session_id.to_string(),
        user_agent: row.grant.user_agent,
        address: row.grant.address,
        signed_in: row.created_at,
        renewed: row.renewed_at,
        this: row.grant.session_id == identity.session_id(),
    };
    let list: Vec<Device> = browsers.rows.into_iter().map(device).collect();
    let grouped = by_program(programs.rows.into_iter().map(device));
    let prefix = &call.snapshot.server.auth_prefix;
    let (links, csrf) = (Links::new(prefix), call.auth.form_token(FORM, &digest));
    let at = |path: &str| format!("{prefix}/{path}");
    let (end, end_others) = (at("sessions/end"), at("sessions/end-others"));
    let (end_programs, change_password) = (at("sessions/end-programs"), at("password"));
    let older = |list: &str, after: Option<SessionId>| {
        after.map(|after| format!("{prefix}/account?{list}_after={after}#{list}"))
    };
    let older_devices = older("devices", browsers.more_after);
    let older_programs = older("programs", programs.more_after);
    let has_password = has_password(call, &identity).await?;
    let accounts = providers::linked(call, &identity, has_password).await?;
    let factors = factors::on_account(call, &identity).await?;
    let attributes = identity.attributes();
    let verify = email::url(call.snapshot, attributes);
    let rules = password_rules(call, &identity).await?;
    let roles: Vec<&str> = identity.roles().iter().map(|role| role.as_str()).collect();
    let content = Page::Account(AccountPage {
        account: links.account(identity.login().as_str(), &csrf),
        name: attributes.name().map(|name| name.as_str()),
        email: attributes.email().map(|email| email.as_str()),
        email_verified: attributes.email_verified(),
        verify: verify.as_deref(),
        roles: &roles,
        factors: &factors,
        accounts: &accounts,
        has_password,
        change_password: &change_password,
        rules: &rules,
        end: &end,
        end_others: &end_others,
        end_programs: &end_programs,
        list: &list,
        older_devices: older_devices.as_deref(),
        programs: &grouped,
        older_programs: older_programs.as_deref(),
        is_first: devices_after.is_none() && programs_after.is_none(),
        now: call.auth.now(),
    });
    Ok(page(call, &content))
}

/// Returns whether the user can sign in with a password.
pub(super) async fn has_password(call: &Call<'_>, identity: &Identity) -> Result<bool, Refusal> {
    let settings = &call.snapshot.settings;
    // Users without one come from providers.
    Ok(settings.passwords && (settings.providers.is_empty() || call.auth.has_password(identity).await?))
}

/// Groups sessions by program, in the order of their newest session: a script that signs in with each run is one entry.
fn by_program(sessions: impl Iterator<Item = Device>) -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    let mut indexes: HashMap<Option<String>, usize> = HashMap::new();
    for session in sessions {
        let index = *indexes.entry(session.user_agent.clone()).or_insert_with(|| {
            programs.push(Program { sessions: Vec::new() });
            programs.len() - 1
        });
        programs[index].sessions.push(session);
    }
    programs
}
