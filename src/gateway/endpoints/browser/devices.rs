//! `sessions` as a page: my devices, and ending them.

use super::{Addresses, Answer, Call, FORM, page, session_mark, submitted};
use crate::error::Refusal;
use crate::id::SessionId;
use crate::pages::{Device, Devices, Page};
use crate::vault::EndReason;

/// `GET sessions`, by a person.
pub(in super::super) async fn show(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let identity = call.person().await?;
    // Without it no form could be sent from the page: sign in anew.
    let mark = session_mark(call.headers(), call.auth, call.snapshot).ok_or(Refusal::TokenMissing)?;
    let rows = call.auth.sessions_of(&identity).await?;
    let list: Vec<Device> = rows
        .into_iter()
        .map(|row| Device {
            session_id: row.grant.session_id.to_string(),
            user_agent: row.user_agent,
            address: row.address,
            signed_in: row.created_at,
            renewed: row.renewed_at,
            this: row.grant.session_id == identity.session_id(),
        })
        .collect();
    let prefix = &call.snapshot.server.auth_prefix;
    let (addresses, csrf) = (Addresses::new(prefix), call.auth.stamp(FORM, &mark));
    let (end, end_others) = (format!("{prefix}/sessions/end"), format!("{prefix}/sessions/end-others"));
    let account = addresses.account(identity.login().as_str(), &csrf);
    let now = call.auth.now();
    Ok(page(call, &Page::Devices(Devices { account, end: &end, end_others: &end_others, list: &list, now })))
}

/// `POST sessions/end` and `POST sessions/end-others`, forms; then the page again.
pub(in super::super) async fn end(
    call: &mut Call<'_>,
    others: bool,
) -> pingora::Result<Result<Answer, Refusal>> {
    let form = match submitted(call).await? {
        Ok(form) => form,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let one = form.get("session_id").map(str::to_owned);
    Ok(end_them(call, if others { None } else { Some(one.unwrap_or_default()) }).await)
}

async fn end_them(call: &mut Call<'_>, one: Option<String>) -> Result<Answer, Refusal> {
    let identity = call.person().await?;
    let (this, user) = (identity.session_id(), identity.user_id());
    let ids: Vec<SessionId> = match one {
        Some(id) => vec![id.parse().map_err(|_| Refusal::SessionUnknown)?],
        None => call.auth.sessions_of(&identity).await?.into_iter().map(|row| row.grant.session_id).collect(),
    };
    for id in ids.into_iter().filter(|id| *id != this) {
        call.auth.end_session(id, user, EndReason::User).await?;
    }
    Ok(Answer::see_other(&format!("{}/sessions", call.snapshot.server.auth_prefix)))
}
