//! The decision on a request before it is forwarded: its way from the header section to an upstream, an endpoint of ours, or a refusal.
//!
//! ```text
//! connection -> framing -> health check -> https redirect -> target -> preflight -> route -> authentication -> permit -> body length
//! ```

use std::sync::Arc;

use pingora::proxy::Session;

use crate::auth::Registration;
use crate::error::Refusal;
use crate::gateway::authorize::header_checks;
use crate::gateway::authorize::pipeline::{Admitted, Denied, ParsedTarget, Preflight, Routed};
use crate::gateway::authorize::{cors, cross_origin, cross_site_form, navigation};
use crate::gateway::connection::listener::Listener;
use crate::gateway::endpoints::{self, EndpointError, health, https_redirect};
use crate::gateway::request::access_log::Outcome;
use crate::gateway::request::callbacks::Gateway;
use crate::gateway::request::context::{Context, Phase};
use crate::gateway::request::{client, send};
use crate::gateway::response::OwnResponse;
use crate::gateway::upstream::upstream_request;
use crate::guard;
use crate::metrics::Pattern;

/// Handling of a request.
enum Decision {
    /// Forward it.
    Forward(Admitted, Option<Registration>),
    /// Serve it at the endpoint of the gateway with this path.
    Endpoint(String),
    /// Send this response.
    Respond(OwnResponse),
}

impl Gateway {
    /// Decides on a request and, unless it is to be forwarded, sends the response. Returns whether it did.
    pub(super) async fn filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        let decision = self.decide(session, context).await;
        context.log.record_decision();
        let response = match decision {
            Ok(Decision::Forward(admitted, registration)) => {
                context.registration = registration;
                guard::panic_now_and_then();
                self.admit(session, context, admitted);
                return Ok(false);
            }
            Ok(Decision::Endpoint(path)) => self.serve_endpoint(session, &path, context).await?,
            Ok(Decision::Respond(response)) => {
                context.log.outcome = Outcome::Answered;
                response
            }
            Err(refusal) => self.refuse_request(session, &refusal, context).await?,
        };
        let response = context.cookies.on(response);
        send::send(session, &response, context).await.map(|()| true)
    }

    /// Decides on a request. Each step needs the result of the one before it.
    async fn decide(&self, session: &Session, context: &mut Context) -> Result<Decision, Refusal> {
        if let Some(refusal) = &context.connection_refusal {
            return Err(refusal.clone());
        }
        let (snapshot, request) = (&context.snapshot, session.req_header());
        if let Some(client) = &context.client_authentication
            && !client.is_valid(snapshot.tls.as_ref(), self.clock.wall())
        {
            return Err(Refusal::ConnectionOutdated);
        }
        header_checks::check(session, snapshot.limits())?;
        if health::is_check(request, &snapshot.server) {
            context.log.is_own = true;
            return Ok(Decision::Respond(health::response(&self.auth, &self.traffic, snapshot).await));
        }
        if context.listener == Listener::Redirect {
            context.log.is_own = true;
            let to = https_redirect::to_https(request, &snapshot.server)?;
            return Ok(Decision::Respond(OwnResponse::redirect(to)));
        }
        let target = ParsedTarget::parse(request).inspect_err(|refusal| self.count_ambiguous(refusal))?;
        match target.preflight(snapshot) {
            Some(Preflight::Respond(route, response)) => {
                context.log.route = Some(route);
                return Ok(Decision::Respond(response));
            }
            Some(Preflight::Forward(admitted)) => {
                context.log.route = Some(Arc::clone(admitted.permit.route()));
                return Ok(Decision::Forward(admitted, None));
            }
            None => {}
        }
        let routed = target.route(snapshot).inspect_err(|refusal| self.count_ambiguous(refusal))?;
        let routed = match routed {
            Routed::Endpoint(path) => {
                context.log.is_own = true;
                return Ok(Decision::Endpoint(path));
            }
            Routed::Route(routed) => routed,
        };
        context.log.route = Some(Arc::clone(routed.route()));
        let is_cross_origin =
            cross_origin::is_guarded(request) && cross_origin::is_cross_origin(session, snapshot);
        let (peer, control) = (client::client_ip(session), &context.control);
        let mut authenticated =
            routed.authenticate(is_cross_origin, peer, &self.auth, snapshot, control).await?;
        context.cookies = authenticated.take_cookies();
        let (admitted, registration) = match authenticated.authorize(self.auth.now()) {
            Ok(admitted) => admitted,
            Err(Denied { refusal, user }) => {
                if let Some(user) = &user {
                    context.log.set_identity(user);
                }
                context.denied_user = user;
                return Err(refusal);
            }
        };
        header_checks::check_length(session, admitted.permit.route().body_limit)?;
        Ok(Decision::Forward(admitted, registration))
    }

    fn count_ambiguous(&self, refusal: &Refusal) {
        if *refusal == Refusal::TargetAmbiguous {
            self.auth.metrics().requests.unusual.of(Pattern::AmbiguousTarget).inc();
        }
    }

    /// Prepares a request for its upstream.
    fn admit(&self, session: &mut Session, context: &mut Context, admitted: Admitted) {
        if let Some(identity) = admitted.permit.identity() {
            context.log.set_identity(identity);
        }
        let group = context.snapshot.upstreams.find(&admitted.permit.route().upstream);
        let is_grpc_stream = group.is_some_and(|group| {
            let mut servers = group.servers().iter();
            servers.any(|server| upstream_request::is_grpc_stream(session.req_header(), server.scheme))
        });
        if !session.is_body_empty() && !is_grpc_stream {
            context.control.expect_body();
        }
        let attempts = group.map(|group| group.attempts(self.clock.as_ref())).unwrap_or_default();
        context.phase = Phase::Admitted(admitted, attempts);
    }

    /// Returns the response of an endpoint of the gateway.
    async fn serve_endpoint(
        &self,
        session: &mut Session,
        path: &str,
        context: &mut Context,
    ) -> pingora::Result<OwnResponse> {
        let served = endpoints::serve(session, path, &self.auth, context).await;
        context.log.bytes_in = session.body_bytes_read() as u64;
        let response = match served {
            Ok(response) => {
                match &response.logged_refusal {
                    Some(refusal) => self.record_refusal(session, refusal, response.status, context),
                    None => context.log.outcome = Outcome::Answered,
                }
                response
            }
            Err(EndpointError::Refused(refusal)) => self.refusal(session, &refusal, context),
            Err(EndpointError::Transport(error)) => return Err(error),
        };
        Ok(cors::decorate(response, session.req_header(), &context.snapshot.server.cors_origins))
    }

    /// Returns the response to a request that is not admitted.
    async fn refuse_request(
        &self,
        session: &mut Session,
        refusal: &Refusal,
        context: &mut Context,
    ) -> pingora::Result<OwnResponse> {
        // The end of a request that cannot be read is unknown, and so is the start of the next one.
        if matches!(refusal, Refusal::ConnectionOutdated | Refusal::RequestInvalid(_)) {
            session.set_keepalive(None);
        }
        match cross_site_form::response(session, refusal, context).await? {
            Some(response) => {
                self.record_refusal(session, refusal, response.status, context);
                Ok(response)
            }
            None => Ok(self.refusal(session, refusal, context)),
        }
    }

    /// Returns the response to a refused request, and records the refusal in its log entry.
    pub(super) fn refusal(&self, session: &Session, refusal: &Refusal, context: &mut Context) -> OwnResponse {
        let id = context.log.request_id.as_ref();
        let (request, user) = (session.req_header(), context.denied_user.as_deref());
        let wanted = context.return_to.as_deref();
        let response =
            navigation::refusal(refusal, id, request, (user, wanted), &self.auth, &context.snapshot);
        let response = if context.log.is_own {
            response
        } else {
            let route = context.log.route.as_deref();
            cors::decorate_refusal(response, refusal, request, route, &context.snapshot)
        };
        self.record_refusal(session, refusal, response.status, context);
        response
    }

    /// Records a refusal in the log entry of the request, with all that the log shows.
    fn record_refusal(&self, session: &Session, refusal: &Refusal, status: u16, context: &mut Context) {
        context.log.record_refusal(refusal, status);
        // The detail about a body of an own endpoint may quote a secret.
        if let Refusal::RequestInvalid(what) = refusal
            && !context.log.is_own
        {
            context.log.cause = Some(what.clone());
        }
        if matches!(refusal, Refusal::OriginNotAllowed | Refusal::FormInvalid) {
            context.log.cause = cross_origin::cause(session, &context.snapshot);
        }
        if !context.log.has_client_fields() {
            let client = client::client(session, &context.snapshot);
            client::log_fields(session, client, &mut context.log, &context.snapshot);
        }
    }
}
