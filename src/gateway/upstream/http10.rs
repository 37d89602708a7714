//! Responses of HTTP/2 apps to HTTP/1.0 clients.
//!
//! Pingora 0.9.1 adds the chunked coding to such a response after its last callback, also for HTTP/1.0 clients, which do not know
//! it (RFC 9112 section 6.1). This Pingora module runs later and removes it: the response ends with its connection.

use std::any::Any;

use async_trait::async_trait;
use http::header;
use pingora::http::ResponseHeader;
use pingora::modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module};
use pingora::proxy::Session;

/// Makes Pingora write the response without the chunked coding.
pub(crate) fn write_without_chunks(session: &mut Session) {
    let mut modules = HttpModules::new();
    modules.add_module(Box::new(WithoutChunks));
    session.downstream_modules_ctx = modules.build_ctx();
}

struct WithoutChunks;

impl HttpModuleBuilder for WithoutChunks {
    fn init(&self) -> Module {
        Box::new(Self)
    }
}

#[async_trait]
impl HttpModule for WithoutChunks {
    async fn response_header_filter(
        &mut self,
        response: &mut ResponseHeader,
        _: bool,
    ) -> pingora::Result<()> {
        response.remove_header(&header::TRANSFER_ENCODING);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
