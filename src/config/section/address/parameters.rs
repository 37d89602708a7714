//! Parameters of store addresses: `?name=value&name=value`.
//!
//! A parameter that requests the existing behaviour is accepted. For any other the error names it and what to set
//! instead. Values are never quoted: some are passwords.

use zeroize::Zeroizing;

use crate::config::ChannelBinding;

/// Percent-decoded parameters, in their order.
pub(super) type Parameters = Vec<(String, Zeroizing<String>)>;

/// Settings from the parameters of a Postgres address.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Postgres {
    /// `sslmode`; `None` = not set.
    pub(super) tls: Option<bool>,
    /// `channel_binding`
    pub(super) channel_binding: ChannelBinding,
    /// `application_name`
    pub(super) application_name: Option<String>,
}

/// Reads the parameters that libpq knows (PostgreSQL docs, section 34.1.2), and those that providers add.
///
/// # Errors
/// The first unsupported parameter, and what to write instead.
pub(super) fn postgres(parameters: &Parameters) -> Result<Postgres, String> {
    let mut read = Postgres::default();
    reject_duplicates(parameters)?;
    for (name, value) in parameters {
        let value = value.as_str();
        let advice = match (name.as_str(), value) {
            ("sslmode", "disable") | ("ssl", "false") => {
                read.tls = Some(false);
                continue;
            }
            // `require` and `verify-ca` are weaker than what is done: the certificate and its name are always verified.
            ("sslmode", "require" | "verify-ca" | "verify-full") | ("ssl", "true") => {
                read.tls = Some(true);
                continue;
            }
            ("sslmode" | "ssl", _) => {
                return Err(
                    "sslmode is `require` (the certificate and its name are always verified) or `disable`"
                        .to_owned(),
                );
            }
            ("channel_binding", "prefer") => continue,
            ("channel_binding", "require") => {
                read.channel_binding = ChannelBinding::Require;
                continue;
            }
            ("channel_binding", "disable") => {
                read.channel_binding = ChannelBinding::Disable;
                continue;
            }
            ("channel_binding", _) => "write require, prefer or disable",
            ("application_name", name) if is_application_name(name) => {
                read.application_name = Some(name.to_owned());
                continue;
            }
            ("application_name", _) => "write at most 63 visible ASCII characters",
            // The application name is always set, so the fallback is never used.
            ("fallback_application_name", _) => continue,
            ("target_session_attrs", "read-write" | "primary") => continue,
            ("target_session_attrs", _) => {
                return Err("the vault needs a primary: leave target_session_attrs out, or write read-write"
                    .to_owned());
            }
            // Connects always have a timeout, and connections are always monitored.
            ("connect_timeout" | "tcp_user_timeout", value) if is_number(value) => continue,
            ("connect_timeout" | "tcp_user_timeout", _) => {
                "write a number, or leave it out: vault.statement_timeout bounds it"
            }
            ("keepalives", "1") => continue,
            ("keepalives", _) => "connections are always monitored: leave it out",
            ("keepalives_idle" | "keepalives_interval" | "keepalives_count", value) if is_number(value) => {
                continue;
            }
            ("keepalives_idle" | "keepalives_interval" | "keepalives_count", _) => {
                "write a number, or leave it out"
            }
            ("client_encoding", value) if is_utf8(value) => continue,
            ("client_encoding", _) => "the encoding is always UTF-8: leave it out",
            // The system trust store is used without vault.ca_file.
            ("sslrootcert", "system") => continue,
            ("sslrootcert", _) => "leave it out and set vault.ca_file",
            ("sslsni", "1") | ("sslcompression", "0") | ("gssencmode", "disable" | "prefer") => continue,
            ("sslnegotiation", "postgres") | ("load_balance_hosts", "disable") => continue,
            ("sslcertmode", "disable" | "allow") => continue,
            ("ssl_min_protocol_version", "TLSv1" | "TLSv1.1" | "TLSv1.2") => continue,
            ("ssl_min_protocol_version" | "ssl_max_protocol_version", _) => {
                "TLS 1.2 and 1.3 are supported: leave it out"
            }
            ("gssencmode", _) => "connections are encrypted with TLS alone: leave it out",
            ("sslcert" | "sslkey" | "sslpassword" | "sslcertmode", _) => {
                "client certificates are not supported: leave it out, and give the role a password"
            }
            ("password" | "user" | "host" | "hostaddr" | "port" | "dbname", _) => {
                "write postgres://<user>:<password>@<host>:<port>/<database>"
            }
            ("passfile" | "service", _) => "write the password into the address, or set vault.url_file",
            ("options", _) => "remove it: settings of the session are set with ALTER ROLE … SET",
            ("pgbouncer" | "prepare_threshold" | "statement_cache_size", _) => {
                "remove it, and set vault.prepared = false instead"
            }
            ("connection_limit" | "pool_size" | "max_connections", _) => {
                "remove it, and set vault.pool_size instead"
            }
            ("pool_timeout" | "statement_timeout" | "socket_timeout", _) => {
                "remove it, and set vault.statement_timeout instead"
            }
            ("schema" | "search_path" | "currentSchema", _) => {
                "remove it, and set it with ALTER ROLE … SET search_path"
            }
            _ => "it is not supported: remove it",
        };
        return Err(format!("the parameter {}: {advice}", shown(name)));
    }
    Ok(read)
}

/// Settings from the parameters of a Redis address.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Redis {
    /// `sentinel_user`
    pub(super) sentinel_user: Option<String>,
    /// `sentinel_password`
    pub(super) sentinel_password: Option<Zeroizing<String>>,
    /// `db`
    pub(super) database: Option<String>,
}

/// Reads the parameters that Redis clients know: redis-py, go-redis, redis-rs.
///
/// # Errors
/// The first unsupported parameter, and what to write instead.
pub(super) fn redis(parameters: Parameters, form: &str, tls: bool) -> Result<Redis, String> {
    let mut read = Redis::default();
    reject_duplicates(&parameters)?;
    for (name, value) in parameters {
        let advice = match (name.as_str(), value.as_str()) {
            ("sentinel_user" | "sentinel_username", _) if form == "sentinel" => {
                read.sentinel_user = Some(value.to_string());
                continue;
            }
            ("sentinel_password", _) if form == "sentinel" => {
                read.sentinel_password = Some(value);
                continue;
            }
            ("db", number) if is_number(number) && form.is_empty() => {
                read.database = Some(number.to_owned());
                continue;
            }
            ("db", _) => "write the number of the database after the last /",
            ("protocol", "2" | "3" | "resp2" | "resp3") => continue,
            ("protocol", _) => "write 2 or 3, or leave it out",
            ("ssl" | "tls", "true" | "1") | ("ssl_cert_reqs", "required" | "CERT_REQUIRED") if tls => {
                continue;
            }
            ("ssl" | "tls", "false" | "0") if !tls => continue,
            ("ssl" | "tls" | "ssl_cert_reqs", _) if !tls => "write rediss:// for TLS",
            ("ssl" | "tls", _) => "write redis:// for no TLS",
            ("ssl_cert_reqs" | "insecure" | "skip_verify" | "ssl_check_hostname", _) => {
                "certificates are always verified: leave it out, and set sessions.ca_file for a private CA"
            }
            ("ssl_ca_certs" | "ssl_ca_path" | "cacert", _) => "leave it out and set sessions.ca_file",
            ("ssl_certfile" | "ssl_keyfile", _) => {
                "client certificates are not supported: leave it out, and give the user a password"
            }
            ("username" | "password", _) => "write redis://<user>:<password>@<host>",
            (
                "timeout"
                | "connect_timeout"
                | "socket_timeout"
                | "socket_connect_timeout"
                | "dial_timeout"
                | "read_timeout"
                | "write_timeout"
                | "health_check_interval",
                value,
            ) if is_number(value.trim_end_matches(['m', 's'])) => continue,
            ("max_connections" | "pool_size", _) => "all commands share one connection: remove it",
            _ => "it is not supported: remove it",
        };
        return Err(format!("the parameter {}: {advice}", shown(&name)));
    }
    Ok(read)
}

/// Rejects a parameter that is given twice, since it is unclear which value was meant.
fn reject_duplicates(parameters: &Parameters) -> Result<(), String> {
    for (at, (name, _)) in parameters.iter().enumerate() {
        if parameters[..at].iter().any(|(earlier, _)| earlier == name) {
            return Err(format!("the parameter {} is given twice: remove one", shown(name)));
        }
    }
    Ok(())
}

/// Returns a name that may be quoted in a message; an unusual one may be part of a password.
fn shown(name: &str) -> String {
    let is_plain = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain && !name.is_empty() { format!("`{name}`") } else { "with an invalid name".to_owned() }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Postgres truncates names at 63 bytes and replaces characters that are not ASCII.
fn is_application_name(text: &str) -> bool {
    (1..64).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn is_utf8(text: &str) -> bool {
    ["utf8", "utf-8", "unicode", "auto"].iter().any(|name| text.eq_ignore_ascii_case(name))
}
