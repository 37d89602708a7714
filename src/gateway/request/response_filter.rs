//! The header section of an app's response on its way to the client.

use std::time::Duration;

use http::Version;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::auth::Progress;
use crate::error::Refusal;
use crate::gateway::authorize::cors;
use crate::gateway::connection::bounded_stream;
use crate::gateway::request::access_log::Outcome;
use crate::gateway::request::callbacks::Gateway;
use crate::gateway::request::context::{Cleared, Context};
use crate::gateway::request::{client, interrupt, send};
use crate::gateway::upstream::{
    request_framing, response_framing, response_rewrite, shared_caches, upstream_request, upstream_response,
};
use crate::metrics::Stream;
use crate::policy::Permit;

/// Response time from which a response counts as use of its session again. Shorter ones are within the grain of idle timeouts.
const WAITED: Duration = Duration::from_secs(1);

impl Gateway {
    /// Prepares the header section of the app's response for the client.
    pub(super) fn prepare_response(
        &self,
        cleared: &Cleared,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        if session.req_header().version < Version::HTTP_11 {
            response_framing::without_chunks(session, response, context.response_is_empty);
        }
        upstream_response::drop_our_cookies(response)?;
        if let Some(route) = context.permit().map(Permit::route)
            && (route.rewrite_location || route.rewrite_cookie_path)
        {
            let forwarded_host = client::origin(session, &context.snapshot).host;
            let server = context.candidate().and_then(|it| it.server.authority.to_str().ok());
            response_rewrite::rewrite(response, session.req_header(), route, forwarded_host, server)?;
        }
        // Before the gateway adds its own fields.
        let changed = context
            .candidate()
            .map_or(Ok(()), |it| upstream_response::change_fields(response, &it.server.response_headers));
        if let Err(refusal) = changed {
            return Self::refuse(context, refusal);
        }
        send::add_common_fields(session, response, context)?;
        if self.traffic.is_winding_down() {
            session.set_keepalive(None);
        }
        let status = response.status.as_u16();
        request_framing::keep_after_informational(session, !response_framing::is_final(status));
        if status == 101 || status >= 200 {
            context.cookies.beside(response)?;
            if let Some(permit) = context.permit() {
                shared_caches::protect(response, permit, !context.cookies.is_empty())?;
                cors::expose(response, session.req_header(), permit.route())?;
            }
        }
        // RFC 9110 section 7.8: a protocol switch needs a request for it.
        let is_requested = || upstream_request::is_websocket(&session.req_header().headers);
        if status == 101 && !(is_requested() && upstream_request::is_websocket(&response.headers)) {
            return Self::refuse(context, Refusal::UpstreamUnavailable);
        }
        if status == 101 {
            // A WebSocket may be silent; the end of the session closes it.
            session.set_read_timeout(None);
            bounded_stream::admit_all(session);
        }
        if status == 101 || status >= 200 {
            context.log.status = status;
            context.log.outcome = Outcome::Forwarded;
            let stream = upstream_response::stream(response);
            let took = context.log.record_response_header(stream);
            // A slow response counts as use of the session, like the traffic after it.
            if took.is_none_or(|took| took >= WAITED) {
                context.record_use(&self.auth);
            }
            if let Some(candidate) = context.candidate() {
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
            context.begin_response(cleared, if open { Progress::Open } else { Progress::Answering });
        }
        Ok(())
    }
}
