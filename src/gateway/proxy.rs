//! Pingora's callbacks, each a step of the walk.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use super::caught::{Panicked, caught};
use super::context::{Account, Context, Outcome};
use super::gate::{self, Traffic};
use super::judge::{self, Found, Judgement};
use super::renewal::SetCookies;
use super::respond::Answer;
use super::upstream::{self, Rewritten};
use super::{cors, endpoints, framing, navigation};
use crate::auth::{Auth, Control, Progress};
use crate::clock::Clock;
use crate::error::Refusal;
use crate::metrics::{Pattern, Stream};
use crate::policy::{cookies, forwarded};
use crate::snapshot::Current;
use crate::snapshot::upstreams::Turn;

/// How many servers of an upstream are tried for one request: the first, and two more.
const TRIES: usize = 3;

/// The public listener's behaviour.
pub struct Gateway {
    auth: Arc<Auth>,
    current: Current,
    clock: Arc<dyn Clock>,
    traffic: Arc<Traffic>,
}

type Fallible<T> = pingora::Result<T>;

impl Gateway {
    /// Puts it together.
    pub fn new(auth: Arc<Auth>, current: Current, clock: Arc<dyn Clock>, traffic: Arc<Traffic>) -> Self {
        Self { auth, current, clock, traffic }
    }

    /// The loop bound Pingora is given: it counts the first try too.
    pub const fn tries() -> usize {
        TRIES
    }

    /// Judges and, where the answer is ours, answers. `true` when answered.
    async fn filter(&self, session: &mut Session, context: &mut Context) -> Fallible<bool> {
        let verdict = self.verdict(session, context).await;
        if !context.account.own {
            let added = context.account.elapsed().as_secs_f64();
            self.auth.metrics().requests.decision_seconds.observe(added);
        }
        match verdict {
            Ok(Judgement::Forward(forward)) => {
                context.account.session = forward.permit.identity().map(|i| i.session_id());
                context.bearer_is_ours = forward.bearer_is_ours;
                context.registration = forward.registration;
                let group = context.snapshot.upstreams.find(&forward.permit.route().upstream);
                context.turn = group.map(|group| group.turn()).unwrap_or_default();
                context.permit = Some(forward.permit);
                Ok(false)
            }
            Ok(Judgement::Own(path)) => {
                let (snapshot, set) = (&context.snapshot, &mut context.set);
                let answer =
                    endpoints::serve(session, &path, &self.auth, snapshot, &context.control, set).await?;
                let answer = match answer {
                    Ok(answer) => {
                        context.account.outcome = Outcome::Answered;
                        answer
                    }
                    Err(refusal) => {
                        context.account.outcome = Outcome::Refused(refusal.code());
                        navigation::refusal(&refusal, session.req_header(), &self.auth, &context.snapshot)
                    }
                };
                let answer =
                    cors::decorate(answer, session.req_header(), &context.snapshot.server.cors_origins);
                send(session, &context.set.on(answer)).await.map(|()| true)
            }
            Err(refusal) => {
                context.account.outcome = Outcome::Refused(refusal.code());
                let answer =
                    navigation::refusal(&refusal, session.req_header(), &self.auth, &context.snapshot);
                send(session, &context.set.on(answer)).await.map(|()| true)
            }
        }
    }

    async fn verdict(&self, session: &Session, context: &mut Context) -> Result<Judgement, Refusal> {
        let snapshot = &context.snapshot;
        framing::check(session, snapshot.limits().header_bytes)?;
        let found = judge::find(session.req_header(), snapshot);
        if found == Err(Refusal::TargetAmbiguous) {
            self.auth.metrics().requests.unusual.of(Pattern::AmbiguousTarget).inc();
        }
        let route = match found? {
            Found::Own(path) => {
                context.account.own = true;
                return Ok(Judgement::Own(path));
            }
            Found::Route(route) => route,
        };
        context.account.route = Some(Arc::clone(&route));
        let judgement = judge::judge(
            session.req_header(),
            &route,
            &self.auth,
            snapshot,
            &context.control,
            &mut context.set,
        )
        .await?;
        if let Judgement::Forward(forward) = &judgement {
            let declared = session
                .req_header()
                .headers
                .get(header::CONTENT_LENGTH)
                .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
            if declared.is_some_and(|length| length > forward.permit.route().body_limit) {
                return Err(Refusal::BodyTooLarge);
            }
        }
        Ok(judgement)
    }

    /// Remembers why, and stops Pingora.
    fn refuse<T>(context: &mut Context, refusal: Refusal) -> Fallible<T> {
        context.refusal = Some(refusal);
        Err(Error::new(ErrorType::Custom("refused")))
    }

    fn panicked<T>(&self, context: &mut Context) -> Fallible<T> {
        self.auth.metrics().requests.panics.inc();
        Self::refuse(context, Refusal::Internal)
    }
}

/// Writes a whole answer.
async fn send(session: &mut Session, answer: &Answer) -> Fallible<()> {
    let mut response = ResponseHeader::build(answer.status, Some(answer.headers.len() + 1))?;
    for (name, value) in &answer.headers {
        response.append_header(name.clone(), value.clone())?;
    }
    if answer.status != 204 {
        response.insert_header(header::CONTENT_LENGTH, answer.body.len())?;
    }
    let with_body = answer.sends_body(&session.req_header().method);
    session.write_response_header(Box::new(response), !with_body).await?;
    if with_body {
        session.write_response_body(Some(answer.body.clone()), true).await?;
    }
    Ok(())
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        let control: Arc<Control> = gate::control();
        control.header_was_read();
        let (metrics, clock) = (Arc::clone(self.auth.metrics()), Arc::clone(&self.clock));
        Context {
            snapshot: self.current.load(),
            account: Account::open(metrics, clock, Arc::clone(&self.traffic), Arc::clone(&control)),
            control,
            permit: None,
            registration: None,
            bearer_is_ours: false,
            set: SetCookies::default(),
            turn: Turn::default(),
            candidate: None,
            body_bytes: 0,
            refusal: None,
        }
    }

    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {
        // The default one is a disabled compressor: an allocation per request for nothing.
    }

    async fn early_request_filter(&self, session: &mut Session, context: &mut Context) -> Fallible<()> {
        context.account.method = known_method(session.req_header());
        if tracing::enabled!(target: "doorward::access", tracing::Level::INFO) {
            // Enough to recognise it; a query may hold secrets and is left out.
            let path = String::from_utf8_lossy(judge::path_of(session.req_header())).into_owned();
            context.account.path = path.chars().take(256).collect();
            let chain = session
                .req_header()
                .headers
                .get_all("x-forwarded-for")
                .iter()
                .filter_map(|v| v.to_str().ok());
            let trusted = &context.snapshot.server.trusted_proxies;
            context.account.client = Some(forwarded::client(client_ip(session), chain, trusted));
        }
        // The transport's reading of chunk lines is lenient (a bare LF in an extension passes). A proxy in front that is
        // stricter would see another end of the body: so nothing that follows it on the connection is read.
        if session.req_header().headers.contains_key(header::TRANSFER_ENCODING) {
            session.set_keepalive(None);
        }
        if self.traffic.is_winding_down() {
            session.set_keepalive(None);
        }
        // Only where it is on: this would switch it on for an HTTP/1.0 client that did not ask.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(context.snapshot.server.keepalive_timeout.as_secs().max(1)));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Fallible<bool> {
        match caught(self.filter(session, context)).await {
            Ok(done) => done,
            Err(Panicked) => self.panicked(context),
        }
    }

    async fn upstream_peer(&self, session: &mut Session, context: &mut Context) -> Fallible<Box<HttpPeer>> {
        // The last look before anything is sent to the app.
        if let Some(refusal) = context.obstacle() {
            return Self::refuse(context, refusal);
        }
        // When all have had their turn, only a kept connection that the app had closed brings us here: the server
        // lives, and is asked again.
        let candidate = context.turn.next().or_else(|| context.candidate.take());
        let (Some(permit), Some(candidate)) = (&context.permit, candidate) else {
            return Self::refuse(context, Refusal::UpstreamUnavailable);
        };
        let peer = upstream::peer(&candidate, permit, &session.req_header().headers);
        context.candidate = Some(candidate);
        Ok(Box::new(peer))
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        peer: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(route) = &context.account.route {
            let failed = &self.auth.metrics().upstreams.connect_failures;
            failed.with_label_values(&[route.upstream.as_str()]).inc();
        }
        tracing::warn!(reason = "connect_failed", server = %peer, %error);
        // Nothing was sent yet: the next server may have it, whatever the method.
        error.set_retry(context.turn.has_next());
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Fallible<()> {
        // The connect may have taken longer than the lease.
        if let Some(registration) = &context.registration
            && let Err(refusal) = self.auth.still_good(registration, &context.snapshot.settings).await
        {
            return Self::refuse(context, refusal);
        }
        if let Some(refusal) = context.obstacle() {
            return Self::refuse(context, refusal);
        }
        let downstream = upstream::Downstream {
            peer: client_ip(session),
            https: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
        };
        let rewritten = match (&context.permit, &context.candidate) {
            (Some(permit), Some(candidate)) => upstream::rewrite(
                request,
                permit,
                context.bearer_is_ours,
                candidate,
                &downstream,
                &context.snapshot,
            ),
            _ => Err(Refusal::Internal),
        };
        if rewritten == Ok(Rewritten { identity_was_sent: true }) {
            self.auth.metrics().requests.unusual.of(Pattern::IdentityHeaderSent).inc();
        }
        context.account.was_forwarded();
        rewritten.map(drop).or_else(|refusal| Self::refuse(context, refusal))
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        context: &mut Context,
    ) -> Fallible<()> {
        if let Some(refusal) = context.obstacle() {
            return Self::refuse(context, refusal);
        }
        // What flows through a WebSocket is not a body and has no limit.
        if context.account.status == 101 {
            return Ok(());
        }
        context.body_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if context.permit.as_ref().is_some_and(|permit| context.body_bytes > permit.route().body_limit) {
            return Self::refuse(context, Refusal::BodyTooLarge);
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Fallible<()> {
        // Revoked while the app was thinking: its answer is not delivered.
        if let Some(refusal) = context.obstacle() {
            return Self::refuse(context, refusal);
        }
        drop_our_cookies(response)?;
        if self.traffic.is_winding_down() {
            session.set_keepalive(None);
        }
        let status = response.status.as_u16();
        if status == 101 || status >= 200 {
            context.set.beside(response)?;
        }
        // RFC 9110 section 7.8: nobody switches who was not asked to.
        if status == 101 && !session.is_upgrade_req() {
            return Self::refuse(context, Refusal::UpstreamUnavailable);
        }
        if status == 101 {
            // Silence is normal on a WebSocket; the session's end closes it.
            session.set_read_timeout(None);
        }
        if status == 101 || status >= 200 {
            context.account.status = status;
            context.account.outcome = Outcome::Forwarded;
            let stream = match status {
                101 => Stream::WebSocket,
                _ if is_event_stream(response) => Stream::EventStream,
                _ => Stream::Response,
            };
            context.account.is_answered(stream);
            let open = stream != Stream::Response;
            context.control.set_progress(if open { Progress::Open } else { Progress::Answering });
            // Between the look above and this mark a cut may have come: then nothing was sent, and nothing is.
            if let Some(refusal) = context.obstacle() {
                return Self::refuse(context, refusal);
            }
        }
        Ok(())
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        let refusal = context.refusal.take().or_else(|| refusal_of(error));
        let Some(refusal) = refusal else {
            context.account.outcome = Outcome::Aborted;
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        context.account.outcome = Outcome::Refused(refusal.code());
        if !matches!(error.etype(), ErrorType::Custom("refused")) {
            tracing::warn!(reason = refusal.code(), error = %error.etype().as_str(), "not forwarded");
        }
        let answer = navigation::refusal(&refusal, session.req_header(), &self.auth, &context.snapshot);
        let answer = context.set.on(answer);
        // Once the app's answer has begun, all that is left is to close.
        if session.response_written().is_none() && send(session, &answer).await.is_ok() {
            context.account.status = answer.status;
        }
        FailToProxy { error_code: answer.status, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        // The account has one line per request.
        true
    }

    fn request_summary(&self, session: &Session, _: &Context) -> String {
        // The default has path and query, which may hold secrets.
        session.req_header().method.to_string()
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, context: &mut Context) {
        if let Some(response) = session.response_written() {
            context.account.status = response.status.as_u16();
        }
    }
}

fn is_event_stream(response: &ResponseHeader) -> bool {
    let content_type = response.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    content_type.is_some_and(|value| value.to_ascii_lowercase().starts_with(b"text/event-stream"))
}

/// What a failure of the transport means to the client; `None` when there is no client left.
fn refusal_of(error: &Error) -> Option<Refusal> {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, HTTPStatus, ReadError, ReadTimedout, TLSHandshakeTimedout,
        WriteError, WriteTimedout,
    };
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(413)) => Some(Refusal::BodyTooLarge),
        (ErrorSource::Upstream, ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout) => {
            Some(Refusal::UpstreamTimeout)
        }
        (ErrorSource::Upstream, _) => Some(Refusal::UpstreamUnavailable),
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed) => None,
        (ErrorSource::Downstream, _) => Some(Refusal::RequestInvalid("the request could not be read".into())),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Refusal::Internal),
    }
}

/// The peer's address; what has none (it is loopback in tests of sockets) is nobody.
pub(super) fn client_ip(session: &Session) -> std::net::IpAddr {
    let address = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
    address.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}

/// An app cannot set our cookies (T07).
fn drop_our_cookies(response: &mut ResponseHeader) -> Fallible<()> {
    let all: Vec<_> = response.headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    if !all.iter().any(|value| cookies::sets_ours(value.as_bytes())) {
        return Ok(());
    }
    response.remove_header(&header::SET_COOKIE);
    for value in all.into_iter().filter(|value| !cookies::sets_ours(value.as_bytes())) {
        response.append_header(header::SET_COOKIE, value)?;
    }
    Ok(())
}

/// The method for the log; what is not a registered one is not repeated.
fn known_method(request: &RequestHeader) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    KNOWN.into_iter().find(|known| *known == request.method.as_str()).unwrap_or("other")
}
