//! `refresh`: new tokens for a refresh token, as JSON; new cookies for the refresh cookie, by a form.

use serde_json::json;

use super::browser_page::submitted;
use super::login::token_response;
use super::{Call, EndpointError, OwnResponse};
use crate::error::Refusal;
use crate::gateway::authorize::authentication::refresh_cookie;

/// `POST refresh`: `{refresh_token}` -> tokens.
pub(super) async fn submit_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let mut fields = call.fields().await?;
    let token = fields.string("refresh_token")?;
    fields.done(&["refresh_token"])?;
    let tokens = call.auth.refresh(token.expose(), &call.snapshot.settings).await?;
    call.auth.watch_refresh(&tokens.from, call.seen(), &call.snapshot.settings).await?;
    Ok(token_response(call, &tokens))
}

/// `POST refresh`, a form: replaces the refresh cookie.
pub(super) async fn submit_form(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    submitted(call).await?;
    let cookie = refresh_cookie(call.headers(), &call.snapshot.cookies).map(str::to_owned);
    let cookie = cookie.ok_or(Refusal::FormInvalid)?;
    let renewed = call.auth.refresh_browser(&cookie, &call.snapshot.settings).await?;
    call.auth.watch_refresh(&renewed.tokens.from, call.seen(), &call.snapshot.settings).await?;
    call.cookies.set_tokens(&renewed.tokens, call.snapshot);
    Ok(OwnResponse::json(&json!({ "refreshed": true })))
}
