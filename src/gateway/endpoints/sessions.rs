//! `sessions`: sessions of the caller's user as JSON, and their end. Browsers get the page of `account`.

use serde_json::{Value, json};

use super::browser_page::submitted;
use super::form::Form;
use super::logout::ended;
use super::{Accept, Call, EndpointError, OwnResponse};
use crate::error::Refusal;
use crate::id::SessionId;
use crate::vault::{EndReason, SessionPage, SessionRow};

/// Number of sessions in a list, and the maximum that a request may ask for: some hundred kilobytes.
const PAGE: (u32, u32) = (100, 1000);

/// `GET sessions`: a page of the sessions of the caller's user. `next` in the response is the `after` of the next one.
pub(super) async fn list_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.caller(Accept::CookieOrBearer).await?;
    let (after, limit) = range(&Form::parse(call.query())?)?;
    // One more tells whether there is another page.
    let page = SessionPage { after, ..SessionPage::first(limit + 1) };
    let mut rows = call.auth.sessions_of(&identity, page).await?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let entry = |row: &SessionRow| {
        json!({
            "session_id": row.grant.session_id.to_string(),
            "current": row.grant.session_id == identity.session_id(),
            "created_at": row.created_at.to_string(),
            "renewed_at": row.renewed_at.to_string(),
            "ends_at": row.grant.ends_at.to_string(),
            "address": row.grant.address.map(|ip| ip.to_string()),
            "user_agent": row.grant.user_agent,
        })
    };
    let mut list = json!({ "sessions": rows.iter().map(entry).collect::<Vec<Value>>() });
    if let Some(last) = rows.last().filter(|_| has_more) {
        list["next"] = last.grant.session_id.to_string().into();
    }
    Ok(OwnResponse::json(&list))
}

/// Reads `after` and `limit` from a query.
fn range(query: &Form) -> Result<(Option<SessionId>, u32), Refusal> {
    let invalid = |text: &str| Refusal::RequestInvalid(text.to_owned());
    let after = query.get("after").map(|id| id.parse().map_err(|_| invalid("after: not a session id")));
    let limit = match query.get("limit") {
        None => PAGE.0,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=PAGE.1).contains(limit));
            limit.ok_or_else(|| invalid("limit: write a number from 1 to 1000"))?
        }
    };
    Ok((after.transpose()?, limit))
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
    let settings = &call.snapshot.settings;
    Ok(ended(&call.auth.end_session(id, caller.user_id(), reason, settings).await?))
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
                call.auth.end_session(id, user, EndReason::User, &call.snapshot.settings).await?;
            }
        }
        Which::Programs => {
            call.auth.end_programs(user).await?;
        }
        Which::Others => {
            call.auth.end_others(user, this, &call.snapshot.settings).await?;
        }
    }
    Ok(OwnResponse::see_other(&format!("{}/account", call.snapshot.server.auth_prefix)))
}
