//! An operator: changes roles, passwords and the right to sign in, and ends all sessions of a user.

use std::time::Duration;

use super::people::password;
use super::{Desk, Session};
use crate::history::{Op, Scope};

/// Sessions kept ready to be ended by the command line, also while no gateway works.
const STOCK: usize = 5;

pub(super) async fn work(mut desk: Desk) -> Vec<Session> {
    let mut stock = Vec::new();
    while !desk.is_stopped() {
        let pause = Duration::from_millis(100 + desk.choices.below(400) as u64);
        desk.rest_for(pause).await;
        let served = desk.is_served();
        if served && stock.len() < STOCK {
            stock.extend(used_everywhere(&mut desk).await);
        }
        match desk.choices.below(6) {
            0 | 1 => change_roles(&desk, "bea").await,
            2 if served => keep_out(&mut desk, "dan").await,
            3 if served => set_password(&mut desk, "eve").await,
            4 if served => {
                let session = used_everywhere(&mut desk).await;
                let all = ["session", "revoke", "--user", "cyd"];
                if desk.command("cyd", &all, "", &[ends_all("revoke")]).await {
                    session.into_iter().chain(stock.drain(..)).for_each(|session| desk.people.bury(session));
                }
            }
            _ => {
                if let Some(session) = stock.pop()
                    && desk.revoke(&session).await
                {
                    desk.people.bury(session);
                }
            }
        }
    }
    Vec::new()
}

/// A session that every gateway in the load balancer's list has confirmed.
async fn used_everywhere(desk: &mut Desk) -> Option<Session> {
    let gateway = desk.gateway();
    let session = desk.log_in(gateway, "cyd").await?;
    for gateway in desk.fleet.balanced() {
        desk.call(gateway, &session).await;
    }
    Some(session)
}

fn ends_all(how: &str) -> Op {
    Op::End { scope: Scope::User, complete: false, how: how.to_owned() }
}

async fn change_roles(desk: &Desk, user: &str) {
    let version = desk.people.user(user).next_version();
    let role = format!("v{version}");
    desk.command(user, &["user", "roles", user, "staff", &role], "", &[Op::Roles { version }]).await;
}

async fn set_password(desk: &mut Desk, name: &'static str) {
    if desk.choices.chance(50) {
        let gateway = desk.gateway();
        if let Some(session) = desk.log_in(gateway, name).await {
            let other = desk.gateway();
            desk.change_password(other, &session).await;
        }
        return;
    }
    let user = desk.people.user(name);
    let version = user.next_version();
    let ops = [ends_all("passwd"), Op::Password { version }];
    if desk.command(name, &["user", "passwd", name, "--password-stdin"], &password(version), &ops).await {
        user.set_password(version);
    }
}

/// Disables a user for a while.
async fn keep_out(desk: &mut Desk, user: &'static str) {
    let gateway = desk.gateway();
    let session = desk.log_in(gateway, user).await;
    let ops = [ends_all("disable"), Op::Disable];
    if desk.command(user, &["user", "disable", user], "", &ops).await {
        session.into_iter().for_each(|session| desk.people.bury(session));
    }
    desk.rest_for(Duration::from_millis(600)).await;
    // The user must be able to sign in again, however long that takes.
    while !desk.command(user, &["user", "enable", user], "", &[Op::Enable]).await {
        desk.rest_for(Duration::from_millis(300)).await;
        if desk.is_stopped() {
            return;
        }
    }
}
