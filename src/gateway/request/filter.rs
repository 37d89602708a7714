//! The decision on a request before it is forwarded: its way from the header section to an upstream, an endpoint of ours, or a refusal.
//!
//! ```text
//! connection -> framing -> health check -> https redirect -> preflight -> route -> credential and access -> body length
//! ```

use std::sync::Arc;
use std::time::Duration;

use http::Version;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::auth::Progress;
use crate::error::Refusal;
use crate::gateway::authorize::decision::{self, Decision, Found};
use crate::gateway::authorize::{cors, cross_origin, cross_site_form, navigation};
use crate::gateway::connection::bounded_stream;
use crate::gateway::connection::listener::Listener;
use crate::gateway::endpoints::{self, health, https_redirect};
use crate::gateway::request::access_log::Outcome;
use crate::gateway::request::callbacks::Gateway;
use crate::gateway::request::context::Context;
use crate::gateway::request::{client, framing, interrupt, send};
use crate::gateway::response::OwnResponse;
use crate::gateway::upstream::{
    request_framing, response_framing, response_rewrite, shared_caches, upstream_request, upstream_response,
};
use crate::metrics::{Pattern, Stream};
use crate::policy::Permit;

/// Response time from which a response counts as use of its session again. Shorter ones are within the grain of idle timeouts.
const WAITED: Duration = Duration::from_secs(1);

impl Gateway {
    /// Decides on a request and, unless it is to be forwarded, sends the response. Returns whether it did.
    pub(super) async fn filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        let decision = self.decide(session, context).await;
        context.account.was_decided();
        match decision {
            Ok(Decision::Forward(forward)) => {
                if let Some(identity) = forward.permit.identity() {
                    context.account.belongs_to(identity);
                }
                context.bearer_is_ours = forward.bearer_is_ours;
                context.registration = forward.registration;
                context.destination = forward.destination;
                let group = context.snapshot.upstreams.find(&forward.permit.route().upstream);
                let converses = group.is_some_and(|group| {
                    let mut servers = group.servers().iter();
                    servers.any(|server| upstream_request::converses(session.req_header(), server.scheme))
                });
                if !session.is_body_empty() && !converses {
                    context.control.expects_body();
                }
                context.turn = group.map(|group| group.attempts(self.clock.as_ref())).unwrap_or_default();
                context.permit = Some(forward.permit);
                Ok(false)
            }
            Ok(Decision::Own(path)) => {
                let answer = endpoints::serve(session, &path, &self.auth, context).await;
                context.account.bytes_in = session.body_bytes_read() as u64;
                let answer = match answer? {
                    Ok(answer) => {
                        match &answer.refused {
                            Some(refusal) => self.note_refusal(session, refusal, answer.status, context),
                            None => context.account.outcome = Outcome::Answered,
                        }
                        answer
                    }
                    Err(refusal) => self.refusal(session, &refusal, context),
                };
                let answer =
                    cors::decorate(answer, session.req_header(), &context.snapshot.server.cors_origins);
                let answer = context.set.on(answer);
                send::send(session, &answer, context).await.map(|()| true)
            }
            Ok(Decision::Preflight(answer)) => {
                context.account.outcome = Outcome::Answered;
                send::send(session, &answer, context).await.map(|()| true)
            }
            Ok(Decision::Redirect(to)) => {
                context.account.outcome = Outcome::Answered;
                send::send(session, &OwnResponse::redirect(to), context).await.map(|()| true)
            }
            Ok(Decision::Health) => {
                context.account.outcome = Outcome::Answered;
                let answer = health::response(&self.auth, &self.traffic, &context.snapshot).await;
                send::send(session, &answer, context).await.map(|()| true)
            }
            Err(refusal) => {
                // The end of a request that cannot be read is unknown, and so is the start of the next one.
                if matches!(refusal, Refusal::ConnectionOutdated | Refusal::RequestInvalid(_)) {
                    session.set_keepalive(None);
                }
                let answer = match cross_site_form::response(session, &refusal, context).await? {
                    Some(answer) => {
                        self.note_refusal(session, &refusal, answer.status, context);
                        answer
                    }
                    None => self.refusal(session, &refusal, context),
                };
                let answer = context.set.on(answer);
                send::send(session, &answer, context).await.map(|()| true)
            }
        }
    }

    /// Decides on a request. Each step needs the result of the one before it.
    async fn decide(&self, session: &Session, context: &mut Context) -> Result<Decision, Refusal> {
        if let Some(refusal) = &context.refused {
            return Err(refusal.clone());
        }
        let snapshot = &context.snapshot;
        if let Some(proof) = &context.proof
            && !proof.counts(snapshot.tls.as_ref(), self.clock.wall())
        {
            return Err(Refusal::ConnectionOutdated);
        }
        framing::check(session, snapshot.limits())?;
        if health::is_check(session.req_header(), &snapshot.server) {
            context.account.own = true;
            return Ok(Decision::Health);
        }
        if context.listener == Listener::Redirect {
            context.account.own = true;
            return https_redirect::to_https(session.req_header(), &snapshot.server).map(Decision::Redirect);
        }
        if let Some(decision) =
            decision::preflight(session.req_header(), snapshot, &mut context.account.route)
        {
            return Ok(decision);
        }
        let found = decision::find(session.req_header(), snapshot);
        if found == Err(Refusal::TargetAmbiguous) {
            self.auth.metrics().requests.unusual.of(Pattern::AmbiguousTarget).inc();
        }
        let (route, resources) = match found? {
            Found::Own(path) => {
                context.account.own = true;
                return Ok(Decision::Own(path));
            }
            Found::Route(route, resources) => (route, resources),
        };
        context.account.route = Some(Arc::clone(&route));
        let is_cross_origin = cross_origin::is_guarded(session.req_header())
            && cross_origin::is_cross_origin(session, snapshot);
        let decided = decision::judge(
            (session.req_header(), is_cross_origin),
            (&route, resources),
            &self.auth,
            snapshot,
            &context.control,
            (&mut context.set, &mut context.who),
        )
        .await;
        if let Some(who) = &context.who {
            context.account.belongs_to(who);
        }
        let decided = decided?;
        framing::check_length(session, route.body_limit)?;
        Ok(decided)
    }

    /// Returns the response to a refused request, and notes the refusal in its log entry.
    pub(super) fn refusal(&self, session: &Session, refusal: &Refusal, context: &mut Context) -> OwnResponse {
        let id = context.account.request_id.as_ref();
        let (request, who) = (session.req_header(), context.who.as_deref());
        let answer = navigation::refusal(refusal, id, request, who, &self.auth, &context.snapshot);
        let answer = if context.account.own {
            answer
        } else {
            let route = context.account.route.as_deref();
            cors::decorate_refusal(answer, refusal, request, route, &context.snapshot)
        };
        self.note_refusal(session, refusal, answer.status, context);
        answer
    }

    /// Notes a refusal in the log entry of the request, with all that the log shows.
    fn note_refusal(&self, session: &Session, refusal: &Refusal, status: u16, context: &mut Context) {
        context.account.was_refused(refusal, status);
        // The detail about a body of an own endpoint may quote a secret.
        if let Refusal::RequestInvalid(what) = refusal
            && !context.account.own
        {
            context.account.cause = Some(what.clone());
        }
        if matches!(refusal, Refusal::OriginNotAllowed | Refusal::FormInvalid) {
            context.account.cause = cross_origin::cause(session, &context.snapshot);
        }
        if !context.account.is_shown() {
            client::show(session, &mut context.account, &context.snapshot);
        }
    }

    /// Prepares the header section of the app's response for the client, or refuses the request after all.
    pub(super) async fn filter_response(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        // A session revoked before the response arrived gets a refusal instead.
        if let Some(refusal) = context.obstacle() {
            return Self::refuse(context, refusal);
        }
        if session.req_header().version < Version::HTTP_11 {
            response_framing::without_chunks(session, response, context.response_is_empty);
        }
        upstream_response::drop_our_cookies(response)?;
        if let Some(route) = context.permit.as_ref().map(Permit::route)
            && (route.rewrite_location || route.rewrite_cookie_path)
        {
            let forwarded_host = client::origin(session, &context.snapshot).host;
            let server = context.candidate.as_ref().and_then(|it| it.server.authority.to_str().ok());
            response_rewrite::rewrite(response, session.req_header(), route, forwarded_host, server)?;
        }
        send::mark(session, response, context)?;
        if self.traffic.is_winding_down() {
            session.set_keepalive(None);
        }
        let status = response.status.as_u16();
        request_framing::keep_after_informational(session, !response_framing::is_final(status));
        if status == 101 || status >= 200 {
            context.set.beside(response)?;
            if let Some(permit) = &context.permit {
                shared_caches::protect(response, permit, !context.set.is_empty())?;
                cors::expose(response, session.req_header(), permit.route())?;
            }
        }
        // RFC 9110 section 7.8: a protocol switch needs a request for it.
        let asked = || upstream_request::is_websocket(&session.req_header().headers);
        if status == 101 && !(asked() && upstream_request::is_websocket(&response.headers)) {
            return Self::refuse(context, Refusal::UpstreamUnavailable);
        }
        if status == 101 {
            // A WebSocket may be silent; the end of the session closes it.
            session.set_read_timeout(None);
            bounded_stream::admit_all(session);
        }
        if status == 101 || status >= 200 {
            context.account.status = status;
            context.account.outcome = Outcome::Forwarded;
            let stream = upstream_response::stream(response);
            let took = context.account.is_answered(stream);
            // A slow response counts as use of the session, like the traffic after it.
            if took.is_none_or(|took| took >= WAITED) {
                context.note_use(&self.auth);
            }
            if let Some(candidate) = &context.candidate {
                candidate.response_started(status, took, self.clock.as_ref());
            }
            // A gRPC stream ends when either side ends it.
            let open = stream != Stream::Response || upstream_request::is_grpc(&response.headers);
            // Such a stream may be silent. Its kind is decided by the response, not the request.
            if open {
                context.silence.response_may_be_silent();
            }
            if context.silence.is_streaming() {
                interrupt::restore(session, &context.silence);
            }
            context.control.set_progress(if open { Progress::Open } else { Progress::Answering });
            // A cut between the first check and this mark: nothing was sent yet.
            if let Some(refusal) = context.obstacle() {
                return Self::refuse(context, refusal);
            }
        }
        Ok(())
    }
}
