//! Failed sign-ins: `user unlock`.

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;

use super::find;
use crate::auth;
use crate::cli::AdminContext;
use crate::identity::Login;
use crate::server;
use crate::session::SessionStoreError;

/// Time in which Redis must have answered, and pause between two tries: the connection is made in the background.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// Forgets the failed sign-ins and the wrong codes of a user.
pub(super) async fn unlock(context: &AdminContext, name: &Login, out: &mut dyn Write) -> anyhow::Result<()> {
    let user = find(context, name).await?;
    let AdminContext { config, surroundings, vault } = context;
    vault.factors.forget_tries(user.id).await?;
    let Some(store) = server::open_shared_sessions(config, surroundings)? else {
        anyhow::bail!(
            "the gateway keeps the failed sign-ins of `{name}` in its own memory (sessions.url): restart it to forget them; the \
             wait for the next code is over"
        );
    };
    let master = server::master_secret(config, vault, surroundings.random.as_ref()).await?;
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match auth::unlock(&master, store.as_ref(), (name, user.id, user.epoch)).await {
            Ok(()) => break,
            Err(SessionStoreError(_)) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "nothing was changed for `{name}`; is sessions.url right, and may its user do this?"
                    )
                });
            }
        }
    }
    writeln!(out, "the failed sign-ins and wrong codes of `{name}` are forgotten")?;
    Ok(())
}
