//! Lists page by page; cursors are good for their list of their tenant alone.

use std::collections::BTreeSet;

use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{Admin, Tenant};
use serde_json::Value;

async fn import(admin: &Admin, count: usize) {
    let lines: Vec<String> = (0..count).map(|n| format!(r#"{{"username":"u{n:03}"}}"#)).collect();
    let call = admin.call("POST", "/users/import").body("application/x-ndjson", lines.join("\n"));
    admin.send(call).await.expect(200);
}

async fn all(admin: &Admin, path: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("{path}?limit={limit}{cursor}")).await.expect(200).json();
        let found = page["items"].as_array().expect("items").clone();
        assert!(found.len() <= limit, "{page}");
        items.extend(found);
        let Some(next) = page["next_cursor"].as_str() else { return items };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn every_user_is_on_exactly_one_page() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    import(&admin, 57).await;
    for limit in [7, 100] {
        let users = all(&admin, "/users", limit).await;
        let ids: BTreeSet<String> = users.iter().map(|user| user["user_id"].to_string()).collect();
        assert_eq!((users.len(), ids.len()), (59, 59), "57, the user and the admin");
        let exported = all(&admin, "/export", limit).await;
        assert_eq!(exported.len(), 59);
    }
}

#[tokio::test]
async fn a_cursor_is_worth_nothing_at_another_list_or_tenant_or_changed() {
    let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let (mine, theirs) = (here.admin().await, there.admin().await);
    import(&mine, 5).await;
    import(&theirs, 5).await;
    let cursor = mine.get("/users?limit=2").await.expect(200).string("next_cursor");
    let foreign = theirs.get("/users?limit=2").await.expect(200).string("next_cursor");
    mine.get(&format!("/users?limit=2&cursor={cursor}")).await.expect(200);
    let mut changed = cursor.clone().into_bytes();
    changed[20] = if changed[20] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("ASCII");
    for odd in [foreign.as_str(), &changed, &cursor[1..], "", "AAAA", "null"] {
        mine.get(&format!("/users?cursor={odd}")).await.expect_problem(400, "invalid_request");
    }
    for list in ["/clients", "/export", "/audit"] {
        mine.get(&format!("{list}?cursor={cursor}")).await.expect_problem(400, "invalid_request");
    }
    let names = all(&mine, "/users", 3).await;
    assert!(names.iter().all(|user| user["username"].as_str().is_some()), "{names:?}");
}
