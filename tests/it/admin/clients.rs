//! Clients in the hands of admins.

use leasehold::clock::CLOCKS_APART_SECONDS;
use leasehold_tests::http::Call;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{APP, BACKEND, PASSWORD, Tenant, USER};
use serde_json::{Value, json};

use crate::support::{seconds, timed, together};

async fn login_at(tenant: &Tenant, client: &str, secret: &str) -> leasehold_tests::http::Reply {
    let body = json!({"client_id": client, "username": USER, "password": PASSWORD});
    let call = Call::post(tenant.url("/login")).json(&body);
    let call = if secret.is_empty() { call } else { call.basic(client, secret) };
    call.send(&tenant.http).await
}

#[tokio::test]
async fn a_client_is_registered_and_its_secret_shown_once() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let body = json!({"client_id": "till", "type": "confidential", "audiences": ["https://till.example"], "scopes": ["read"]});
    let made = admin.post("/clients", &body).await.expect(201);
    let secret = made.string("client_secret");
    login_at(&tenant, "till", &secret).await.expect(200);
    login_at(&tenant, "till", "").await.expect(401);
    login_at(&tenant, "till", &format!("{secret}x")).await.expect(401);
    let shown = admin.get("/clients/till").await.expect(200);
    assert!(!shown.text().contains(&secret) && !shown.text().contains("hash"), "{shown}");
    assert_eq!(shown.json()["secrets"].as_array().map(Vec::len), Some(1));
    let public = admin.post("/clients", &json!({"client_id": "kiosk", "type": "public"})).await.expect(201);
    assert_eq!(public.json().get("client_secret"), None);
    let listed = admin.get("/clients").await.expect(200).json();
    let ids: Vec<&Value> =
        listed["items"].as_array().expect("items").iter().map(|client| &client["client_id"]).collect();
    assert_eq!(ids, ["kiosk", "leasehold-admin", APP, BACKEND, "till"]);
    admin.post("/clients", &body).await.expect_problem(409, "already_exists");
}

#[tokio::test]
async fn a_secret_is_replaced_with_overlap() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let admin = tenant.admin().await;
    let path = format!("/clients/{BACKEND}/secret");
    let renewed = admin.post(&path, &json!({"overlap_seconds": 600})).await.expect(200);
    let new = renewed.string("client_secret");
    assert!((598..=601).contains(&(renewed.number("previous_expires_at") - timed.clock.now())), "{renewed}");
    login_at(&tenant, BACKEND, &tenant.secret).await.expect(200);
    login_at(&tenant, BACKEND, &new).await.expect(200);
    timed.clock.advance(seconds(601));
    login_at(&tenant, BACKEND, &tenant.secret).await.expect(401);
    login_at(&tenant, BACKEND, &new).await.expect(200);
    let at_once = tenant.admin().await.post(&path, &json!({"overlap_seconds": 0})).await.expect(200);
    assert_eq!(at_once.json()["previous_expires_at"], Value::Null);
    login_at(&tenant, BACKEND, &new).await.expect(401);
    login_at(&tenant, BACKEND, &at_once.string("client_secret")).await.expect(200);
    let admin = tenant.admin().await;
    let refused = admin
        .post(&path, &json!({"overlap_seconds": 2_592_001}))
        .await
        .expect_problem(400, "invalid_request");
    assert_eq!(refused.json()["high"], 2_592_000);
    admin.post(&format!("/clients/{APP}/secret"), &json!({})).await.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn a_disabled_client_gets_nothing_and_its_sessions_wait() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    let path = format!("/clients/{APP}");
    let tag = admin.get(&path).await.expect(200).header("etag").to_owned();
    admin.patch(&path, &tag, &json!({"status": "disabled"})).await.expect(200);
    login_at(&tenant, APP, "").await.expect(401);
    tenant.refuses(&session.refresh).await;
    admin.patch(&path, &tag, &json!({"status": "active"})).await.expect_problem(412, "precondition_failed");
    admin.patch(&path, "*", &json!({"status": "active"})).await.expect(200);
    tenant.rotate(&session.refresh).await;
}

#[tokio::test]
async fn what_a_client_loses_is_not_in_the_next_token() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    let path = format!("/clients/{APP}");
    admin.patch(&path, "*", &json!({"scopes": ["read"]})).await.expect(200);
    let next = tenant.rotate(&session.refresh).await;
    assert_eq!(next.jwt().claims["scope"], "read");
    assert_eq!(next.body["scope"], "read");
}

#[tokio::test]
async fn sessions_of_a_removed_client_are_not_those_of_a_later_one_of_its_name() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    admin.delete(&format!("/clients/{APP}")).await.expect(204);
    assert_eq!(tenant.refresh(&session.refresh).await.status, 401, "no such client");
    timed.clock.advance(seconds(CLOCKS_APART_SECONDS + 1));
    let admin = tenant.admin().await;
    let body = json!({"client_id": APP, "type": "public", "scopes": ["read"]});
    admin.post("/clients", &body).await.expect(201);
    tenant.refuses(&session.refresh).await;
    let again = tenant.login().await;
    tenant.rotate(&again.refresh).await;
}

#[tokio::test]
async fn preflights_follow_the_origins_of_all_clients() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let preflight = async |origin: &str| {
        let call = Call::new("OPTIONS", tenant.url("/token")).header("origin", origin);
        call.send(&tenant.http).await.header("access-control-allow-origin").to_owned()
    };
    let (a, b) = ("https://a.example", "https://b.example");
    admin
        .post("/clients", &json!({"client_id": "web", "type": "public", "origins": [a, b]}))
        .await
        .expect(201);
    assert_eq!((preflight(a).await.as_str(), preflight(b).await.as_str()), (a, b));
    admin.patch(&format!("/clients/{APP}"), "*", &json!({"origins": [a]})).await.expect(200);
    admin.patch("/clients/web", "*", &json!({"origins": []})).await.expect(200);
    assert_eq!(
        (preflight(a).await.as_str(), preflight(b).await.as_str()),
        (a, ""),
        "another client still has it"
    );
    admin.delete(&format!("/clients/{APP}")).await.expect(204);
    assert_eq!(preflight(a).await, "");
}

#[tokio::test]
async fn odd_clients_are_refused_by_name_of_the_member() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let own = format!("{}/admin", tenant.issuer);
    for (body, member) in [
        (json!({"client_id": "usr_1", "type": "public"}), "client_id"),
        (json!({"client_id": "x", "type": "public"}), "client_id"),
        (json!({"client_id": "odd", "type": "public", "scopes": ["admin:keys"]}), "scopes"),
        (json!({"client_id": "odd", "type": "public", "origins": ["http://a.example"]}), "origins"),
        (json!({"client_id": "odd", "type": "public", "audiences": [own]}), "audiences"),
    ] {
        let refused = admin.post("/clients", &body).await.expect_problem(400, "invalid_request");
        assert_eq!(refused.json()["member"], member, "{refused}");
    }
    for body in [
        json!({"client_id": "odd"}),
        json!({"client_id": "odd", "type": "secret"}),
        json!({"client_id": "odd", "type": "public", "secret_hashes": []}),
    ] {
        admin.post("/clients", &body).await.expect_problem(400, "invalid_request");
    }
    admin.get("/clients/odd").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_client_of_the_admins_stays_as_it_is_but_for_its_origins() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    for body in [json!({"status": "disabled"}), json!({"scopes": []}), json!({"audiences": ["x"]})] {
        admin.patch("/clients/leasehold-admin", "*", &body).await.expect_problem(403, "not_yours");
    }
    admin.delete("/clients/leasehold-admin").await.expect_problem(403, "not_yours");
    let body = json!({"client_id": "leasehold-admin", "type": "public"});
    admin.post("/clients", &body).await.expect_problem(409, "already_exists");
    let console = json!({"origins": ["https://console.example"]});
    admin.patch("/clients/leasehold-admin", "*", &console).await.expect(200);
    tenant.admin().await.get("/keys").await.expect(200);
}

#[tokio::test]
async fn two_admins_who_change_one_client_at_once_do_not_undo_each_other() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let path = format!("/clients/{APP}");
    let tag = admin.get(&path).await.expect(200).header("etag").to_owned();
    let replies = together(6, |n| {
        let (admin, path, tag) = (admin.clone(), path.clone(), tag.clone());
        async move { admin.patch(&path, &tag, &json!({"audiences": [format!("https://{n}.example")]})).await }
    })
    .await;
    let done = replies.iter().filter(|reply| reply.status == 200).count();
    let stale = replies.iter().filter(|reply| reply.json()["code"] == "precondition_failed").count();
    assert_eq!((done, stale), (1, 5), "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
}
