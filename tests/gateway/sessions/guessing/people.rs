use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::support::{PASSWORD, Setup, TestGateway, http, measured};

const PEOPLE: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_people_behind_one_address_sign_in_at_nine() {
    // Default limits. One in ten mistypes once, one in a hundred three times.
    let gateway = TestGateway::with(Setup { login: "hash_threads = 2".into(), ..Setup::default() }).await;
    for person in 0..PEOPLE {
        gateway.user(&format!("person{person}"), &[]).await;
    }
    // As many at once as the queue of the hashing threads takes.
    let (turns, began) = (Arc::new(Semaphore::new(60)), Instant::now());
    let mut people = tokio::task::JoinSet::new();
    for person in 0..PEOPLE {
        let (turns, address) = (Arc::clone(&turns), gateway.address());
        people.spawn(async move {
            let _turn = turns.acquire().await.expect("open");
            let typos = match person % 100 {
                0 => 3,
                other if other % 10 == 0 => 1,
                _ => 0,
            };
            let passwords = std::iter::repeat_n("a wrong password", typos).chain([PASSWORD]);
            let mut statuses = Vec::new();
            for password in passwords {
                let body = json!({ "username": format!("person{person}"), "password": password }).to_string();
                let headers = [("Content-Type", "application/json")];
                let path = "/auth/login";
                statuses.push(http::request(address, "POST", path, &headers, body.as_bytes()).await.status);
            }
            (typos, statuses)
        });
    }
    for (typos, statuses) in people.join_all().await {
        let expected = [vec![401; typos], vec![200]].concat();
        assert_eq!(statuses, expected, "everybody signs in");
    }
    measured(format_args!("{PEOPLE} people have signed in from one address in {:?}", began.elapsed()));
}
