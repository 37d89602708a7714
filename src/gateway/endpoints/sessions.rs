//! `sessions`: sessions of the caller's user, as JSON and as the page of their devices; and their end.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::browser_page::{FORM, Links, page, session_digest, submitted};
use super::logout::ended;
use super::{Accept, Call, EndpointError, OwnResponse};
use crate::error::Refusal;
use crate::id::SessionId;
use crate::identity::ClientKind;
use crate::pages::{Device, Devices, Page, Program};
use crate::vault::{EndReason, SessionPage, SessionRow};

/// Maximum number of sessions listed per program.
const MAX_LISTED: usize = 10;

/// `GET sessions`: sessions of the caller's user.
pub(super) async fn list_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.caller(Accept::CookieOrBearer).await?;
    let rows = call.auth.sessions_of(&identity, SessionPage::first(1000)).await?;
    let entry = |row: &SessionRow| {
        json!({
            "session_id": row.grant.session_id.to_string(),
            "current": row.grant.session_id == identity.session_id(),
            "created_at": row.created_at.to_string(),
            "renewed_at": row.renewed_at.to_string(),
            "ends_at": row.grant.ends_at.to_string(),
            "address": row.address.map(|ip| ip.to_string()),
            "user_agent": row.user_agent,
        })
    };
    Ok(OwnResponse::json(&json!({ "sessions": rows.iter().map(entry).collect::<Vec<Value>>() })))
}

/// `DELETE sessions/{sid}`: ends a session of the caller's user.
pub(super) async fn end_json(call: &mut Call<'_>, id: &str) -> Result<OwnResponse, EndpointError> {
    let caller = call.caller(Accept::Bearer).await?;
    let id: SessionId = id.parse().map_err(|_| Refusal::SessionUnknown)?;
    let is_own = id == caller.session_id();
    if is_own {
        call.unregister();
    }
    let reason = if is_own { EndReason::Logout } else { EndReason::User };
    Ok(ended(&call.auth.end_session(id, caller.user_id(), reason).await?))
}

/// `GET sessions` of a browser: the page.
pub(super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.browser_user().await?;
    // Without it the forms on the page would not work: the user must sign in again.
    let digest = session_digest(call).ok_or(Refusal::TokenMissing)?;
    let rows = call.auth.sessions_of(&identity, SessionPage::first(1000)).await?;
    let device = |row: SessionRow| Device {
        session_id: row.grant.session_id.to_string(),
        user_agent: row.user_agent,
        address: row.address,
        signed_in: row.created_at,
        renewed: row.renewed_at,
        this: row.grant.session_id == identity.session_id(),
    };
    let is_program = |row: &SessionRow| ClientKind::of(&row.grant.client_id) == ClientKind::Program;
    let (of_programs, of_browsers): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_program);
    let list: Vec<Device> = of_browsers.into_iter().map(device).collect();
    let programs = programs(of_programs.into_iter().map(device));
    let prefix = &call.snapshot.server.auth_prefix;
    let (links, csrf) = (Links::new(prefix), call.auth.form_token(FORM, &digest));
    let at = |path: &str| format!("{prefix}/sessions/{path}");
    let (end, end_others, end_programs) = (at("end"), at("end-others"), at("end-programs"));
    let account = links.account(identity.login().as_str(), &csrf);
    let now = call.auth.now();
    let content = Page::Devices(Devices {
        account,
        end: &end,
        end_others: &end_others,
        end_programs: &end_programs,
        list: &list,
        programs: &programs,
        now,
    });
    Ok(page(call, &content))
}

/// Groups sessions by program, in the order of their newest session. A script that signs in with each run is one entry, with its
/// newest sessions.
fn programs(sessions: impl Iterator<Item = Device>) -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    let mut indexes: HashMap<Option<String>, usize> = HashMap::new();
    for session in sessions {
        let index = *indexes.entry(session.user_agent.clone()).or_insert_with(|| {
            programs.push(Program { count: 0, newest: Vec::new() });
            programs.len() - 1
        });
        let program = &mut programs[index];
        program.count += 1;
        if program.newest.len() < MAX_LISTED {
            program.newest.push(session);
        }
    }
    programs
}

/// Sessions that a form ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Session named in the form.
    One,
    /// All sessions of programs.
    Programs,
    /// All sessions except this one.
    Others,
}

/// `POST sessions/end`, `POST sessions/end-programs` and `POST sessions/end-others`, forms: end sessions and redirect to the page.
pub(super) async fn end_form(call: &mut Call<'_>, which: Which) -> Result<OwnResponse, EndpointError> {
    let form = submitted(call).await?;
    let identity = call.browser_user().await?;
    let (this, user) = (identity.session_id(), identity.user_id());
    match which {
        Which::One => {
            let named = form.get("session_id").unwrap_or_default();
            let id: SessionId = named.parse().map_err(|_| Refusal::SessionUnknown)?;
            if id != this {
                call.auth.end_session(id, user, EndReason::User).await?;
            }
        }
        Which::Programs => {
            call.auth.end_programs(user).await?;
        }
        Which::Others => {
            call.auth.end_others(user, this).await?;
        }
    }
    Ok(OwnResponse::see_other(&format!("{}/sessions", call.snapshot.server.auth_prefix)))
}
