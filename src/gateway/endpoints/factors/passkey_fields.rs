//! Fields of passkeys in forms. A script of the page calls the browser and posts the response with the form, in `passkey` and
//! `passkey_state`.

use crate::auth::{PasskeyRequest, PasskeyResponse};
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::authorize::navigation;
use crate::gateway::endpoints::Call;
use crate::gateway::endpoints::form::Form;
use crate::gateway::request::client;
use crate::gateway::request::request_target::host_of;
use crate::policy::cookies::{self, Found};
use crate::text::host_and_port;

/// Returns the passkey's response in a form.
pub(in crate::gateway::endpoints) fn response(form: &Form) -> Option<PasskeyResponse<'_>> {
    Some(PasskeyResponse { state: form.get("passkey_state")?, response: form.get("passkey")? })
}

/// Returns whether pages of the requested host can use passkeys. Elsewhere the browser would refuse the script's call.
pub(in crate::gateway::endpoints) fn is_usable(call: &Call<'_>) -> bool {
    let Some(relying_party) = &call.snapshot.settings.passkeys else { return false };
    let origin = client::origin(call.session, call.snapshot);
    let forwarded = origin.host.map(|host| host_and_port(host).0.to_ascii_lowercase());
    let Some(host) = forwarded.or_else(|| host_of(call.session.req_header()).ok()) else { return false };
    let authorities = relying_party.origins().iter().filter_map(|origin| origin.split_once("://"));
    authorities.map(|(_, authority)| host_and_port(authority).0).any(|own| own == host)
}

/// Returns the request to show on the page of this host.
pub(in crate::gateway::endpoints) fn shown(
    call: &Call<'_>,
    request: Option<PasskeyRequest>,
) -> Option<PasskeyRequest> {
    request.filter(|_| is_usable(call))
}

/// Returns the URL at which a browser that just signed in with a password is offered a passkey, on its way to `target`.
/// `None` if its device has none, or if its user put it off.
pub(in crate::gateway::endpoints) fn offer(call: &Call<'_>, form: &Form, target: &str) -> Option<String> {
    let has_device = form.get("can_passkey").is_some() && is_usable(call);
    let put_off = cookies::find(cookie_fields(call.headers()), call.snapshot.cookies.put_off);
    let is_put_off = put_off != Found::None;
    (has_device && !is_put_off).then(|| navigation::passkey_url(target, call.auth, call.snapshot))
}
