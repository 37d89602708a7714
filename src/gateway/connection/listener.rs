//! Kinds of public listeners.

/// Kind of a public listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// HTTP in clear: behind a proxy that terminates TLS, or in trusted networks.
    Plain,
    /// HTTP over TLS.
    Tls,
    /// HTTP in clear, redirected to https.
    Redirect,
}
