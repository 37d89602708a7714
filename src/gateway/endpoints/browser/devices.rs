//! `sessions` as a page: my devices, and ending them.

use std::collections::HashMap;

use super::{Addresses, Call, FORM, OwnResponse, page, session_mark, submitted};
use crate::error::Refusal;
use crate::id::SessionId;
use crate::identity::ClientKind;
use crate::pages::{Device, Devices, Page, Program};
use crate::vault::{EndReason, SessionRow};

/// Sessions of one program that are listed one by one.
const LISTED: usize = 10;

/// `GET sessions`, by a person.
pub(in super::super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, Refusal> {
    let identity = call.person().await?;
    // Without it no form could be sent from the page: sign in anew.
    let mark = session_mark(call.headers(), call.auth, call.snapshot).ok_or(Refusal::TokenMissing)?;
    let rows = call.auth.sessions_of(&identity).await?;
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
    let (addresses, csrf) = (Addresses::new(prefix), call.auth.form_token(FORM, &mark));
    let at = |path: &str| format!("{prefix}/sessions/{path}");
    let (end, end_others, end_programs) = (at("end"), at("end-others"), at("end-programs"));
    let account = addresses.account(identity.login().as_str(), &csrf);
    let now = call.auth.now();
    let what = Page::Devices(Devices {
        account,
        end: &end,
        end_others: &end_others,
        end_programs: &end_programs,
        list: &list,
        programs: &programs,
        now,
    });
    Ok(page(call, &what))
}

/// Programs in the order of their newest session. A script that signs in anew each time it runs is one line, with the newest
/// of its sessions below it.
fn programs(sessions: impl Iterator<Item = Device>) -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    let mut places: HashMap<Option<String>, usize> = HashMap::new();
    for session in sessions {
        let place = *places.entry(session.user_agent.clone()).or_insert_with(|| {
            programs.push(Program { count: 0, newest: Vec::new() });
            programs.len() - 1
        });
        let program = &mut programs[place];
        program.count += 1;
        if program.newest.len() < LISTED {
            program.newest.push(session);
        }
    }
    programs
}

/// Which sessions a form ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Which {
    /// The one it names.
    One,
    /// Those of programs.
    Programs,
    /// All but this one.
    Others,
}

/// `POST sessions/end`, `POST sessions/end-programs` and `POST sessions/end-others`, forms; then the page again.
pub(in super::super) async fn end(
    call: &mut Call<'_>,
    which: Which,
) -> pingora::Result<Result<OwnResponse, Refusal>> {
    let form = match submitted(call).await? {
        Ok(form) => form,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let named = form.get("session_id").unwrap_or_default().to_owned();
    Ok(end_them(call, which, &named).await)
}

async fn end_them(call: &mut Call<'_>, which: Which, named: &str) -> Result<OwnResponse, Refusal> {
    let identity = call.person().await?;
    let (this, user) = (identity.session_id(), identity.user_id());
    match which {
        Which::One => {
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
