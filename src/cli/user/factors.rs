//! Second factors: `user factors`.

use std::io::Write;

use serde_json::json;

use super::{find, report};
use crate::cli::{AdminContext, confirmed, table};
use crate::identity::Login;
use crate::vault::{RemovedFactor, UserFactors, VaultError};

/// Shows what a user has enrolled.
pub(super) async fn show(
    context: &AdminContext,
    name: &Login,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let user = find(context, name).await?;
    let factors = context.vault.factors.of_user(user.id).await?;
    if json {
        let object = json!({
            "user": name.as_str(),
            "factors": rows(&factors).iter().map(|[kind, name, added, used]| json!({
                "kind": kind, "name": name, "added": added, "used": used,
            })).collect::<Vec<_>>(),
            "recovery_codes": factors.recovery_codes,
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    if !factors.is_enrolled() {
        writeln!(out, "`{name}` has no second factor")?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = rows(&factors).into_iter().map(Vec::from).collect();
    table::print(&["KIND", "NAME", "ADDED", "LAST USED"], &rows, out)?;
    writeln!(out, "unused recovery codes: {}", factors.recovery_codes)?;
    Ok(())
}

/// Kind, name, time of enrolment and of the last use of each.
fn rows(factors: &UserFactors) -> Vec<[String; 4]> {
    let never = || "never".to_owned();
    let apps = factors.totp.iter().map(|app| {
        let used = app.used_at.map_or_else(never, |at| at.to_string());
        ["app".to_owned(), app.name.clone(), app.created_at.to_string(), used]
    });
    let keys = factors.passkeys.iter().map(|key| {
        let used = key.used_at.map_or_else(never, |at| at.to_string());
        ["passkey".to_owned(), key.name.clone(), key.created_at.to_string(), used]
    });
    apps.chain(keys).collect()
}

/// Removes everything that a user has enrolled.
pub(super) async fn remove(
    context: &AdminContext,
    name: &Login,
    yes: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let user = find(context, name).await?;
    let text =
        format!("This removes every second factor and recovery code of `{name}` and ends every session.");
    confirmed(yes, &text, out)?;
    match context.vault.factors.remove(user.id, &RemovedFactor::All, None, false).await {
        Ok(ended) => report(out, &format!("removed the second factors of `{name}`"), &ended),
        Err(VaultError::UserUnknown) => anyhow::bail!("`{name}` has no second factor: nothing was changed"),
        Err(error) => Err(error.into()),
    }
}
