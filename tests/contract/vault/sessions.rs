use std::time::Duration;

use doorward::clock::Clock;
use doorward::id::{SessionId, UserId};
use doorward::identity::{ClientKind, Epoch, Methods, Proof};
use doorward::vault::{EndReason, NewSession, Rotation, Scope, SessionPage, UserChange};

use super::world::{
    ABSOLUTE, Device, HOUR, IDLE, World, is_superseded, login, new_session, presented, random, roles, secret,
};

pub(crate) async fn opened_session_is_granted_and_found(world: World) {
    let before = world.clock.wall();
    let (user, device) = world.someone().await;
    let grant = &device.grant;
    assert_eq!((grant.session_id, grant.user_id), (device.id, user));
    assert_eq!((grant.login.clone(), grant.roles.clone()), (login("ada"), roles(&["staff"])));
    assert!(grant.now >= before);
    assert_eq!((grant.ends_at, grant.expires_at), (grant.now + IDLE, grant.now + ABSOLUTE));
    let row = world.vault.sessions.find(device.id).await.expect("an answer").expect("the session");
    assert!(row.live);
    assert_eq!((row.grant.ends_at, row.grant.expires_at), (grant.ends_at, grant.expires_at));
    assert_eq!((row.created_at, row.renewed_at), (grant.now, grant.now));
    assert_eq!(row.grant.address, Some([192, 0, 2, 7].into()));
    assert_eq!(row.grant.user_agent.as_deref(), Some("browser"));
}

pub(crate) async fn unknown_session_is_not_found(world: World) {
    assert!(world.vault.sessions.find(SessionId::from_bytes(random())).await.expect("an answer").is_none());
}

pub(crate) async fn many_sessions_are_found_at_once(world: World) {
    let (_, first) = world.someone().await;
    let user = world.user("bob").await;
    let mut ids = vec![SessionId::from_bytes(random()), first.id];
    for _ in 0..300 {
        let new = new_session(user, Epoch(0));
        world.vault.sessions.open(&new).await.expect("a session");
        ids.push(new.id);
    }
    world.vault.sessions.revoke(Scope::Session(ids[2], None), EndReason::Admin).await.expect("an answer");
    let rows = world.vault.sessions.find_many(&ids).await.expect("an answer");
    let mut found: Vec<_> = rows.iter().map(|row| (row.grant.session_id, row.live)).collect();
    let mut expected: Vec<_> = ids[1..].iter().map(|id| (*id, *id != ids[2])).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "all but the unknown one");
    let row = rows.iter().find(|row| row.grant.session_id == first.id).expect("the first");
    let alone = world.vault.sessions.find(first.id).await.expect("an answer").expect("the session");
    assert_eq!((&row.grant.login, row.grant.ends_at), (&alone.grant.login, alone.grant.ends_at));
    assert!(world.vault.sessions.find_many(&[]).await.expect("an answer").is_empty());
}

pub(crate) async fn idle_timeout_never_exceeds_absolute_timeout(world: World) {
    let user = world.user("ada").await;
    let new = NewSession { idle: ABSOLUTE * 2, ..new_session(user, Epoch(0)) };
    let grant = world.vault.sessions.open(&new).await.expect("a session");
    assert_eq!(grant.ends_at, grant.expires_at);
}

pub(crate) async fn login_with_an_older_epoch_is_superseded(world: World) {
    let user = world.user("ada").await;
    let read = world.find(user).await.epoch;
    let change = UserChange::Password { new: secret("new"), expected: None, keep: None };
    world.vault.users.change(user, &change).await.expect("changed");
    assert!(is_superseded(&world.vault.sessions.open(&new_session(user, read)).await));
    assert!(is_superseded(
        &world.vault.sessions.open(&new_session(UserId::from_bytes(random()), read)).await
    ));
    assert!(
        world.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("a list").is_empty()
    );
}

pub(crate) async fn live_sessions_of_a_user_are_listed_newest_first(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let (first, second) = (world.device(ada).await, world.device(ada).await);
    let (third, of_bob) = (world.device(ada).await, world.device(bob).await);
    world.vault.sessions.revoke(Scope::Session(second.id, None), EndReason::User).await.expect("revoked");
    let listed = |rows: Vec<doorward::vault::SessionRow>| {
        rows.iter().map(|row| row.grant.session_id).collect::<Vec<_>>()
    };
    let of_ada = world.vault.sessions.list(Some(ada), SessionPage::first(1000)).await.expect("a list");
    assert_eq!(listed(of_ada), [third.id, first.id]);
    let everyone = world.vault.sessions.list(None, SessionPage::first(1000)).await.expect("a list");
    assert_eq!(listed(everyone), [of_bob.id, third.id, first.id]);
    world.advance(IDLE + HOUR).await;
    assert!(world.vault.sessions.list(None, SessionPage::first(1000)).await.expect("a list").is_empty());
}

/// Lists in pages until one is empty.
async fn listed_in_pages(world: &World, user: Option<UserId>, first: SessionPage) -> Vec<SessionId> {
    let (mut page, mut all) = (first, Vec::new());
    loop {
        let rows = world.vault.sessions.list(user, page).await.expect("a page");
        assert!(rows.len() <= first.limit as usize);
        let Some(last) = rows.last() else { return all };
        page.after = Some(last.grant.session_id);
        all.extend(rows.iter().map(|row| row.grant.session_id));
    }
}

pub(crate) async fn sessions_are_listed_in_pages(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let (mut of_ada, mut everyone) = (Vec::new(), Vec::new());
    for at in 0..7 {
        let device = world.device(if at % 3 == 0 { bob } else { ada }).await;
        everyone.insert(0, device.id);
        if at % 3 != 0 {
            of_ada.insert(0, device.id);
        }
    }
    for limit in [1, 2, 3, 7, 1000] {
        let page = SessionPage::first(limit);
        assert_eq!(listed_in_pages(&world, Some(ada), page).await, of_ada, "{limit}");
        assert_eq!(listed_in_pages(&world, None, page).await, everyone, "{limit}");
    }
    // The last session of a page may end before the next page is read.
    world.vault.sessions.revoke(Scope::Session(everyone[2], None), EndReason::User).await.expect("revoked");
    let after = |id| SessionPage { after: Some(id), ..SessionPage::first(2) };
    let listed = async |page| {
        let rows = world.vault.sessions.list(None, page).await.expect("a page");
        rows.iter().map(|row| row.grant.session_id).collect::<Vec<_>>()
    };
    assert_eq!(listed(after(everyone[2])).await, everyone[3..5]);
    assert_eq!(
        listed(after(SessionId::from_bytes(random()))).await,
        everyone[..2],
        "unknown: from the start"
    );
    let of_another =
        everyone.iter().find(|id| !of_ada.contains(id)).copied().expect("a session of another user");
    let page = world.vault.sessions.list(Some(ada), after(of_another)).await.expect("a page");
    let page: Vec<SessionId> = page.iter().map(|row| row.grant.session_id).collect();
    let still = of_ada.iter().copied().filter(|id| *id != everyone[2]).take(2).collect::<Vec<_>>();
    assert_eq!(page, still, "of another user: as if it were unknown");
}

pub(crate) async fn sessions_of_browsers_and_programs_are_listed_apart(world: World) {
    let user = world.user("ada").await;
    let (mut browsers, mut programs) = (Vec::new(), Vec::new());
    for kind in [ClientKind::Program, ClientKind::Browser, ClientKind::RememberedBrowser, ClientKind::Program]
    {
        let new = NewSession { client_id: kind.client_id().into(), ..new_session(user, Epoch(0)) };
        world.vault.sessions.open(&new).await.expect("a session");
        let of_kind = if kind == ClientKind::Program { &mut programs } else { &mut browsers };
        of_kind.insert(0, new.id);
    }
    // A client of another release is a program.
    programs.insert(0, world.device(user).await.id);
    for limit in [1, 2, 9] {
        let page = |browsers| SessionPage { browsers, ..SessionPage::first(limit) };
        for user in [Some(user), None] {
            assert_eq!(listed_in_pages(&world, user, page(Some(true))).await, browsers);
            assert_eq!(listed_in_pages(&world, user, page(Some(false))).await, programs);
            assert_eq!(listed_in_pages(&world, user, page(None)).await.len(), 5);
        }
    }
}

pub(crate) async fn session_is_live_until_end_idle_timeout_or_user_change(world: World) {
    let user = world.user("ada").await;
    let (ended, idle) = (world.device(user).await, world.device(user).await);
    let live = async |id| world.vault.sessions.find(id).await.expect("an answer").expect("the session").live;
    world.vault.sessions.revoke(Scope::Session(ended.id, None), EndReason::Logout).await.expect("revoked");
    assert!(!live(ended.id).await && live(idle.id).await);
    world.advance(IDLE).await;
    assert!(!live(idle.id).await);
    let changed = world.device(user).await;
    world.vault.users.change(user, &UserChange::Disabled(true)).await.expect("disabled");
    assert!(!live(changed.id).await);
}

pub(crate) async fn overlong_user_agent_is_truncated_at_a_character(world: World) {
    let user = world.user("ada").await;
    let new = NewSession { user_agent: Some("é".repeat(200) + "x"), ..new_session(user, Epoch(0)) };
    world.vault.sessions.open(&new).await.expect("a session");
    let row = world.vault.sessions.find(new.id).await.expect("an answer").expect("the session");
    assert_eq!(row.grant.user_agent, Some("é".repeat(128)));
}

pub(crate) async fn every_grant_states_how_and_when_the_user_signed_in(world: World) {
    let user = world.user("ada").await;
    let session = NewSession {
        methods: Methods::PROVIDER,
        proven_ago: Duration::from_secs(90),
        ..new_session(user, world.find(user).await.epoch)
    };
    let grant = world.vault.sessions.open(&session).await.expect("opened");
    let proof = Proof { methods: Methods::PROVIDER, at: grant.now - Duration::from_secs(90) };
    assert_eq!(grant.proof, proof, "login");
    let device = Device { id: session.id, family: session.family, grant };
    world.advance(Duration::from_secs(60)).await;
    let granted = |rotation| match rotation {
        Rotation::Granted { grant, .. } => grant.proof,
        other => panic!("not granted: {other:?}"),
    };
    let row = world.vault.sessions.find(device.id).await.expect("an answer").expect("the session");
    assert_eq!(row.grant.proof, proof, "lookup");
    let renewed = world.vault.sessions.renew(&presented(&device, 0)).await.expect("an answer");
    assert_eq!(granted(renewed), proof, "renewal");
    assert_eq!(granted(world.rotate(&device, 0).await), proof, "rotation");
    assert_eq!(granted(world.rotate(&device, 0).await), proof, "repeat");
}
