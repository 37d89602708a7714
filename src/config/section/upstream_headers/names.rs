//! Names of header fields that the configuration may set or remove.

use http::HeaderName;

use crate::config::header_families;
use crate::config::parse::hint::quoted;
use crate::text::without_cgi_prefix;

/// Maximum length of a name. Each byte costs 80 bytes in the name table.
const MAX_LENGTH: usize = 128;

/// Fields of one connection, or of the framing of a message (RFC 9110 sections 6, 7.2, 7.6 and 10.1.1, RFC 6455).
const CONNECTION: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Fields that this gateway sets on every request that it forwards, or that would contradict them.
const OWN: [&str; 11] = [
    "client-cert",
    "client-cert-chain",
    "forwarded",
    "x-auth-assertion",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// Fields that authorization has read (docs/second-resources.md): the authorized request is the forwarded request.
const AUTHORIZED: [&str; 8] = [
    "depth",
    "destination",
    "destination-account",
    "new-uri",
    "new-url",
    "overwrite",
    "source",
    "upload-concat",
];

/// Ends of names with which object stores name a second resource.
const RESOURCES: [&str; 10] = [
    "copy-source",
    "rename-source",
    "copy-from",
    "copy-from-account",
    "symlink-target",
    "object-manifest",
    "versions-location",
    "history-location",
    "container-sync-to",
    "emc-path",
];

/// Credentials of the client.
const CREDENTIALS: [&str; 5] =
    ["authorization", "cookie", "proxy-authenticate", "proxy-authorization", "set-cookie"];

/// Fields of the origin and target that an operator may know better than this gateway: where the app is mounted, and how its server
/// sends files.
const SETTINGS: [&str; 5] =
    ["script-name", "x-accel-mapping", "x-ingress-path", "x-script-name", "x-sendfile-type"];

/// Fields with a meaning of their own in requests (RFC 9110, 9111, 6265), which clients must be able to send.
const CLIENTS: [&str; 14] = [
    "accept",
    "age",
    "cache-control",
    "date",
    "from",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "user-agent",
    "vary",
    "warning",
];

/// Prefixes of such fields.
const CLIENT_FAMILIES: [&str; 5] = ["accept-", "access-control-", "content-", "if-", "sec-"];

/// Parses the name of a response field to set or to remove.
///
/// # Errors
/// A message that says what to write instead.
pub(super) fn of_response(text: &str) -> Result<HeaderName, String> {
    let name = any(text, "Content-Security-Policy")?;
    let plain = name.as_str();
    let why = match plain {
        "set-cookie" | "set-cookie2" => "would concern the gateway's own cookies too: remove it",
        "clear-site-data" => "would delete the gateway's cookies: remove it",
        "strict-transport-security" => "is set by the gateway: write server.tls.hsts",
        "vary" | "x-request-id" => "is set by the gateway: remove it",
        "content-encoding" | "content-range" => "describes the content, which stays as it is: remove it",
        _ if CONNECTION.contains(&plain) || plain.starts_with("sec-websocket-") => {
            "belongs to the connection or the framing of the message: remove it"
        }
        _ if plain.starts_with("access-control-") => "is CORS: write `cors` in the routes",
        _ => return Ok(name),
    };
    Err(format!("{} {why}", quoted(text)))
}

/// Parses a field name that `_` and other separators cannot change into another one.
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn parse(text: &str, example: &str) -> Result<HeaderName, String> {
    check_prefix(text)?;
    if text.contains('_') {
        return Err(format!(
            "many servers read _ and - as the same, so a client could spoof it: write {}",
            quoted(&text.replace('_', "-"))
        ));
    }
    any(text, example)
}

/// Refuses a name with the prefix that CGI, WSGI, PHP and Django add to the names of headers. With it the name would be another
/// header, and what a client sends without it would reach the app under the name that it reads.
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn check_prefix(text: &str) -> Result<(), String> {
    let rest = without_cgi_prefix(text.as_bytes()).and_then(|rest| str::from_utf8(rest).ok());
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else { return Ok(()) };
    Err(format!(
        "{} is how CGI, WSGI and Django call the header {rest}: write {}",
        quoted(text),
        quoted(&rest.replace('_', "-"))
    ))
}

/// Refuses a name with `*`, which stands for further characters in the documentation only.
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn check_pattern(text: &str) -> Result<(), String> {
    if text.contains('*') { Err(format!("{} is no pattern: write each name", quoted(text))) } else { Ok(()) }
}

/// Parses a field name.
fn any(text: &str, example: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        format!("{} is not a header name: write letters, digits and -, such as \"{example}\"", quoted(text))
    })?;
    check_pattern(text)?;
    let length = name.as_str().len();
    if length > MAX_LENGTH {
        return Err(format!("a header name of {length} characters: write at most {MAX_LENGTH}"));
    }
    Ok(name)
}

/// Replaces every character that is neither letter nor digit, as CGI and some servers do.
pub(crate) fn merged(name: &HeaderName) -> String {
    header_families::merged(name.as_str())
}

/// Checks that an upstream may change a request field; the error says why not.
fn check_request(merged: &str) -> Result<(), &'static str> {
    if CONNECTION.contains(&merged) || merged.starts_with("sec-websocket-") {
        return Err("belongs to the connection or the framing of the message: remove it");
    }
    if OWN.contains(&merged) {
        return Err("is set by the gateway on every request: remove it");
    }
    if AUTHORIZED.contains(&merged) || RESOURCES.iter().any(|end| merged.ends_with(end)) {
        return Err("is part of what was authorized (docs/second-resources.md): remove it");
    }
    Ok(())
}

/// Parses the name of a request field to set. `is_identity`: its value is about the user, so clients cannot send the name to any app.
///
/// # Errors
/// A message that says what to write instead.
pub(super) fn to_set(text: &str, is_identity: bool) -> Result<HeaderName, String> {
    let name = parse(text, "X-Email")?;
    let merged = merged(&name);
    let refused = |why: &str| format!("{} {why}", quoted(text));
    check_request(&merged).map_err(refused)?;
    if CREDENTIALS.contains(&merged.as_str()) {
        return Err(refused("carries a client's credentials: write another name"));
    }
    if header_families::is_about_origin(&name) && !SETTINGS.contains(&merged.as_str()) {
        return Err(refused(
            "describes the origin or target of a request, which only the gateway sets: remove it",
        ));
    }
    let is_clients = || {
        CLIENTS.contains(&merged.as_str()) || CLIENT_FAMILIES.iter().any(|family| merged.starts_with(family))
    };
    if is_identity && is_clients() {
        return Err(refused(
            "already has another meaning, and clients could no longer send it to any app: write a name of your own, \
             such as \"X-Email\"",
        ));
    }
    Ok(name)
}

/// Parses the name of a request field to remove.
///
/// # Errors
/// A message that says what to write instead.
pub(super) fn to_remove(text: &str) -> Result<HeaderName, String> {
    let name = parse(text, "X-Debug")?;
    check_request(&merged(&name)).map_err(|why| format!("{} {why}", quoted(text)))?;
    Ok(name)
}
