//! Request to the app: the peer's connection options and the headers that the app sees. Requires a [`Permit`].

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::ALPN;
use pingora::proxy::Session;
use pingora::upstreams::peer::{HttpPeer, Peer as _};

use crate::auth::Auth;
use crate::config::{RequestHeaders, Route, Scheme};
use crate::error::Refusal;
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::authorize::pipeline::{Admitted, OwnToken};
use crate::gateway::request::context::{Cleared, Context, Phase};
use crate::gateway::request::interrupt;
use crate::gateway::request::request_target::{origin_form, path_of};
use crate::gateway::upstream::fields::{self, set};
use crate::gateway::upstream::origin_headers;
use crate::gateway::upstream::websocket_tunnel;
use crate::gateway::upstream::websocket_tunnel::Tunnels;
use crate::policy::forwarded::Origin;
use crate::policy::headers::{HeaderPolicy, Kind, identity_headers, is_own_of};
use crate::policy::route::Destination;
use crate::policy::{Permit, cookies};
use crate::request_id::{self, RequestId};
use crate::snapshot::Snapshot;
use crate::snapshot::upstreams::{Address, Candidate};

/// Interval of PING frames on connections with gRPC streams, which have no timeout: a dead app is noticed. gRPC servers close
/// connections that are pinged more often than every five minutes (gRPC keepalive guide).
const PING_INTERVAL: Duration = Duration::from_secs(330);

/// Pool group of TLS connections that may be HTTP/2. Without one of its own, an idle HTTP/1.1 connection that was made for an HTTP/1.1
/// client would be used for an HTTP/2 request: Pingora looks for such before it connects (`connectors/http/mod.rs`, 0.9.1).
const NEGOTIATED_GROUP: u64 = 1 << 3;

/// Pool group of connections with PING. Pingora sets the interval when it connects: a connection made for another request has none.
const PING_GROUP: u64 = 1 << 2;

/// `Destination` (RFC 4918 section 10.3).
const DESTINATION: HeaderName = HeaderName::from_static("destination");

/// `Keep-Alive` (RFC 2068 section 19.7.1.1).
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The header of the assertion, which clients cannot send ([`crate::config::header_families::DEFAULT_IDENTITY`]).
const ASSERTION: HeaderName = HeaderName::from_static("x-auth-assertion");

/// `Client-Cert` (RFC 9440 section 2.2).
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// Creates the peer of a candidate with the options that requests and health checks share.
///
/// # Errors
/// The path of a Unix socket is invalid.
pub(crate) fn base_peer(candidate: &Candidate) -> pingora::Result<HttpPeer> {
    let tls = candidate.server.scheme == Scheme::Https;
    // Never empty: the certificate is verified against it.
    let name = candidate.server.server_name.clone();
    let mut peer = match &candidate.address {
        Address::Inet(address) => HttpPeer::new(address, tls, name),
        Address::Unix(path) => HttpPeer::new_uds(&path.to_string_lossy(), tls, name)?,
    };
    let Some(options) = peer.get_mut_peer_options() else { return Ok(peer) };
    options.connection_timeout = Some(candidate.server.connect_timeout);
    options.total_connection_timeout = Some(candidate.server.connect_timeout);
    if candidate.server.scheme == Scheme::H2c {
        options.alpn = ALPN::H2;
    }
    if tls {
        let terms = &candidate.server.terms;
        options.ca.clone_from(&terms.authorities);
        peer.client_cert_key.clone_from(&terms.identity);
        peer.group_key = terms.group;
    }
    Ok(peer)
}

/// Creates the peer of a request.
pub(crate) fn peer(
    _: &Cleared,
    candidate: &Candidate,
    permit: &Permit,
    request: &RequestHeader,
) -> pingora::Result<HttpPeer> {
    let headers = &request.headers;
    let mut peer = base_peer(candidate)?;
    let http1 = candidate.server.scheme != Scheme::H2c;
    let is_websocket = http1 && is_websocket(headers);
    if is_websocket {
        peer.group_key ^= websocket_tunnel::GROUP;
    }
    // HTTP/2 requests may need HTTP/2 (gRPC trailers); HTTP/1.1 requests gain nothing from it.
    let may_http2 = candidate.server.scheme == Scheme::Https && request.version == Version::HTTP_2;
    if may_http2 {
        peer.group_key ^= NEGOTIATED_GROUP;
    }
    if !http1 || may_http2 {
        peer.group_key ^= candidate.connections();
    }
    let is_grpc_stream = is_grpc_stream(request, candidate.server.scheme);
    if is_grpc_stream {
        peer.group_key ^= PING_GROUP;
    }
    peer.group_key ^= candidate.kept_connections();
    let Some(options) = peer.get_mut_peer_options() else { return Ok(peer) };
    if is_websocket {
        options.custom_l4 = Some(Arc::new(Tunnels { connect_timeout: candidate.server.connect_timeout }));
    }
    // All other timeouts are enforced by `silence`. For WebSockets, only writes have one.
    if is_websocket {
        options.write_timeout = Some(permit.route().timeout);
    }
    if is_grpc_stream {
        options.h2_ping_interval = Some(PING_INTERVAL);
    }
    options.idle_timeout = Some(candidate.idle_timeout());
    if may_http2 {
        options.alpn = ALPN::H2H1;
    }
    // One stream per connection, Pingora's default. The app's limit is in its SETTINGS, which may arrive after the first streams
    // are opened: streams beyond it would wait forever or be refused (RFC 9113 section 5.1.2).
    options.max_h2_streams = 1;
    Ok(peer)
}

/// Handles the header of a response: restarts the app's timeout, and notes its keepalive timeout (`Keep-Alive: timeout=5`, in
/// seconds).
pub(crate) fn handle_response_header(response: &ResponseHeader, context: &Context) {
    context.silence.restart();
    let Some(candidate) = context.candidate() else { return };
    if response.status.is_informational() {
        return;
    }
    // Not standardised, but common among servers (RFC 2068 section 19.7.1.1).
    let timeout = response.headers.get(KEEP_ALIVE).and_then(|value| {
        let mut parameters = value.to_str().ok()?.split(',');
        parameters.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
            value.trim().trim_matches('"').parse().ok().filter(|_| is_timeout)
        })
    });
    candidate.set_keep_alive(timeout.map(Duration::from_secs));
}

/// Starts an attempt: the request's header is complete and about to be sent.
pub(crate) fn begin(
    session: &mut Session,
    request: &mut RequestHeader,
    context: &mut Context,
) -> Result<(), Refusal> {
    // The buffered body is sent again with every attempt.
    context.log.bytes_in = 0;
    let Phase::Sent(Admitted { permit, .. }, attempt) = &mut context.phase else { return Ok(()) };
    attempt.body_was_sent = false;
    let candidate = &attempt.candidate;
    // The connection is not reused if the app closes idle connections at once.
    if request.version == Version::HTTP_11
        && candidate.idle_timeout().is_zero()
        && !is_websocket(&request.headers)
    {
        let close = HeaderValue::from_static("close");
        request.insert_header(header::CONNECTION, close).map_err(|_| Refusal::Internal)?;
    }
    // Only an HTTP/2 stream can get a response after its request was dropped.
    if session.is_http2() {
        context.silence.set_request_id(context.log.request_id.as_ref());
    }
    let timeout = permit.route().timeout;
    if is_grpc_stream(session.req_header(), candidate.server.scheme) {
        context.silence.begin_streaming(timeout);
        interrupt::make_interruptible(session, &context.silence);
    } else if context.silence.begin(session, timeout) {
        interrupt::make_interruptible(session, &context.silence);
    }
    Ok(())
}

/// Whether Pingora forwards the request as a WebSocket handshake. Incomplete ones have no `Upgrade` here ([`normalize`]).
pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Removes an `Upgrade` to be ignored: in HTTP/1.0, or not named by `Connection` (RFC 9110 section 7.8).
pub(crate) fn normalize(request: &mut RequestHeader) {
    if !request.headers.contains_key(header::UPGRADE) {
        return;
    }
    let connection = request.headers.get_all(header::CONNECTION).iter();
    let mut options = connection.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    if request.version != Version::HTTP_11
        || !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    {
        request.remove_header(&header::UPGRADE);
    }
}

/// Whether the request may be a bidirectional gRPC stream, whose body lasts as long as its response. Never over HTTP/1.1 on
/// either side: there a body has a minimum rate.
pub(crate) fn is_grpc_stream(request: &RequestHeader, scheme: Scheme) -> bool {
    request.version == Version::HTTP_2 && scheme != Scheme::Http && is_grpc(&request.headers)
}

/// Whether the content type is gRPC. Runs for every response, so without a copy. gRPC-Web does not count: it cannot stream
/// requests.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = b"application/grpc";
    let Some(sent) = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) else { return false };
    let is_kind = sent.get(..kind.len()).is_some_and(|sent| sent.eq_ignore_ascii_case(kind));
    is_kind && matches!(sent.get(kind.len()), None | Some(b'+' | b';'))
}

/// Facts about the client's request beside its header.
pub(crate) struct Downstream<'a> {
    /// Address, scheme, host and port that the client used.
    pub(crate) origin: &'a Origin<'a>,
    /// Id of the request.
    pub(crate) request_id: Option<&'a RequestId>,
    /// Client certificate that was verified in the handshake.
    pub(crate) certificate: Option<&'a HeaderValue>,
    /// Assertion about the user for the app.
    pub(crate) assertion: Option<HeaderValue>,
}

/// Returns the assertion about the user of a request, if its app gets one.
pub(crate) fn assertion(context: &Context, auth: &Auth) -> Option<HeaderValue> {
    let identity = context.permit()?.identity()?;
    let audience = context.attempt()?.candidate.server.request_headers.assertion.as_ref()?;
    auth.assertion(identity, audience, &context.snapshot.settings)
}

/// Findings about a request while it was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// Whether the client sent one of the identity headers.
    pub(crate) client_sent_identity: bool,
}

/// Rewrites the request for the app. Runs after hop-by-hop and `Connection`-nominated headers are removed, so that fields set
/// here stay.
pub(crate) fn rewrite(
    _: &Cleared,
    request: &mut RequestHeader,
    admitted: &Admitted,
    candidate: &Candidate,
    downstream: &Downstream<'_>,
    snapshot: &Snapshot,
) -> Result<Rewritten, Refusal> {
    let Admitted { permit, own_token, destination: to } = admitted;
    let route = permit.route();
    let host = request
        .headers
        .get(header::HOST)
        .cloned()
        .or_else(|| request.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok()));
    target(request, route)?;
    fields::edit(request, |headers| {
        let of_app = &candidate.server.request_headers;
        let client_sent_identity = strip(headers, &snapshot.headers, of_app, &route.pass_headers);
        destination(headers, route, candidate, to.as_ref())?;
        credentials(headers, route, *own_token);
        if let Some(identity) = permit.identity() {
            for (name, value) in identity_headers(of_app, identity) {
                set(headers, name.clone(), value)?;
            }
        }
        if let Some(assertion) = &downstream.assertion {
            set(headers, ASSERTION, assertion.clone())?;
        }
        for (name, value) in &of_app.fixed {
            set(headers, name.clone(), value.clone())?;
        }
        let prefix = route.stripped(b"").map(|_| route.path.as_str());
        origin_headers::set_all(headers, downstream.origin, host.as_ref(), prefix)?;
        if let Some(id) = downstream.request_id {
            set(headers, request_id::HEADER, id.header().clone())?;
        }
        if let Some(certificate) = downstream.certificate.filter(|_| route.forward_client_cert) {
            set(headers, CLIENT_CERT, certificate.clone())?;
        }
        match host.filter(|_| route.preserve_host) {
            // Unchanged, as in every HTTP/1.1 request.
            Some(host) if headers.get(header::HOST) == Some(&host) => {}
            Some(host) => set(headers, header::HOST, host)?,
            None => set(headers, header::HOST, candidate.server.authority.clone())?,
        }
        Ok(Rewritten { client_sent_identity })
    })
}

/// Removes headers that clients must not set, or that this app does not get, except other gateways' names in `passed`. Returns
/// whether an identity header was among them.
fn strip(
    headers: &mut HeaderMap,
    policy: &HeaderPolicy,
    of_app: &RequestHeaders,
    passed: &[HeaderName],
) -> bool {
    let mut unwanted: Vec<HeaderName> = Vec::new();
    let mut client_sent_identity = false;
    for name in headers.keys() {
        match policy.kind(name) {
            Kind::Pass => continue,
            Kind::Identity => client_sent_identity = true,
            Kind::Foreign if passed.contains(name) && !is_own_of(of_app, name) => continue,
            Kind::OfApp if !is_own_of(of_app, name) => continue,
            Kind::Drop | Kind::Foreign | Kind::OfApp => {}
        }
        unwanted.push(name.clone());
    }
    for name in &unwanted {
        headers.remove(name);
    }
    client_sent_identity
}

/// Sets the target in origin form, byte for byte as received, without the route's path if it is stripped.
fn target(request: &mut RequestHeader, route: &Route) -> Result<(), Refusal> {
    let stripped = route.stripped(path_of(request));
    let absolute = request.uri.authority().is_some() || !request.raw_path().starts_with(b"/");
    if stripped.is_none() && !absolute {
        return Ok(());
    }
    let path_length = path_of(request).len();
    let whole = origin_form(request);
    let (path, query) = whole.split_at(path_length);
    let rest = stripped.unwrap_or(path);
    // A stripped path must not begin with `//`: it could be read as an authority.
    if rest.starts_with(b"//") {
        return Err(Refusal::TargetAmbiguous);
    }
    let mut target = Vec::with_capacity(whole.len() + 1);
    if rest.is_empty() {
        target.push(b'/');
    }
    target.extend_from_slice(rest);
    target.extend_from_slice(query);
    request.set_raw_path(&target).map_err(|_| Refusal::TargetAmbiguous)
}

/// Forwards `Destination` only as it was checked, rewritten for the app like the target and `Host`.
fn destination(
    headers: &mut HeaderMap,
    route: &Route,
    candidate: &Candidate,
    checked: Option<&Destination>,
) -> Result<(), Refusal> {
    let Some(checked) = checked else {
        headers.remove(&DESTINATION);
        return Ok(());
    };
    let scheme = if candidate.server.scheme == Scheme::Https { "https" } else { "http" };
    let authority = candidate.server.authority.to_str().unwrap_or_default();
    let origin = (!route.preserve_host).then(|| format!("{scheme}://{authority}"));
    match checked.rewritten(origin.as_deref()) {
        Some(value) => set(headers, DESTINATION, value),
        None => Ok(()),
    }
}

/// Removes the gateway's cookies and tokens.
fn credentials(headers: &mut HeaderMap, route: &Route, own_token: Option<OwnToken>) {
    match own_token {
        None => {}
        Some(OwnToken::Access) if route.forward_bearer => {}
        Some(OwnToken::Access | OwnToken::Refresh) => drop(headers.remove(&header::AUTHORIZATION)),
    }
    if !headers.contains_key(header::COOKIE) {
        return;
    }
    let left = cookies::without_own_cookies(cookie_fields(headers));
    headers.remove(&header::COOKIE);
    if let Some(left) = left.and_then(|left| HeaderValue::from_bytes(&left).ok()) {
        headers.insert(header::COOKIE, left);
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
