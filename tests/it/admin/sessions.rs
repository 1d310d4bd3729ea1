//! Sessions, ended by admins.

use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{PASSWORD, Session, Tenant, USER};
use serde_json::Value;

use crate::support::together;

async fn id(tenant: &Tenant, admin: &leasehold_tests::tenant::Admin) -> String {
    let _ = tenant;
    admin.user(USER).await["user_id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_admin_sees_the_sessions_of_a_user_and_ends_one() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let (one, other) = (tenant.login().await, tenant.login().await);
    let id = id(&tenant, &admin).await;
    let listed = admin.get(&format!("/users/{id}/sessions")).await.expect(200).json();
    let sids: Vec<&Value> =
        listed["items"].as_array().expect("items").iter().map(|item| &item["sid"]).collect();
    assert!(sids.len() == 2 && sids.contains(&&Value::from(one.sid.as_str())), "{listed}");
    admin.delete(&format!("/users/{id}/sessions/{}", one.sid)).await.expect(204);
    tenant.refuses(&one.refresh).await;
    tenant.sessions(&one.access).await.expect(401);
    tenant.rotate(&other.refresh).await;
    let listed = admin.get(&format!("/users/{id}/sessions")).await.expect(200).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let nobody = "0".repeat(32);
    admin.delete(&format!("/users/{id}/sessions/{nobody}")).await.expect_problem(404, "not_found");
    admin.delete(&format!("/users/usr_{nobody}/sessions")).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn all_of_a_user_end_by_one_write_and_a_login_right_after_is_good() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let id = id(&tenant, &admin).await;
    let sessions = together(3, |_| {
        let tenant = tenant.clone();
        async move { tenant.login().await }
    })
    .await;
    admin.delete(&format!("/users/{id}/sessions")).await.expect(204);
    let again = tenant.login().await;
    for session in &sessions {
        tenant.refuses(&session.refresh).await;
        tenant.sessions(&session.access).await.expect(401);
    }
    tenant.rotate(&again.refresh).await;
    admin.get("/keys").await.expect(200);
}

#[tokio::test]
async fn everybodys_end_by_one_write_the_callers_too() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    admin.delete("/sessions").await.expect(204);
    tenant.refuses(&session.refresh).await;
    tenant.sessions(&session.access).await.expect(401);
    admin.get("/keys").await.expect_problem(401, "invalid_token");
    let again = Session::from_reply(&tenant.login_as(USER, PASSWORD).await.expect(200));
    tenant.rotate(&again.refresh).await;
    tenant.admin().await.get("/keys").await.expect(200);
}

#[tokio::test]
async fn a_refresh_that_races_with_the_end_of_all_sessions_comes_out_dead() {
    let tenant = Tenant::create(shared()).await;
    for _ in 0..10 {
        let admin = tenant.admin().await;
        let session = tenant.login().await;
        let (ended, raced) = tokio::join!(admin.delete("/sessions"), tenant.refresh(&session.refresh));
        ended.expect(204);
        if raced.status == 200 {
            tenant.refuses(&Session::from_reply(&raced).refresh).await;
        }
        tenant.refuses(&session.refresh).await;
    }
}
