//! Conversion between stored values and the vault's types.

use std::error::Error;
use std::net::IpAddr;

use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::clock::Timestamp;
use crate::id::{FactorId, MailId, SessionId, UserId};
use crate::identity::{Attributes, DisplayName, Email, Epoch, Login, Methods, Proof, RightsVersion, Roles};
use crate::secret::Secret;
use crate::vault::{Grant, User};

/// Implements storage of a type as the plain value it wraps.
macro_rules! stored_as {
    ($($name:ty: $plain:ty, $from:expr, $to:expr;)*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let to: fn(&$name) -> $plain = $to;
                Ok(ToSqlOutput::Owned(to(self).into()))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let from: fn($plain) -> FromSqlResult<$name> = $from;
                <$plain>::column_result(value).and_then(from)
            }
        }
    )*};
}

stored_as! {
    Timestamp: i64, |millis| Ok(Self::from_millis(millis)), |at| at.millis();
    Epoch: u32, |epoch| Ok(Self(epoch)), |epoch| epoch.0;
    RightsVersion: u32, |rights| Ok(Self(rights)), |rights| rights.0;
    Login: String, |text| text.parse().map_err(invalid), |login| login.as_str().to_owned();
    Email: String, |text| text.parse().map_err(invalid), |email| email.as_str().to_owned();
    DisplayName: String, |text| text.parse().map_err(invalid), |name| name.as_str().to_owned();
    Methods: String, |text| text.parse().map_err(invalid), |methods| methods.to_string();
    Roles: String, |text| Self::parse(text.split(',').filter(|role| !role.is_empty())).map_err(invalid),
        |roles| roles.to_string();
}

/// Implements storage of an id as its 16 bytes.
macro_rules! stored_as_bytes {
    ($($name:ty),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_bytes().as_slice()))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                <[u8; 16]>::column_result(value).map(Self::from_bytes)
            }
        }
    )*};
}

stored_as_bytes!(FactorId, MailId, SessionId, UserId);

/// An IP address, stored as text.
pub(super) struct Address(pub(super) IpAddr);

impl ToSql for Address {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(self.0.to_string().into()))
    }
}

impl FromSql for Address {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(invalid)
    }
}

fn invalid(error: impl Error + Send + Sync + 'static) -> FromSqlError {
    FromSqlError::Other(Box::new(error))
}

/// Reads an optional address.
pub(super) fn address(row: &Row<'_>) -> rusqlite::Result<Option<IpAddr>> {
    Ok(row.get::<_, Option<Address>>("address")?.map(|address| address.0))
}

/// Reads the attributes in a row of `users`.
fn attributes(row: &Row<'_>) -> rusqlite::Result<Attributes> {
    let verified_at: Option<Timestamp> = row.get("email_verified_at")?;
    Ok(Attributes::new(row.get("email")?, verified_at.is_some(), row.get("name")?))
}

/// Reads a row of `users`.
pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get("id")?,
        login: row.get("login")?,
        password: Secret::new(row.get("password")?),
        attributes: attributes(row)?,
        email_verified_at: row.get("email_verified_at")?,
        roles: row.get("roles")?,
        disabled: row.get("disabled")?,
        waits_for_approval: row.get("waits_for_approval")?,
        epoch: row.get("epoch")?,
        rights: row.get("rights")?,
        created_at: row.get("created_at")?,
    })
}

/// Reads a row of `sessions` joined with its row of `users`.
pub(super) fn grant(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Grant> {
    let (idle_until, expires_at): (Timestamp, Timestamp) = (row.get("idle_until")?, row.get("expires_at")?);
    Ok(Grant {
        session_id: row.get("id")?,
        user_id: row.get("user_id")?,
        client_id: row.get("client_id")?,
        login: row.get("login")?,
        attributes: attributes(row)?,
        roles: row.get("roles")?,
        rights: row.get("rights")?,
        proof: Proof { methods: row.get("amr")?, at: row.get("proven_at")? },
        ends_at: idle_until.min(expires_at),
        expires_at,
        now,
        address: address(row)?,
        user_agent: row.get("user_agent")?,
    })
}
