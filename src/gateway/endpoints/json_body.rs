//! Request bodies of the endpoints: a small JSON object, parsed strictly. Errors never contain its values.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, header};
use pingora::proxy::Session;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroize as _;

use crate::error::Refusal;
use crate::gateway::endpoints::EndpointError;
use crate::gateway::upstream::request_framing;
use crate::secret::Secret;

/// Maximum size of a body, in bytes: a JSON-escaped password of 1 KiB fits several times, and no endpoint needs more.
const MAX_BODY: usize = 16 * 1024;
/// Maximum time to receive a body: a client that needs longer for 16 KiB is stalled or gone.
const DEADLINE: Duration = Duration::from_secs(10);

/// Maximum number of members of an object. The endpoints have at most five; 16 KiB would hold 2,700.
const MAX_MEMBERS: usize = 64;

/// Members of a JSON object; each must be read by name. They are passwords and tokens, so there is no `Debug`.
#[derive(Default)]
pub(super) struct Fields(BTreeMap<String, Value>);

/// Reads the body; an empty one is an empty object.
///
/// # Errors
/// `MediaTypeUnsupported`, `RequestInvalid`; as [`bytes`].
pub(super) async fn read(session: &mut Session) -> Result<Fields, EndpointError> {
    if session.is_body_empty() {
        return Ok(Fields::default());
    }
    check_type(&session.req_header().headers)?;
    Ok(Fields::parse(&bytes(session).await?)?)
}

/// A body that is zeroized on drop: it holds a password or a token.
pub(super) struct ZeroizedBody(BytesMut);

impl Deref for ZeroizedBody {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for ZeroizedBody {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Reads the body without checking its type.
///
/// # Errors
/// `BodyTooLarge`, `RequestTimeout`; those of the transport.
pub(super) async fn bytes(session: &mut Session) -> Result<ZeroizedBody, EndpointError> {
    if request_framing::expects_continue(session.req_header()) {
        request_framing::send_continue(session).await?;
    }
    tokio::time::timeout(DEADLINE, collect(session)).await.map_err(|_| Refusal::RequestTimeout)?
}

async fn collect(session: &mut Session) -> Result<ZeroizedBody, EndpointError> {
    // Allocated at its maximum size: a buffer that grows would leave copies behind.
    let mut body = ZeroizedBody(BytesMut::with_capacity(MAX_BODY));
    // A malformed body, such as a bad chunk, is an error of the client: 400, without a warning.
    while let Some(chunk) = session.read_request_body().await.map_err(|error| error.into_down())? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Refusal::BodyTooLarge.into());
        }
        body.0.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Requires `application/json`: cross-site forms can send only `text/plain` and form types.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let content_type = text(header::CONTENT_TYPE);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json")
        || !matches!(text(header::CONTENT_ENCODING), "" | "identity")
    {
        return Err(Refusal::MediaTypeUnsupported);
    }
    Ok(())
}

impl Fields {
    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        // The parser's message may quote the body: only the position is reported.
        serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                Refusal::RequestInvalid(format!("body: {}", describe(&error)))
            }
            _ => Refusal::RequestInvalid(format!(
                "body: not JSON, at line {} column {}",
                error.line(),
                error.column()
            )),
        })
    }

    /// Takes a required, non-empty string.
    pub(super) fn string(&mut self, name: &str) -> Result<Secret<String>, Refusal> {
        self.optional(name)?.ok_or_else(|| Refusal::RequestInvalid(format!("{name}: missing")))
    }

    /// Takes an optional, non-empty string.
    pub(super) fn optional(&mut self, name: &str) -> Result<Option<Secret<String>>, Refusal> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        match value {
            Value::String(text) if text.is_empty() => Err(Refusal::RequestInvalid(format!("{name}: empty"))),
            Value::String(text) => Ok(Some(Secret::new(text))),
            _ => Err(Refusal::RequestInvalid(format!("{name}: must be a string"))),
        }
    }

    /// Refuses any other member. `known` are the names to report.
    pub(super) fn done(self, known: &[&str]) -> Result<(), Refusal> {
        let list = |names: &[&str]| if names.is_empty() { "no members".to_owned() } else { names.join(", ") };
        match self.0.first_key_value() {
            None => Ok(()),
            // The name comes from the client: only a harmless one is repeated.
            Some((name, _))
                if name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
            {
                Err(Refusal::RequestInvalid(format!("{name}: unknown (known: {})", list(known))))
            }
            Some(_) => Err(Refusal::RequestInvalid(format!("unknown member (known: {})", list(known)))),
        }
    }
}

/// Describes an error of the object itself, from the visitor below, which never quotes a value.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let ours = ["repeated member", "too many members"];
    if ours.iter().any(|ours| text.starts_with(ours)) { text } else { "must be a JSON object".to_owned() }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if members.len() == MAX_MEMBERS {
                        return Err(serde::de::Error::custom("too many members"));
                    }
                    match members.entry(name) {
                        Entry::Vacant(new) => new.insert(map.next_value::<Value>()?),
                        // The intended value is unknown.
                        Entry::Occupied(_) => return Err(serde::de::Error::custom("repeated member")),
                    };
                }
                Ok(Fields(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &str) -> String {
        let refusal = Fields::parse(body.as_bytes()).and_then(|mut fields| {
            fields.string("username")?;
            fields.string("password")?;
            fields.done(&["username", "password"])
        });
        match refusal {
            Err(Refusal::RequestInvalid(detail)) => detail,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn body_error_names_its_field_and_quotes_no_value() {
        for (body, expected) in [
            (r#"{"username":"a","password":"b"}"#, "Ok(())"),
            (r#"{"username":"a"}"#, "password: missing"),
            (r#"{"username":"a","password":""}"#, "password: empty"),
            (r#"{"username":"a","password":1234}"#, "password: must be a string"),
            (r#"{"username":"a","password":"b","x":1}"#, "x: unknown (known: username, password)"),
            (r#"{"username":"a","password":"b","<b>":1}"#, "unknown member (known: username, password)"),
            (r#"{"username":"a","username":"b","password":"c"}"#, "body: repeated member"),
            (r#"["hunter2"]"#, "body: must be a JSON object"),
            (r#""hunter2""#, "body: must be a JSON object"),
            (r#"{"username":"#, "body: not JSON, at line 1 column 12"),
            ("", "body: not JSON, at line 1 column 0"),
        ] {
            let problem = problem(body);
            assert!(problem.starts_with(expected), "{body}: {problem}");
            assert!(!problem.contains("hunter2"));
        }
    }

    /// Counts the members read from an endless object.
    #[test]
    fn object_reader_stops_at_the_member_limit() {
        struct Endless<'a>(&'a mut usize);

        impl<'de> MapAccess<'de> for Endless<'_> {
            type Error = serde_json::Error;

            fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(
                &mut self,
                seed: K,
            ) -> Result<Option<K::Value>, Self::Error> {
                *self.0 += 1;
                seed.deserialize(Value::String(format!("member{}", self.0))).map(Some)
            }

            fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(
                &mut self,
                seed: V,
            ) -> Result<V::Value, Self::Error> {
                seed.deserialize(Value::Null)
            }
        }

        let mut read = 0;
        let endless = serde::de::value::MapAccessDeserializer::new(Endless(&mut read));
        let Err(refused) = Fields::deserialize(endless) else { panic!("no end") };
        assert_eq!((describe(&refused).as_str(), read), ("too many members", MAX_MEMBERS + 1));

        let parsed = |count: usize| {
            let members: Vec<_> = (0..count).map(|at| format!("\"member{at}\":0")).collect();
            Fields::parse(format!("{{{}}}", members.join(",")).as_bytes())
        };
        assert_eq!(parsed(MAX_MEMBERS).unwrap().0.len(), MAX_MEMBERS);
        let Err(Refusal::RequestInvalid(detail)) = parsed(2_200) else { panic!("too many") };
        assert!(detail.starts_with("body: too many members"), "{detail}");
    }
}
