//! Second factors of users, and sign-ins that wait for one.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use crate::clock::Timestamp;
use crate::id::{FactorId, SessionId, UserId};
use crate::vault::factors::{
    Factors, MAX_TOTP, NewPendingSignIn, NewTotp, Passkey, PasskeyUse, RemovedFactor, TotpFactor, TryRate,
    UserFactors,
};
use crate::vault::postgres::connection::clients::{Connection, Mode};
use crate::vault::postgres::fault::Fault;
use crate::vault::postgres::rows::Span;
use crate::vault::postgres::{PostgresVault, audited, clock, origin, revoke};
use crate::vault::{EndReason, Ended, VaultError};

mod passkeys;

const TOTP_OF_USER: &str = "SELECT id, name, sealed, last_step, created_at, used_at FROM totp_factors
     WHERE user_id = $1 ORDER BY created_at, id";

const SUMMARY: &str = concat!(
    "WITH ",
    clock!(),
    " SELECT now, (SELECT factor_due_at FROM users WHERE id = $1) AS due_at,
             (SELECT count(*) FROM recovery_codes WHERE user_id = $1) AS recovery_codes
      FROM clock"
);

/// Two enrolments of one user wait for each other, so that both count.
const LOCK_USER: &str = "SELECT id FROM users WHERE id = $1 FOR UPDATE";

const TOTP: &str = "SELECT id FROM totp_factors WHERE id = $1";

const ADD_TOTP: &str = concat!(
    "WITH ",
    clock!(),
    ", added AS (
         INSERT INTO totp_factors (id, user_id, name, sealed, last_step, created_at, used_at)
         SELECT $1, $2, $3, $4, $5, now, now FROM clock
         WHERE (SELECT count(*) FROM totp_factors WHERE user_id = $2) < $6
         ON CONFLICT (id) DO NOTHING RETURNING user_id, created_at
     ), remembered AS (",
    audited!("factor_added", "created_at", "user_id", "'totp'", 7, "added"),
    ")
     SELECT user_id FROM added"
);

const USE_TOTP: &str = concat!(
    "WITH ",
    clock!(),
    " UPDATE totp_factors SET last_step = $3, used_at = now FROM clock
      WHERE id = $2 AND user_id = $1 AND last_step < $3 RETURNING id"
);

const FORGET_CODES: &str = "DELETE FROM recovery_codes WHERE user_id = $1";
const ADD_CODE: &str =
    "INSERT INTO recovery_codes (user_id, digest) VALUES ($1, $2) ON CONFLICT (user_id, digest) DO NOTHING";
const NEW_CODES: &str =
    concat!("WITH ", clock!(), " ", audited!("recovery_codes_made", "now", "$1", "NULL", 2, "clock"));

const USE_CODE: &str = concat!(
    "WITH ",
    clock!(),
    ", gone AS (DELETE FROM recovery_codes WHERE user_id = $1 AND digest = $2 RETURNING user_id), remembered AS (",
    audited!("recovery_code_used", "now", "user_id", "NULL", 3, "gone, clock"),
    ")
     SELECT user_id FROM gone"
);

const REMOVE_TOTP: &str = "DELETE FROM totp_factors WHERE user_id = $1 AND id = $2 RETURNING user_id";
const REMOVE_PASSKEY: &str =
    "DELETE FROM passkeys WHERE user_id = $1 AND credential_id = $2 RETURNING user_id";
const HAS_FACTOR: &str = "SELECT user_id FROM totp_factors WHERE user_id = $1
     UNION ALL SELECT user_id FROM passkeys WHERE user_id = $1 LIMIT 1";
const REMOVE_ALL: &str = "WITH totp AS (DELETE FROM totp_factors WHERE user_id = $1 RETURNING user_id),
          passkey AS (DELETE FROM passkeys WHERE user_id = $1 RETURNING user_id)
     SELECT user_id FROM totp UNION ALL SELECT user_id FROM passkey LIMIT 1";

/// Recovery codes stand in for a factor; without one there is nothing to recover.
const AFTER_REMOVAL: &str = concat!(
    "WITH ",
    clock!(),
    ", codes AS (
         DELETE FROM recovery_codes WHERE user_id = $1
         AND NOT EXISTS (SELECT FROM totp_factors WHERE user_id = $1) AND NOT EXISTS (SELECT FROM passkeys WHERE user_id = $1)
     ) ",
    audited!("factor_removed", "now", "$1", "$2", 3, "clock")
);

/// One statement, so that tries at the same time are counted one by one. No row: the rate is used up.
const CHARGE: &str = concat!(
    "WITH ",
    clock!(),
    " INSERT INTO factor_tries AS t (user_id, until)
      SELECT id, now + $2::float8 * interval '1 millisecond' FROM users, clock WHERE id = $1
      ON CONFLICT (user_id) DO UPDATE SET until = greatest(t.until, (SELECT now FROM clock)) + $2::float8 * interval '1 millisecond'
      WHERE greatest(t.until, (SELECT now FROM clock)) + $2::float8 * interval '1 millisecond'
            <= (SELECT now FROM clock) + $3::float8 * interval '1 millisecond'
      RETURNING user_id"
);

const TRIES: &str =
    concat!("WITH ", clock!(), " SELECT until, now FROM factor_tries, clock WHERE user_id = $1");
const FORGET_TRIES: &str = "DELETE FROM factor_tries WHERE user_id = $1";

const REQUIRE: &str = concat!(
    "WITH ",
    clock!(),
    " UPDATE users SET factor_due_at = least(factor_due_at, now + $2::float8 * interval '1 millisecond')
      FROM clock WHERE id = $1 RETURNING factor_due_at, now"
);

const BEGIN: &str = concat!(
    "WITH ",
    clock!(),
    " INSERT INTO pending_sign_ins (digest, user_id, sealed, until)
      SELECT $1, id, $3, now + $4::float8 * interval '1 millisecond' FROM users, clock WHERE id = $2 RETURNING user_id"
);

const PENDING: &str = concat!(
    "WITH ",
    clock!(),
    " SELECT user_id, sealed FROM pending_sign_ins, clock WHERE digest = $1 AND until > now"
);

const FINISH: &str = concat!(
    "WITH ",
    clock!(),
    ", gone AS (DELETE FROM pending_sign_ins WHERE digest = $1 RETURNING until)
     SELECT until > now AS in_time FROM gone, clock"
);

#[async_trait]
impl Factors for PostgresVault {
    async fn of_user(&self, user: UserId) -> Result<UserFactors, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, user, |connection, user| Box::pin(of_user(connection, *user)))
            .await
    }

    async fn add_totp(&self, new: &NewTotp) -> Result<(), VaultError> {
        self.clients
            .query(Mode::TRANSACTION, new.clone(), |connection, new| Box::pin(add_totp(connection, new)))
            .await
    }

    async fn use_totp(&self, user: UserId, id: FactorId, step: i64) -> Result<bool, VaultError> {
        self.clients
            .query(Mode::ONCE, (user, id, step), |connection, (user, id, step)| {
                Box::pin(async move { Ok(connection.row(USE_TOTP, &[user, id, step]).await?.is_some()) })
            })
            .await
    }

    async fn add_passkey(&self, new: &Passkey) -> Result<(), VaultError> {
        self.clients
            .query(Mode::TRANSACTION, new.clone(), |connection, new| Box::pin(passkeys::add(connection, new)))
            .await
    }

    async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Passkey>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, credential_id.to_vec(), |connection, id| {
                Box::pin(passkeys::find(connection, id))
            })
            .await
    }

    async fn use_passkey(&self, used: &PasskeyUse) -> Result<bool, VaultError> {
        self.clients
            .query(Mode::ONCE, used.clone(), |connection, used| Box::pin(passkeys::used(connection, used)))
            .await
    }

    async fn set_recovery_codes(&self, user: UserId, digests: &[[u8; 32]]) -> Result<(), VaultError> {
        self.clients
            .query(Mode::TRANSACTION, (user, digests.to_vec()), |connection, (user, digests)| {
                Box::pin(set_recovery_codes(connection, *user, digests))
            })
            .await
    }

    async fn use_recovery_code(&self, user: UserId, digest: [u8; 32]) -> Result<bool, VaultError> {
        self.clients
            .query(Mode::ONCE, (user, digest), |connection, (user, digest)| {
                Box::pin(async move {
                    Ok(connection.row(USE_CODE, &[user, &&digest[..], &connection.origin]).await?.is_some())
                })
            })
            .await
    }

    async fn remove(
        &self,
        user: UserId,
        factor: &RemovedFactor,
        keep: Option<SessionId>,
        needs_one: bool,
    ) -> Result<Ended, VaultError> {
        let mode = Mode::TRANSACTION.within(revoke::ALL_OF_USER);
        self.clients
            .query(
                mode,
                (user, factor.clone(), keep, needs_one),
                |connection, (user, factor, keep, needs_one)| {
                    Box::pin(remove(connection, *user, factor, *keep, *needs_one))
                },
            )
            .await
    }

    async fn charge_try(&self, user: UserId, rate: TryRate) -> Result<Option<Duration>, VaultError> {
        self.clients
            .query(Mode::ONCE, (user, rate), |connection, (user, rate)| {
                Box::pin(charge_try(connection, *user, *rate))
            })
            .await
    }

    async fn forget_tries(&self, user: UserId) -> Result<(), VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, user, |connection, user| {
                Box::pin(async move { connection.rows(FORGET_TRIES, &[user]).await.map(drop) })
            })
            .await
    }

    async fn require(&self, user: UserId, grace: Duration) -> Result<Duration, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, (user, grace), |connection, (user, grace)| {
                Box::pin(async move {
                    let row = connection.row(REQUIRE, &[user, &Span(*grace)]).await?;
                    let row = row.ok_or(VaultError::UserUnknown)?;
                    let (due_at, now): (Timestamp, Timestamp) =
                        (row.try_get("factor_due_at")?, row.try_get("now")?);
                    Ok(due_at.since(now))
                })
            })
            .await
    }

    async fn begin(&self, pending: &NewPendingSignIn) -> Result<(), VaultError> {
        self.clients
            .query(Mode::ONCE, pending.clone(), |connection, new| {
                Box::pin(async move {
                    let values: (&[u8], Span) = (&new.digest, Span(new.life));
                    let row =
                        connection.row(BEGIN, &[&values.0, &new.user_id, &new.sealed, &values.1]).await?;
                    Ok(row.map(drop).ok_or(VaultError::UserUnknown)?)
                })
            })
            .await
    }

    async fn pending(&self, digest: [u8; 32]) -> Result<Option<(UserId, Vec<u8>)>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, digest, |connection, digest| {
                Box::pin(async move {
                    let row = connection.row(PENDING, &[&&digest[..]]).await?;
                    let read = |row: Row| Ok::<_, Fault>((row.try_get("user_id")?, row.try_get("sealed")?));
                    row.map(read).transpose()
                })
            })
            .await
    }

    async fn finish(&self, digest: [u8; 32]) -> Result<bool, VaultError> {
        self.clients
            .query(Mode::ONCE, digest, |connection, digest| {
                Box::pin(async move {
                    let row = connection.row(FINISH, &[&&digest[..]]).await?;
                    Ok(row.map(|row| row.try_get("in_time")).transpose()?.unwrap_or(false))
                })
            })
            .await
    }
}

async fn of_user(connection: &Connection<'_>, user: UserId) -> Result<UserFactors, Fault> {
    let summary = connection.one(SUMMARY, &[&user]).await?;
    let totp = connection.rows(TOTP_OF_USER, &[&user]).await?;
    let count: i64 = summary.try_get("recovery_codes")?;
    Ok(UserFactors {
        totp: totp.iter().map(totp_factor).collect::<Result<_, _>>()?,
        passkeys: passkeys::of_user(connection, user).await?,
        recovery_codes: u32::try_from(count).unwrap_or(u32::MAX),
        due_at: summary.try_get("due_at")?,
        now: summary.try_get("now")?,
    })
}

fn totp_factor(row: &Row) -> Result<TotpFactor, tokio_postgres::Error> {
    Ok(TotpFactor {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        sealed: row.try_get("sealed")?,
        last_step: row.try_get("last_step")?,
        created_at: row.try_get("created_at")?,
        used_at: row.try_get("used_at")?,
    })
}

async fn lock(connection: &Connection<'_>, user: UserId) -> Result<(), Fault> {
    Ok(connection.row(LOCK_USER, &[&user]).await?.map(drop).ok_or(VaultError::UserUnknown)?)
}

async fn add_totp(connection: &Connection<'_>, new: &NewTotp) -> Result<(), Fault> {
    lock(connection, new.user_id).await?;
    let most = i64::try_from(MAX_TOTP).unwrap_or(i64::MAX);
    let NewTotp { id, user_id, name, sealed, step } = new;
    let added =
        connection.row(ADD_TOTP, &[id, user_id, name, sealed, step, &most, &connection.origin]).await?;
    if added.is_some() {
        return Ok(());
    }
    let taken = connection.row(TOTP, &[&new.id]).await?.is_some();
    Err(if taken { VaultError::AccountTaken } else { VaultError::TooMany }.into())
}

async fn set_recovery_codes(
    connection: &Connection<'_>,
    user: UserId,
    digests: &[[u8; 32]],
) -> Result<(), Fault> {
    lock(connection, user).await?;
    connection.rows(FORGET_CODES, &[&user]).await?;
    for digest in digests {
        connection.rows(ADD_CODE, &[&user, &&digest[..]]).await?;
    }
    connection.rows(NEW_CODES, &[&user, &connection.origin]).await.map(drop)
}

async fn remove(
    connection: &Connection<'_>,
    user: UserId,
    factor: &RemovedFactor,
    keep: Option<SessionId>,
    needs_one: bool,
) -> Result<Ended, Fault> {
    lock(connection, user).await?;
    let removed = match factor {
        RemovedFactor::Totp(id) => connection.row(REMOVE_TOTP, &[&user, id]).await?,
        RemovedFactor::Passkey(id) => connection.row(REMOVE_PASSKEY, &[&user, id]).await?,
        RemovedFactor::All => connection.row(REMOVE_ALL, &[&user]).await?,
    };
    removed.ok_or(VaultError::UserUnknown)?;
    if needs_one && connection.row(HAS_FACTOR, &[&user]).await?.is_none() {
        return Err(VaultError::LastWay.into());
    }
    connection.rows(AFTER_REMOVAL, &[&user, &factor.kind(), &connection.origin]).await?;
    revoke::others(connection, user, keep, EndReason::Factor).await
}

async fn charge_try(
    connection: &Connection<'_>,
    user: UserId,
    rate: TryRate,
) -> Result<Option<Duration>, Fault> {
    let room = rate.interval * rate.burst;
    if connection.row(CHARGE, &[&user, &Span(rate.interval), &Span(room)]).await?.is_some() {
        return Ok(None);
    }
    // Without a row the user is gone, and so is the sign-in that would follow.
    let Some(row) = connection.row(TRIES, &[&user]).await? else { return Ok(Some(rate.interval)) };
    let (until, now): (Timestamp, Timestamp) = (row.try_get("until")?, row.try_get("now")?);
    Ok(Some((until + rate.interval).since(now + room)))
}
