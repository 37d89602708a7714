//! Import of many users, and the count of their password hashes.

use std::collections::HashMap;

use crate::id::UserId;
use crate::vault::postgres::connection::clients::Connection;
use crate::vault::postgres::fault::Fault;
use crate::vault::postgres::rows::Value;
use crate::vault::postgres::{audited, clock, origin};
use crate::vault::{ImportMode, Imported, NewUser, PasswordCount};

/// The users of a statement.
macro_rules! given {
    () => {
        "given AS MATERIALIZED (
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::text[], $8::bool[])
                           AS given (id, login, password, roles, email, is_verified, name, disabled)
         )"
    };
}

/// Names and addresses that other users have, as of the start of the statement.
macro_rules! taken {
    () => {
        "EXISTS (SELECT FROM users u WHERE u.login = given.login) AS has_login,
         EXISTS (SELECT FROM users u WHERE u.email = given.email) AS has_email"
    };
}

/// In the order of the names, so that two imports at once do not wait for each other in a circle.
const CREATE: &str = concat!(
    "WITH ",
    clock!(),
    ", ",
    given!(),
    ", made AS (
         INSERT INTO users (id, login, password, roles, email, email_verified_at, name, disabled, created_at)
         SELECT id, login, password, roles, email, CASE WHEN is_verified THEN now END, name, disabled, now FROM given, clock
         ORDER BY login
         ON CONFLICT DO NOTHING RETURNING id, created_at
     ), remembered AS (",
    audited!("user_created", "created_at", "id", "NULL", 9, "made"),
    ")
     SELECT given.id, made.id IS NOT NULL AS is_created, ",
    taken!(),
    " FROM given LEFT JOIN made ON made.id = given.id"
);

const TRIAL: &str = concat!("WITH ", given!(), " SELECT given.id, ", taken!(), " FROM given");

/// Removes digest and salt: what follows the last `$` but one. Without two of them nothing is left.
const COUNT: &str = "SELECT parameters, count(*) AS users FROM (
         SELECT CASE WHEN strpos(before, '$') > 0
                THEN left(before, length(before) - strpos(reverse(before), '$') + 1) ELSE '' END AS parameters
         FROM (SELECT left(password, length(password) - strpos(reverse(password), '$')) AS before
               FROM users WHERE strpos(password, '$') > 0
               UNION ALL SELECT '' FROM users WHERE strpos(password, '$') = 0) AS cut
     ) AS each GROUP BY parameters ORDER BY users DESC, parameters LIMIT 1000";

/// Creates those that do not exist, or returns what would happen.
pub(super) async fn import(
    connection: &Connection<'_>,
    users: &[NewUser],
    mode: ImportMode,
) -> Result<Vec<Imported>, Fault> {
    let ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
    let logins: Vec<&str> = users.iter().map(|user| user.login.as_str()).collect();
    let passwords: Vec<&str> = users.iter().map(|user| user.password.expose().as_str()).collect();
    let roles: Vec<String> = users.iter().map(|user| user.roles.to_string()).collect();
    let emails: Vec<Option<&str>> =
        users.iter().map(|user| user.attributes.email().map(|email| email.as_str())).collect();
    let verified: Vec<bool> = users.iter().map(|user| user.attributes.email_verified()).collect();
    let names: Vec<Option<&str>> =
        users.iter().map(|user| user.attributes.name().map(|name| name.as_str())).collect();
    let disabled: Vec<bool> = users.iter().map(|user| user.disabled).collect();
    let statement = if mode == ImportMode::Trial { TRIAL } else { CREATE };
    let mut values: Vec<&dyn Value> =
        vec![&ids, &logins, &passwords, &roles, &emails, &verified, &names, &disabled];
    if mode == ImportMode::Create {
        values.push(&connection.origin);
    }
    let rows = connection.rows(statement, &values).await?;
    let mut results = HashMap::with_capacity(rows.len());
    for row in rows {
        let (has_login, has_email): (bool, bool) = (row.try_get("has_login")?, row.try_get("has_email")?);
        let is_created = match mode {
            ImportMode::Trial => !has_login && !has_email,
            ImportMode::Create => row.try_get("is_created")?,
        };
        let result = match (is_created, has_login, has_email) {
            (true, ..) => Imported::Created,
            (false, false, true) => Imported::EmailTaken,
            // Or neither: another process created the user during the statement.
            (false, ..) => Imported::LoginTaken,
        };
        let id: UserId = row.try_get("id")?;
        results.insert(*id.as_bytes(), result);
    }
    let result = |id: &UserId| results.get(id.as_bytes()).copied().unwrap_or(Imported::LoginTaken);
    Ok(ids.iter().map(result).collect())
}

/// Counts users by the parameters of their hashes.
pub(super) async fn count_passwords(connection: &Connection<'_>) -> Result<Vec<PasswordCount>, Fault> {
    let rows = connection.rows(COUNT, &[]).await?;
    let read = |row: &tokio_postgres::Row| {
        let users: i64 = row.try_get("users")?;
        Ok(PasswordCount { parameters: row.try_get("parameters")?, users: users.unsigned_abs() })
    };
    rows.iter().map(read).collect()
}
