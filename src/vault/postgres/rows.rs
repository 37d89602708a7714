//! Conversion between stored values and the vault's types.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::clock::Timestamp;
use crate::id::{FactorId, MailId, SessionId, UserId};
use crate::identity::{Attributes, DisplayName, Email, Epoch, Login, Methods, Proof, RightsVersion, Roles};
use crate::secret::Secret;
use crate::vault::{Grant, User};

type Strange = Box<dyn Error + Sync + Send>;

/// A parameter of a statement. It has its type, so statements need not be prepared to learn it.
pub(super) trait Value: ToSql + Sync {
    /// The Postgres type it is sent as.
    fn kind(&self) -> Type;
    /// The value for the driver.
    fn sql(&self) -> &(dyn ToSql + Sync);
}

macro_rules! value {
    ($($name:ty: $kind:ident;)*) => {$(
        impl Value for $name {
            fn kind(&self) -> Type {
                Type::$kind
            }

            fn sql(&self) -> &(dyn ToSql + Sync) {
                self
            }
        }
    )*};
}

value! {
    bool: BOOL; i32: INT4; Option<bool>: BOOL; i64: INT8; &str: TEXT; String: TEXT; Vec<u8>: BYTEA; &[u8]: BYTEA; Option<Vec<u8>>: BYTEA;
    Option<i64>: INT8; Option<String>: TEXT; Option<&str>: TEXT; Vec<String>: TEXT_ARRAY; Option<UserId>: UUID; Option<SessionId>: UUID;
}

/// Implements storage of a type as the plain value it wraps.
macro_rules! stored_as {
    ($($name:ty: $plain:ty, $kind:ident, $from:expr, $to:expr;)*) => {$(
        impl<'a> FromSql<'a> for $name {
            fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Strange> {
                let from: fn($plain) -> Result<$name, Strange> = $from;
                from(<$plain>::from_sql(kind, raw)?)
            }

            fn accepts(kind: &Type) -> bool {
                <$plain as FromSql<'_>>::accepts(kind)
            }
        }

        impl ToSql for $name {
            fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Strange> {
                let to: fn(&$name) -> $plain = $to;
                to(self).to_sql(kind, out)
            }

            fn accepts(kind: &Type) -> bool {
                <$plain as ToSql>::accepts(kind)
            }

            to_sql_checked!();
        }

        value! { $name: $kind; }
    )*};
}

stored_as! {
    Epoch: i64, INT8, |epoch| Ok(Self(epoch.try_into()?)), |epoch| epoch.0.into();
    RightsVersion: i64, INT8, |rights| Ok(Self(rights.try_into()?)), |rights| rights.0.into();
    Generation: i64, INT8, |generation| Ok(Self(generation.try_into()?)), |generation| generation.0.into();
    Kid: i16, INT2, |kid| Ok(Self(kid.try_into()?)), |kid| kid.0.into();
    Span: i64, INT8, |_| Err("spans are not stored".into()), |span| i64::try_from(span.0.as_millis()).unwrap_or(FOREVER).min(FOREVER);
    Login: String, TEXT, |text| Ok(text.parse()?), |login| login.as_str().to_owned();
    Email: String, TEXT, |text| Ok(text.parse()?), |email| email.as_str().to_owned();
    DisplayName: String, TEXT, |text| Ok(text.parse()?), |name| name.as_str().to_owned();
    Roles: String, TEXT, |text| Ok(Self::parse(text.split(',').filter(|role| !role.is_empty()))?),
        |roles| roles.to_string();
    Methods: String, TEXT, |text| Ok(text.parse()?), |methods| methods.to_string();
    Address: String, TEXT, |text| Ok(Self(text.parse()?)), |address| address.0.to_string();
}

value! { Option<Address>: TEXT; Option<Span>: INT8; Option<&Email>: TEXT; Option<&DisplayName>: TEXT; }

/// A thousand years: stands for "for ever", and Postgres can still add it to a time.
const FOREVER: i64 = 1000 * 365 * 24 * 3600 * 1000;

/// Generation of a refresh token.
#[derive(Debug)]
pub(super) struct Generation(pub(super) u32);

/// Id of a refresh key.
#[derive(Debug)]
pub(super) struct Kid(pub(super) u8);

/// A duration, stored in milliseconds.
#[derive(Debug)]
pub(super) struct Span(pub(super) Duration);

/// An IP address, stored as text.
#[derive(Debug)]
pub(super) struct Address(pub(super) IpAddr);

/// Implements storage of an id as a `uuid`, which is any 16 bytes.
macro_rules! stored_as_uuid {
    ($($name:ty),*) => {$(
        impl<'a> FromSql<'a> for $name {
            fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Strange> {
                Ok(Self::from_bytes(raw.try_into()?))
            }

            fn accepts(kind: &Type) -> bool {
                *kind == Type::UUID
            }
        }

        impl ToSql for $name {
            fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Strange> {
                out.extend_from_slice(self.as_bytes());
                Ok(IsNull::No)
            }

            fn accepts(kind: &Type) -> bool {
                *kind == Type::UUID
            }

            to_sql_checked!();
        }

        value! { $name: UUID; }
    )*};
}

stored_as_uuid!(FactorId, MailId, SessionId, UserId);

value! { Vec<SessionId>: UUID_ARRAY; Vec<Timestamp>: TIMESTAMPTZ_ARRAY; Vec<Span>: INT8_ARRAY; Vec<Generation>: INT8_ARRAY; }
value! { Vec<UserId>: UUID_ARRAY; Vec<bool>: BOOL_ARRAY; Vec<&str>: TEXT_ARRAY; Vec<Option<&str>>: TEXT_ARRAY; Vec<Option<String>>: TEXT_ARRAY; }
value! { Vec<i64>: INT8_ARRAY; Vec<Vec<u8>>: BYTEA_ARRAY; Vec<Option<UserId>>: UUID_ARRAY; Vec<Option<SessionId>>: UUID_ARRAY; }

/// Offset of Postgres' epoch (2000-01-01) from 1970-01-01, in milliseconds. Postgres counts microseconds.
const EPOCH_2000: i64 = 946_684_800_000;

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Strange> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self::from_millis(micros.div_euclid(1000).saturating_add(EPOCH_2000)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

/// Only used to return a time that came from Postgres' own clock.
impl ToSql for Timestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Strange> {
        let micros = self.millis().saturating_sub(EPOCH_2000).saturating_mul(1000);
        out.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

value! { Timestamp: TIMESTAMPTZ; Option<Timestamp>: TIMESTAMPTZ; }

/// Reads an optional address.
pub(super) fn address(row: &Row) -> Result<Option<IpAddr>, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<Address>>("address")?.map(|address| address.0))
}

/// Reads the attributes in a row of `users`.
fn attributes(row: &Row) -> Result<Attributes, tokio_postgres::Error> {
    let verified_at: Option<Timestamp> = row.try_get("email_verified_at")?;
    Ok(Attributes::new(row.try_get("email")?, verified_at.is_some(), row.try_get("name")?))
}

/// Reads a row of `users`.
pub(super) fn user(row: &Row) -> Result<User, tokio_postgres::Error> {
    Ok(User {
        id: row.try_get("id")?,
        login: row.try_get("login")?,
        password: Secret::new(row.try_get("password")?),
        attributes: attributes(row)?,
        email_verified_at: row.try_get("email_verified_at")?,
        roles: row.try_get("roles")?,
        disabled: row.try_get("disabled")?,
        waits_for_approval: row.try_get("waits_for_approval")?,
        epoch: row.try_get("epoch")?,
        rights: row.try_get("rights")?,
        created_at: row.try_get("created_at")?,
    })
}

/// Reads a row of `sessions` joined with its row of `users` and the clock.
pub(super) fn grant(row: &Row) -> Result<Grant, tokio_postgres::Error> {
    let (idle_until, expires_at): (Timestamp, Timestamp) =
        (row.try_get("idle_until")?, row.try_get("expires_at")?);
    Ok(Grant {
        session_id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        client_id: row.try_get("client_id")?,
        login: row.try_get("login")?,
        attributes: attributes(row)?,
        roles: row.try_get("roles")?,
        rights: row.try_get("rights")?,
        proof: Proof { methods: row.try_get("amr")?, at: row.try_get("proven_at")? },
        ends_at: idle_until.min(expires_at),
        expires_at,
        now: row.try_get("now")?,
        address: address(row)?,
        user_agent: row.try_get("user_agent")?,
    })
}
