//! Unmodified clients and apps: httpbin, gRPC, curl, TLS, and apps that take the user from a header.

mod client_certificates;
mod forwarded;
mod grpc;
mod httpbin;
mod https;
mod remote_user;
