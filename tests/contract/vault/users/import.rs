use doorward::id::UserId;
use doorward::identity::{Attributes, Epoch};
use doorward::vault::{AuditQuery, ImportMode, Imported, NewUser, UserKey};

use crate::vault::world::{World, is_superseded, login, new_session, random, roles, secret};

fn new_user(name: &str, address: Option<&str>) -> NewUser {
    let email = address.map(|address| address.parse().expect("an address"));
    let attributes =
        Attributes::new(email, true, Some(format!("{name} of the file").parse().expect("a name")));
    let id = UserId::from_bytes(random());
    let new = NewUser::new(id, login(name), secret("$2y$05$imported"), roles(&["staff"]));
    NewUser { attributes, ..new }
}

async fn import(world: &World, users: &[NewUser], mode: ImportMode) -> Vec<Imported> {
    world.vault.users.import(users, mode).await.expect("imported")
}

async fn names(world: &World) -> Vec<String> {
    let users = world.vault.users.list(None, 1000).await.expect("a page");
    users.iter().map(|user| user.login.to_string()).collect()
}

pub(crate) async fn import_creates_absent_users_and_leaves_others_alone(world: World) {
    let ada = world.user("ada").await;
    let users = [
        new_user("bob", Some("bob@example.org")),
        new_user("ada", Some("ada@example.org")),
        new_user("carol", None),
    ];
    let expected = [Imported::Created, Imported::LoginTaken, Imported::Created];
    assert_eq!(import(&world, &users, ImportMode::Trial).await, expected);
    assert_eq!(names(&world).await, ["ada"], "a trial writes nothing");
    assert_eq!(import(&world, &users, ImportMode::Create).await, expected);
    assert_eq!(names(&world).await, ["ada", "bob", "carol"]);
    let bob = world.find(users[0].id).await;
    assert_eq!((bob.attributes, bob.roles), (users[0].attributes.clone(), users[0].roles.clone()));
    assert_eq!((bob.password, bob.disabled, bob.epoch), (secret("$2y$05$imported"), false, Epoch(0)));
    assert_eq!(bob.email_verified_at, Some(bob.created_at));
    assert_eq!(world.find(ada).await.password, secret("hash of ada"));
    let events = world.vault.trail.page(&AuditQuery::first(10)).await.expect("events");
    let created = events.iter().filter(|event| event.event == "user_created").filter_map(|event| event.user);
    let mut created: Vec<UserId> = created.collect();
    created.sort_unstable();
    let mut ids = vec![ada, users[0].id, users[2].id];
    ids.sort_unstable();
    assert_eq!(created, ids, "each creation is audited");
    // Idempotent.
    assert_eq!(import(&world, &users, ImportMode::Create).await, [Imported::LoginTaken; 3]);
    assert_eq!(import(&world, &[], ImportMode::Create).await, []);
}

pub(crate) async fn import_refuses_an_address_of_another_user(world: World) {
    world.vault.users.create(&new_user("ada", Some("ada@example.org"))).await.expect("ada");
    let users = [new_user("bob", Some("ada@example.org")), new_user("carol", Some("carol@example.org"))];
    let expected = [Imported::EmailTaken, Imported::Created];
    assert_eq!(import(&world, &users, ImportMode::Trial).await, expected);
    assert_eq!(import(&world, &users, ImportMode::Create).await, expected);
    assert_eq!(names(&world).await, ["ada", "carol"]);
}

pub(crate) async fn imported_user_may_be_disabled_from_the_beginning(world: World) {
    let eve = NewUser { disabled: true, ..new_user("eve", None) };
    assert_eq!(import(&world, std::slice::from_ref(&eve), ImportMode::Create).await, [Imported::Created]);
    let dan = NewUser { disabled: true, ..new_user("dan", None) };
    world.vault.users.create(&dan).await.expect("dan");
    for id in [eve.id, dan.id] {
        let user = world.find(id).await;
        assert!(user.disabled && !user.waits_for_approval);
        assert!(is_superseded(&world.vault.sessions.open(&new_session(id, user.epoch)).await));
    }
}

pub(crate) async fn two_imports_at_once_create_each_user_once(world: World) {
    let names: Vec<String> = (0..400).map(|number| format!("user{number:03}")).collect();
    let users = |reversed: bool| {
        let mut users: Vec<NewUser> = names.iter().map(|name| new_user(name, None)).collect();
        if reversed {
            users.reverse();
        }
        users
    };
    let (there, back) = (users(false), users(true));
    let (one, other) = tokio::join!(
        world.vault.users.import(&there, ImportMode::Create),
        world.other.users.import(&back, ImportMode::Create)
    );
    let results = [one.expect("imported"), other.expect("imported")].concat();
    assert_eq!(results.iter().filter(|result| **result == Imported::Created).count(), 400);
    assert_eq!(results.iter().filter(|result| **result == Imported::LoginTaken).count(), 400);
    let found = world.vault.users.find(&UserKey::Login(login("user399"))).await.expect("an answer");
    assert_eq!(found.expect("a user").password, secret("$2y$05$imported"));
}

pub(crate) async fn passwords_are_counted_by_their_parameters(world: World) {
    assert_eq!(world.vault.users.count_passwords().await.expect("counts"), []);
    let argon2 = "$argon2id$v=19$m=19456,t=2,p=1";
    for (at, password) in [
        format!("{argon2}$AAAAAAAAAAAAAAAAAAAAAA$BBBB"),
        format!("{argon2}$CCCCCCCCCCCCCCCCCCCCCC$DDDD"),
        format!("{argon2}$EEEEEEEEEEEEEEEEEEEEEE$FF/+"),
        format!("{argon2},keyid=YQ$AAAAAAAAAAAAAAAAAAAAAA$BBBB"),
        "$2y$05$dC4GYvErY6NAWQsIkTMA7.luWZP3kzbzk7JLPoGaWX6dj3kr33fBe".to_owned(),
        "$2y$12$X6xXHwJT5Kab3/9/3HKo3O/CIsZqTBvdIYD3R.w6DDvnEjE..x7zW".to_owned(),
        "no hash at all".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let id = UserId::from_bytes(random());
        let new = NewUser::new(id, login(&format!("user{at}")), secret(password), roles(&[]));
        world.vault.users.create(&new).await.expect("a user");
    }
    let counts = world.vault.users.count_passwords().await.expect("counts");
    let counts: Vec<(&str, u64)> =
        counts.iter().map(|count| (count.parameters.as_str(), count.users)).collect();
    assert_eq!(counts[..2], [("$argon2id$v=19$m=19456,t=2,p=1$", 3), ("$2y$", 2)]);
    let rest: Vec<&(&str, u64)> = counts[2..].iter().collect();
    assert_eq!(rest.len(), 2, "{rest:?}");
    assert!(rest.contains(&&("$argon2id$v=19$m=19456,t=2,p=1,keyid=YQ$", 1)), "{rest:?}");
    assert!(rest.contains(&&("", 1)), "{rest:?}");
}
