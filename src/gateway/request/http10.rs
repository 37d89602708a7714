//! HTTP/1.0 clients of apps that are spoken to in HTTP/2.
//!
//! Pingora 0.9.1 frames such an app's response in chunks after its last callback, for HTTP/1.0 clients too, which know none
//! (RFC 9112 section 6.1). One of its modules runs later still, and takes them off: the response ends with its connection.

use std::any::Any;

use async_trait::async_trait;
use http::header;
use pingora::http::ResponseHeader;
use pingora::modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module};
use pingora::proxy::Session;

/// Has this request's response written without chunks.
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
