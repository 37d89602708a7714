//! Second factors of users, and sign-ins that wait for one.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Row, params};

use crate::clock::Timestamp;
use crate::id::{FactorId, SessionId, UserId};
use crate::vault::factors::{
    Factors, MAX_PASSKEYS, MAX_TOTP, NewPendingSignIn, NewTotp, Passkey, PasskeyUse, RemovedFactor,
    TotpFactor, TryRate, UserFactors,
};
use crate::vault::sqlite::SqliteVault;
use crate::vault::sqlite::fault::Fault;
use crate::vault::sqlite::reader::View;
use crate::vault::sqlite::revoke::{Event, end, others, record};
use crate::vault::sqlite::writer::Tx;
use crate::vault::{EndReason, Ended, VaultError};

#[async_trait]
impl Factors for SqliteVault {
    async fn of_user(&self, user: UserId) -> Result<UserFactors, VaultError> {
        self.readers.query(move |view| of_user(view, user)).await
    }

    async fn add_totp(&self, new: &NewTotp) -> Result<(), VaultError> {
        let new = new.clone();
        self.writer.run(move |tx| add_totp(tx, &new)).await
    }

    async fn use_totp(&self, user: UserId, id: FactorId, step: i64) -> Result<bool, VaultError> {
        let accept = "UPDATE totp_factors SET last_step = ?3, used_at = ?4 WHERE id = ?2 AND user_id = ?1 AND last_step < ?3";
        self.writer.run(move |tx| Ok(tx.execute(accept, params![user, id, step, tx.now()])? == 1)).await
    }

    async fn add_passkey(&self, new: &Passkey) -> Result<(), VaultError> {
        let new = new.clone();
        self.writer.run(move |tx| add_passkey(tx, &new)).await
    }

    async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Passkey>, VaultError> {
        let id = credential_id.to_vec();
        self.readers.query(move |view| find_passkey(view, &id)).await
    }

    async fn use_passkey(&self, used: &PasskeyUse) -> Result<bool, VaultError> {
        let used = used.clone();
        self.writer.run(move |tx| use_passkey(tx, &used)).await
    }

    async fn set_recovery_codes(&self, user: UserId, digests: &[[u8; 32]]) -> Result<(), VaultError> {
        let digests = digests.to_vec();
        self.writer.run(move |tx| set_recovery_codes(tx, user, &digests)).await
    }

    async fn use_recovery_code(&self, user: UserId, digest: [u8; 32]) -> Result<bool, VaultError> {
        self.writer.run(move |tx| use_recovery_code(tx, user, digest)).await
    }

    async fn remove(
        &self,
        user: UserId,
        factor: &RemovedFactor,
        keep: Option<SessionId>,
        needs_one: bool,
    ) -> Result<Ended, VaultError> {
        let factor = factor.clone();
        self.writer.run(move |tx| remove(tx, user, &factor, keep, needs_one)).await
    }

    async fn charge_try(&self, user: UserId, rate: TryRate) -> Result<Option<Duration>, VaultError> {
        self.writer.run(move |tx| charge_try(tx, user, rate)).await
    }

    async fn forget_tries(&self, user: UserId) -> Result<(), VaultError> {
        self.writer
            .run(move |tx| {
                tx.execute("DELETE FROM factor_tries WHERE user_id = ?1", params![user])?;
                Ok(())
            })
            .await
    }

    async fn require(&self, user: UserId, grace: Duration) -> Result<Duration, VaultError> {
        self.writer.run(move |tx| require(tx, user, grace)).await
    }

    async fn begin(&self, pending: &NewPendingSignIn) -> Result<(), VaultError> {
        let new = pending.clone();
        self.writer
            .run(move |tx| {
                check_user(tx, new.user_id)?;
                tx.execute(
                    "INSERT INTO pending_sign_ins (digest, user_id, sealed, until) VALUES (?1, ?2, ?3, ?4)",
                    params![new.digest, new.user_id, new.sealed, tx.now() + new.life],
                )?;
                Ok(())
            })
            .await
    }

    async fn pending(&self, digest: [u8; 32]) -> Result<Option<(UserId, Vec<u8>)>, VaultError> {
        let find = "SELECT user_id, sealed FROM pending_sign_ins WHERE digest = ?1 AND until > ?2";
        self.readers
            .query(move |view| {
                view.row(find, params![digest, view.now()], |row| {
                    Ok((row.get("user_id")?, row.get("sealed")?))
                })
            })
            .await
    }

    async fn finish(&self, digest: [u8; 32]) -> Result<bool, VaultError> {
        self.writer
            .run(move |tx| {
                let until: Option<Timestamp> =
                    tx.row("SELECT until FROM pending_sign_ins WHERE digest = ?1", params![digest], |row| {
                        row.get("until")
                    })?;
                tx.execute("DELETE FROM pending_sign_ins WHERE digest = ?1", params![digest])?;
                Ok(until.is_some_and(|until| until > tx.now()))
            })
            .await
    }
}

fn of_user(view: &View<'_>, user: UserId) -> Result<UserFactors, Fault> {
    let totp = "SELECT * FROM totp_factors WHERE user_id = ?1 ORDER BY created_at, id";
    let passkeys = "SELECT * FROM passkeys WHERE user_id = ?1 ORDER BY created_at, credential_id";
    let codes = "SELECT count(*) AS codes FROM recovery_codes WHERE user_id = ?1";
    let due = "SELECT factor_due_at FROM users WHERE id = ?1";
    Ok(UserFactors {
        totp: view.rows(totp, params![user], totp_factor)?,
        passkeys: view.rows(passkeys, params![user], passkey)?,
        recovery_codes: view.row(codes, params![user], |row| row.get("codes"))?.unwrap_or(0),
        due_at: view.row(due, params![user], |row| row.get("factor_due_at"))?.flatten(),
        now: view.now(),
    })
}

fn totp_factor(row: &Row<'_>) -> rusqlite::Result<TotpFactor> {
    Ok(TotpFactor {
        id: row.get("id")?,
        name: row.get("name")?,
        sealed: row.get("sealed")?,
        last_step: row.get("last_step")?,
        created_at: row.get("created_at")?,
        used_at: row.get("used_at")?,
    })
}

fn passkey(row: &Row<'_>) -> rusqlite::Result<Passkey> {
    Ok(Passkey {
        credential_id: row.get("credential_id")?,
        user_id: row.get("user_id")?,
        name: row.get("name")?,
        public_key: row.get("public_key")?,
        algorithm: row.get("algorithm")?,
        sign_count: row.get("sign_count")?,
        transports: row.get("transports")?,
        backup_eligible: row.get("backup_eligible")?,
        backed_up: row.get("backed_up")?,
        created_at: row.get("created_at")?,
        used_at: row.get("used_at")?,
    })
}

fn find_passkey(view: &View<'_>, id: &[u8]) -> Result<Option<Passkey>, Fault> {
    view.row("SELECT * FROM passkeys WHERE credential_id = ?1", params![id], passkey)
}

fn check_user(view: &View<'_>, user: UserId) -> Result<(), Fault> {
    let found: Option<UserId> =
        view.row("SELECT id FROM users WHERE id = ?1", params![user], |row| row.get("id"))?;
    Ok(found.map(drop).ok_or(VaultError::UserUnknown)?)
}

fn add_totp(tx: &Tx<'_>, new: &NewTotp) -> Result<(), Fault> {
    check_user(tx, new.user_id)?;
    if tx.row("SELECT id FROM totp_factors WHERE id = ?1", params![new.id], |_| Ok(()))?.is_some() {
        return Err(VaultError::AccountTaken.into());
    }
    if of_user(tx, new.user_id)?.totp.len() >= MAX_TOTP {
        return Err(VaultError::TooMany.into());
    }
    tx.execute(
        "INSERT INTO totp_factors (id, user_id, name, sealed, last_step, created_at, used_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        params![new.id, new.user_id, new.name, new.sealed, new.step, tx.now()],
    )?;
    record(tx, &Event::of("factor_added", new.user_id).because("totp"))
}

fn add_passkey(tx: &Tx<'_>, new: &Passkey) -> Result<(), Fault> {
    check_user(tx, new.user_id)?;
    if find_passkey(tx, &new.credential_id)?.is_some() {
        return Err(VaultError::AccountTaken.into());
    }
    if of_user(tx, new.user_id)?.passkeys.len() >= MAX_PASSKEYS {
        return Err(VaultError::TooMany.into());
    }
    tx.execute(
        "INSERT INTO passkeys (credential_id, user_id, name, public_key, algorithm, sign_count, transports, \
                               backup_eligible, backed_up, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            new.credential_id,
            new.user_id,
            new.name,
            new.public_key,
            new.algorithm,
            new.sign_count,
            new.transports,
            new.backup_eligible,
            new.backed_up,
            tx.now(),
        ],
    )?;
    record(tx, &Event::of("factor_added", new.user_id).because("passkey"))
}

fn set_recovery_codes(tx: &Tx<'_>, user: UserId, digests: &[[u8; 32]]) -> Result<(), Fault> {
    check_user(tx, user)?;
    tx.execute("DELETE FROM recovery_codes WHERE user_id = ?1", params![user])?;
    for digest in digests {
        tx.execute(
            "INSERT OR IGNORE INTO recovery_codes (user_id, digest) VALUES (?1, ?2)",
            params![user, digest],
        )?;
    }
    record(tx, &Event::of("recovery_codes_made", user))
}

fn use_passkey(tx: &Tx<'_>, used: &PasskeyUse) -> Result<bool, Fault> {
    let spend = "INSERT INTO spent_challenges (digest, until) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    if tx.execute(spend, params![used.challenge, tx.now() + used.life])? == 0 {
        return Ok(false);
    }
    let store = "UPDATE passkeys SET sign_count = max(sign_count, ?2), backed_up = ?3, used_at = ?4 WHERE credential_id = ?1";
    Ok(tx.execute(store, params![used.credential_id, used.sign_count, used.backed_up, tx.now()])? == 1)
}

fn use_recovery_code(tx: &Tx<'_>, user: UserId, digest: [u8; 32]) -> Result<bool, Fault> {
    let used =
        tx.execute("DELETE FROM recovery_codes WHERE user_id = ?1 AND digest = ?2", params![user, digest])?;
    if used == 1 {
        record(tx, &Event::of("recovery_code_used", user))?;
    }
    Ok(used == 1)
}

fn remove(
    tx: &Tx<'_>,
    user: UserId,
    factor: &RemovedFactor,
    keep: Option<SessionId>,
    needs_one: bool,
) -> Result<Ended, Fault> {
    let removed = match factor {
        RemovedFactor::Totp(id) => {
            tx.execute("DELETE FROM totp_factors WHERE user_id = ?1 AND id = ?2", params![user, id])?
        }
        RemovedFactor::Passkey(id) => {
            tx.execute("DELETE FROM passkeys WHERE user_id = ?1 AND credential_id = ?2", params![user, id])?
        }
        RemovedFactor::All => {
            tx.execute("DELETE FROM totp_factors WHERE user_id = ?1", params![user])?
                + tx.execute("DELETE FROM passkeys WHERE user_id = ?1", params![user])?
        }
    };
    if removed == 0 {
        return Err(VaultError::UserUnknown.into());
    }
    // Recovery codes stand in for a factor; without one there is nothing to recover.
    if !of_user(tx, user)?.is_enrolled() {
        if needs_one {
            return Err(VaultError::LastWay.into());
        }
        tx.execute("DELETE FROM recovery_codes WHERE user_id = ?1", params![user])?;
    }
    record(tx, &Event::of("factor_removed", user).because(factor.kind()))?;
    end(tx, &others(tx, user, keep)?, EndReason::Factor)
}

fn charge_try(tx: &Tx<'_>, user: UserId, rate: TryRate) -> Result<Option<Duration>, Fault> {
    let (now, room) = (tx.now(), rate.interval * rate.burst);
    let until: Option<Timestamp> =
        tx.row("SELECT until FROM factor_tries WHERE user_id = ?1", params![user], |row| row.get("until"))?;
    let charged = until.map_or(now, |until| until.max(now)) + rate.interval;
    if charged > now + room {
        return Ok(Some(charged.since(now + room)));
    }
    check_user(tx, user)?;
    tx.execute(
        "INSERT INTO factor_tries (user_id, until) VALUES (?1, ?2) \
         ON CONFLICT (user_id) DO UPDATE SET until = excluded.until",
        params![user, charged],
    )?;
    Ok(None)
}

fn require(tx: &Tx<'_>, user: UserId, grace: Duration) -> Result<Duration, Fault> {
    let stored: Option<Option<Timestamp>> =
        tx.row("SELECT factor_due_at FROM users WHERE id = ?1", params![user], |row| {
            row.get("factor_due_at")
        })?;
    let due_at = tx.now() + grace;
    let due_at = stored.ok_or(VaultError::UserUnknown)?.map_or(due_at, |stored| stored.min(due_at));
    tx.execute("UPDATE users SET factor_due_at = ?2 WHERE id = ?1", params![user, due_at])?;
    Ok(due_at.since(tx.now()))
}
