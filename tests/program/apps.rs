//! Unmodified clients and apps: httpbin, gRPC, curl, TLS.

mod client_certificates;
mod forwarded;
mod grpc;
mod httpbin;
mod https;
