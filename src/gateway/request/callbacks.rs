//! Pingora's callbacks, in the order of a request.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use crate::auth::Auth;
use crate::clock::Clock;
use crate::config::Scheme;
use crate::error::Refusal;
use crate::gateway::authorize::set_cookies::SetCookies;
use crate::gateway::connection::bounded_stream;
use crate::gateway::connection::traffic::Traffic;
use crate::gateway::request::access_log::{Outcome, RequestLog};
use crate::gateway::request::context::{Cleared, Context, Phase};
use crate::gateway::request::current_request::{self, CurrentRequest};
use crate::gateway::request::ignored_fields::IgnoredFields;
use crate::gateway::request::lingering_close;
use crate::gateway::request::panic_guard::{Panicked, catch_panic};
use crate::gateway::request::{client, interrupt};
use crate::gateway::request::{send, send_backlog};
use crate::gateway::upstream::failure::Sent;
use crate::gateway::upstream::fields;
use crate::gateway::upstream::http10;
use crate::gateway::upstream::response_framing::Content;
use crate::gateway::upstream::upstream_request;
use crate::gateway::upstream::upstream_request::Rewritten;
use crate::gateway::upstream::{failure, handshake, request_framing, response_framing};
use crate::id::Random;
use crate::metrics::Pattern;
use crate::request_id::{self, RequestIds};
use crate::snapshot::Current;

/// Maximum number of servers of an upstream tried for one request.
const TRIES: usize = 3;

/// Behaviour of the public listeners.
pub struct Gateway {
    pub(super) auth: Arc<Auth>,
    current: Current,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) traffic: Arc<Traffic>,
    ids: RequestIds,
    ignored_fields: IgnoredFields,
}

type Fallible<T> = pingora::Result<T>;

impl Gateway {
    /// Creates the gateway.
    pub fn new(
        auth: Arc<Auth>,
        current: Current,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self {
            auth,
            current,
            clock,
            traffic,
            ids: RequestIds::new(random),
            ignored_fields: IgnoredFields::default(),
        }
    }

    /// Maximum number of attempts that Pingora makes for a request, the first included.
    pub const fn tries() -> usize {
        TRIES
    }

    /// Ends a response without content (to HEAD, 204, 304) whose app failed after its header section: nothing is missing of it
    /// (RFC 9110 section 9.3.2, RFC 9113 section 8.1.1).
    async fn end_empty_response(session: &mut Session, context: &Context) -> FailToProxy {
        session.set_keepalive(None);
        if session.is_http2() {
            // A client that is gone needs no end.
            let _ = session.as_mut().write_response_body(Bytes::new(), true).await;
        }
        FailToProxy { error_code: context.log.status, can_reuse_downstream: false }
    }

    /// Stores the refusal and ends the request: [`Self::fail_to_proxy`] sends it.
    pub(super) fn refuse<T>(context: &mut Context, refusal: Refusal) -> Fallible<T> {
        context.pending_refusal = Some(refusal);
        // An error of the client's side. With any other one, Pingora would go on waiting for the response of an HTTP/2 app whose
        // request body cannot be sent.
        Err(Error::new_down(ErrorType::Custom("refused")))
    }

    /// Re-checks the request before anything passes to the app or to the client.
    fn recheck(context: &mut Context) -> Fallible<Cleared> {
        context.recheck().or_else(|refusal| Self::refuse(context, refusal))
    }

    fn panicked<T>(&self, context: &mut Context) -> Fallible<T> {
        self.auth.metrics().requests.panics.inc();
        Self::refuse(context, Refusal::Internal)
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    // A pointer: Pingora moves it three times, and its futures hold it three times.
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Box<Context> {
        let CurrentRequest { control, silence, backlog, listener, client_authentication, connection_refusal } =
            current_request::get(&self.traffic);
        control.set_header_read();
        let (metrics, clock) = (Arc::clone(self.auth.metrics()), Arc::clone(&self.clock));
        let (snapshot, traffic) = (self.current.load(), Arc::clone(&self.traffic));
        let lines = snapshot.log.access;
        Box::new(Context {
            log: RequestLog::open(metrics, clock, traffic, Arc::clone(&control), lines),
            snapshot,
            control,
            silence,
            backlog,
            listener,
            client_authentication,
            connection_refusal,
            phase: Phase::Received,
            registration: None,
            return_to: None,
            denied_user: None,
            cookies: SetCookies::default(),
            pending_refusal: None,
            response_is_empty: false,
            response_sent: false,
        })
    }

    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {
        // The default one is a disabled compressor: an allocation per request for nothing.
    }

    async fn early_request_filter(&self, session: &mut Session, context: &mut Box<Context>) -> Fallible<()> {
        bounded_stream::admit_body(session);
        fields::drop_spelling(session.req_header_mut());
        upstream_request::normalize(session.req_header_mut());
        request_framing::normalize(session.req_header_mut());
        context.log.method = client::logged_method(session.req_header());
        let sent = client::request_id(session, &context.snapshot);
        let id = sent.unwrap_or_else(|| self.ids.make());
        let client = client::client(session, &context.snapshot);
        request_id::enter(id.clone(), client);
        context.log.request_id = Some(id);
        if context.log.is_enabled() {
            client::log_fields(session, client, &mut context.log, &context.snapshot);
        }
        // RFC 9110 section 15.2: an HTTP/1.0 client would take an informational response for the final one.
        if session.req_header().version < Version::HTTP_11 {
            session.set_ignore_info_resp(true);
        }
        // The transport's reading of chunk lines is lenient (a bare LF in an extension passes). A proxy in front that is
        // stricter would see another end of the body: so nothing that follows it on the connection is read.
        if session.req_header().headers.contains_key(header::TRANSFER_ENCODING) {
            session.set_keepalive(None);
        }
        // Nor is what follows a header that is refused.
        if self.traffic.is_winding_down() || context.connection_refusal.is_some() {
            session.set_keepalive(None);
        }
        session.set_write_timeout(Some(context.snapshot.limits().send_timeout));
        // Only where it is on: this would switch it on for an HTTP/1.0 client that did not ask.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(context.snapshot.server.keepalive_timeout.as_secs().max(1)));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Box<Context>) -> Fallible<bool> {
        match catch_panic(self.filter(session, context)).await {
            Ok(done) => done,
            Err(Panicked) => self.panicked(context),
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        context: &mut Box<Context>,
    ) -> Fallible<Box<HttpPeer>> {
        let cleared = Self::recheck(context)?;
        let Some((admitted, candidate)) = context.phase.next_attempt() else {
            return Self::refuse(context, Refusal::UpstreamUnavailable);
        };
        context.log.server = Some(candidate.address.clone());
        if candidate.server.scheme == Scheme::H2c && session.req_header().version < Version::HTTP_11 {
            http10::write_without_chunks(session);
        }
        let mut peer = upstream_request::peer(&cleared, candidate, &admitted.permit, session.req_header())?;
        send_backlog::bound_read_ahead(&mut peer, &context.backlog);
        Ok(Box::new(peer))
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        context: &mut Box<Context>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Not a connect: a pooled connection had closed, and nothing was sent. The next server is tried, or the same.
        if let Some(attempt) = context.attempt_mut()
            && !attempt.pooled_had_closed
            && failure::was_pooled(&error)
        {
            attempt.pooled_had_closed = true;
            error.set_retry(true);
            return error;
        }
        failure::connect(context, &error, self.clock.as_ref());
        tracing::warn!(
            reason = "upstream_connect_failed",
            upstream = context.log.route.as_ref().map_or("-", |route| route.upstream.as_str()),
            server = context.log.server.as_ref().map(tracing::field::display),
            cause = handshake::cause(&error),
            "cannot connect to a server of an upstream"
        );
        // Nothing was sent yet, so the next server may be tried with any method. What this side lacks, it lacks for all.
        let has_next = context.attempt().is_some_and(|attempt| attempt.others.has_next());
        error.set_retry(has_next && context.pending_refusal.is_none());
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        context: &mut Box<Context>,
        is_reused: bool,
    ) -> Box<Error> {
        interrupt::restore(session, &context.silence);
        context.silence.stop();
        let sent = Sent { is_whole: session.as_mut().is_body_done(), is_reused };
        failure::sent(context, &error, sent, self.clock.as_ref());
        let mut error = error.more_context(format!("Peer: {peer}"));
        failure::decide_retry(&mut error, session, context, is_reused);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Box<Context>,
    ) -> Fallible<()> {
        // The connect may have taken longer than the lease.
        if let Some(registration) = &context.registration
            && let Err(refusal) = self.auth.recheck_lease(registration, &context.snapshot.settings).await
        {
            return Self::refuse(context, refusal);
        }
        let cleared = Self::recheck(context)?;
        let origin = client::origin(session, &context.snapshot);
        if let Some(ignored) = origin.ignored {
            self.ignored_fields.note(client::client_ip(session), ignored, self.clock.monotonic());
        }
        let downstream = upstream_request::Downstream {
            origin: &origin,
            request_id: context.log.request_id.as_ref(),
            certificate: context.client_authentication.as_ref().and_then(|client| client.field()),
            assertion: upstream_request::assertion(context, &self.auth),
        };
        let rewritten = match &context.phase {
            Phase::Sent(admitted, attempt) => upstream_request::rewrite(
                &cleared,
                request,
                admitted,
                &attempt.candidate,
                &downstream,
                &context.snapshot,
            ),
            Phase::Received | Phase::Admitted(..) => Err(Refusal::Internal),
        };
        if rewritten == Ok(Rewritten { client_sent_identity: true }) {
            self.auth.metrics().requests.unusual.of(Pattern::IdentityHeaderSent).inc();
        }
        context.log.record_forwarded();
        if let Err(refusal) = rewritten {
            return Self::refuse(context, refusal);
        }
        request_framing::complete(session, request).await?;
        upstream_request::begin(session, request, context).or_else(|refusal| Self::refuse(context, refusal))
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        context: &mut Box<Context>,
    ) -> Fallible<()> {
        let cleared = Self::recheck(context)?;
        let received = body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        context.forward_body(&cleared, &self.auth, received);
        // A body that ends with trailers has no last chunk.
        if is_last || body.is_none() {
            request_framing::end_once(body);
            context.control.set_body_complete();
        } else {
            context.control.record_body(received);
        }
        // WebSocket traffic is not a body and has no limit.
        if context.log.status == 101 {
            return Ok(());
        }
        if let Some(attempt) = context.attempt_mut() {
            attempt.body_was_sent |= received > 0;
        }
        if context.silence.body_received(body, is_last) {
            interrupt::make_interruptible(session, &context.silence);
        }
        let is_too_long =
            context.permit().is_some_and(|permit| context.log.bytes_in > permit.route().body_limit);
        // Nor has a gRPC stream one: the app limits each of its messages, and there may be messages for days.
        let is_grpc_stream = || {
            let scheme = context.scheme();
            scheme.is_some_and(|scheme| upstream_request::is_grpc_stream(session.req_header(), scheme))
        };
        if is_too_long && !is_grpc_stream() {
            return Self::refuse(context, Refusal::BodyTooLarge);
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Box<Context>,
    ) -> Fallible<()> {
        fields::drop_response_spelling(response);
        upstream_request::handle_response_header(response, context);
        match response_framing::rebuild(response, session.req_header()) {
            Ok(content) => {
                context.response_is_empty = content == Content::None;
                Ok(())
            }
            Err(fault) => {
                context.log.cause = Some(fault.to_string());
                Self::refuse(context, Refusal::UpstreamUnavailable)
            }
        }
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Box<Context>,
    ) -> Fallible<()> {
        let cleared = Self::recheck(context)?;
        self.prepare_response(&cleared, session, response, context)?;
        // A cut that came before the response was marked as begun: nothing is sent yet.
        Self::recheck(context).map(drop)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        context: &mut Box<Context>,
    ) -> Fallible<Option<Duration>> {
        if is_last {
            context.silence.stop();
        } else {
            context.silence.restart();
        }
        if context.response_is_empty {
            *body = None;
        }
        let sent = body.as_ref().map_or(0, Bytes::len) as u64;
        context.record_traffic(&self.auth, sent, context.log.bytes_out);
        send_backlog::track(session, body, is_last, context);
        context.log.bytes_out += sent;
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Box<Context>,
    ) -> FailToProxy {
        if context.response_is_empty && response_framing::has_begun(session) {
            return Self::end_empty_response(session, context).await;
        }
        let known = context.pending_refusal.take();
        if known.is_none() {
            context.log.cause = Some(error.etype().as_str().to_owned());
        }
        let Some(refusal) = known.or_else(|| failure::refusal_of(error)) else {
            context.log.outcome = Outcome::Aborted;
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        let answer = self.refusal(session, &refusal, context);
        let answer = context.cookies.on(answer);
        // Pingora regards the connection of a failed request as lost.
        session.set_keepalive(None);
        // Once the app's response has begun, the connection can only be closed.
        if !response_framing::has_begun(session) && send::send(session, &answer, context).await.is_ok() {
            context.log.status = answer.status;
        }
        FailToProxy { error_code: answer.status, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _: &Session, _: &Box<Context>, _: &Error) -> bool {
        // The access log has one entry per request.
        true
    }

    fn request_summary(&self, session: &Session, _: &Box<Context>) -> String {
        // The default has path and query, which may hold secrets.
        session.req_header().method.to_string()
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut Box<Context>) {
        interrupt::restore(session, &context.silence);
        context.silence.stop();
        if error.is_none() {
            context.backlog.response_delivered();
        }
        if let Some(response) = session.response_written().filter(|_| response_framing::has_begun(session)) {
            context.log.status = response.status.as_u16();
            context.silence.settle();
            lingering_close::close(session, error, context).await;
        }
    }
}
