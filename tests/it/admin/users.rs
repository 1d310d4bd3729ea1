//! Users in the hands of admins.

use leasehold_tests::http::Call;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{ADMIN, ADMIN_PASSWORD, APP, PASSWORD, Session, Tenant, USER};
use serde_json::{Value, json};

use crate::support::{seconds, timed, together};

const NEW: &str = "velvet-Harbour 9 tulip";

#[tokio::test]
async fn a_user_is_added_with_a_code_and_chooses_the_password() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let body = json!({"username": " Bob@Shop.example ", "roles": ["clerk"], "permissions": ["orders:read"],
        "scopes": ["read"], "claims": {"branch": 7}});
    let made = admin.post("/users", &body).await.expect(201);
    let user = made.json()["user"].clone();
    assert_eq!((&user["username"], &user["has_password"]), (&json!("bob@shop.example"), &json!(false)));
    assert!(made.header("location").ends_with(user["user_id"].as_str().expect("an id")), "{made}");
    tenant.login_as("bob@shop.example", NEW).await.expect_error(401, "invalid_credentials");
    let code = made.string("code");
    tenant
        .set_password("bob@shop.example", &format!("{code}x"), NEW)
        .await
        .expect_error(401, "invalid_credentials");
    tenant.set_password("bob@shop.example", &code, "password").await.expect_error(400, "invalid_request");
    tenant.set_password("bob@shop.example", &code, NEW).await.expect(204);
    let session = Session::from_reply(&tenant.login_as("bob@shop.example", NEW).await.expect(200));
    let claims = session.jwt().claims;
    assert_eq!((&claims["roles"], &claims["permissions"]), (&json!(["clerk"]), &json!(["orders:read"])));
    assert_eq!((&claims["scope"], &claims["branch"]), (&json!("read"), &json!(7)));
    tenant
        .set_password("bob@shop.example", &code, "velvet-Harbour 8 tulip")
        .await
        .expect_error(401, "invalid_credentials");
    tenant.login_as("bob@shop.example", NEW).await.expect(200);
}

#[tokio::test]
async fn a_code_is_good_once_also_for_two_at_once_and_only_in_its_time() {
    let timed = timed().await;
    let tenant = Tenant::with_policy(&timed.stack, json!({"code_seconds": 600})).await;
    let admin = tenant.admin().await;
    let made = admin.post("/users", &json!({"username": "cy"})).await.expect(201);
    let left = made.number("code_expires_at") - timed.clock.now();
    assert!((595..=601).contains(&left), "{made}");
    let (first, code) = (tenant.clone(), made.string("code"));
    let replies = together(2, |n| {
        let (tenant, code) = (first.clone(), code.clone());
        async move { tenant.set_password("cy", &code, &format!("velvet-Harbour {n} tulip")).await }
    })
    .await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert!(matches!(statuses[..], [204, 401 | 503]), "{statuses:?}");
    let made = admin.post("/users", &json!({"username": "dee"})).await.expect(201);
    timed.clock.advance(seconds(601));
    tenant.set_password("dee", &made.string("code"), NEW).await.expect_error(401, "invalid_credentials");
}

#[tokio::test]
async fn a_reset_leaves_the_old_password_until_it_is_completed_and_then_ends_every_session() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    let id = admin.user(USER).await["user_id"].as_str().expect("an id").to_owned();
    let first = admin.post(&format!("/users/{id}/reset"), &json!({})).await.expect(200).string("code");
    tenant.login().await;
    let session = tenant.rotate(&session.refresh).await;
    let second = admin.post(&format!("/users/{id}/reset"), &json!({})).await.expect(200).string("code");
    tenant.set_password(USER, &first, NEW).await.expect_error(401, "invalid_credentials");
    tenant.set_password(USER, &second, NEW).await.expect(204);
    tenant.refuses(&session.refresh).await;
    tenant.login_as(USER, PASSWORD).await.expect_error(401, "invalid_credentials");
    tenant.login_as(USER, NEW).await.expect(200);
}

#[tokio::test]
async fn a_code_signs_nobody_in() {
    let tenant = Tenant::create(shared()).await;
    let made = tenant.admin().await.post("/users", &json!({"username": "eve"})).await.expect(201);
    let body = json!({"client_id": APP, "username": "eve", "code": made.string("code")});
    Call::post(tenant.url("/login"))
        .json(&body)
        .send(&tenant.http)
        .await
        .expect_error(400, "invalid_request");
    tenant.login_as("eve", &made.string("code")).await.expect_error(401, "invalid_credentials");
}

#[tokio::test]
async fn rights_change_with_the_next_token_and_disabling_ends_everything() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    let user = admin.user(USER).await;
    let path = format!("/users/{}", user["user_id"].as_str().expect("an id"));
    let tag = admin.get(&path).await.expect(200).header("etag").to_owned();
    let change = json!({"roles": ["manager"], "scopes": ["read"], "claims": {"plan": "gold"}});
    let changed = admin.patch(&path, &tag, &change).await.expect(200);
    assert_eq!(changed.json()["permissions"], user["permissions"], "what is left out stays");
    let next = tenant.rotate(&session.refresh).await;
    let claims = next.jwt().claims;
    assert_eq!((&claims["roles"], &claims["plan"]), (&json!(["manager"]), &json!("gold")));
    assert_eq!(claims["scope"], "read", "a scope that was taken away is not in the next token");
    admin.patch(&path, &tag, &json!({"roles": []})).await.expect_problem(412, "precondition_failed");
    admin
        .send(admin.call("PATCH", &path).json(&json!({})))
        .await
        .expect_problem(428, "precondition_required");
    admin.patch(&path, "*", &json!({"status": "disabled"})).await.expect(200);
    tenant.refuses(&next.refresh).await;
    tenant.sessions(&next.access).await.expect(401);
    tenant.login_as(USER, PASSWORD).await.expect_error(401, "invalid_credentials");
    admin.patch(&path, "*", &json!({"status": "active", "scopes": null})).await.expect(200);
    tenant.refuses(&next.refresh).await;
    let again = tenant.login().await;
    assert_eq!(again.jwt().claims["scope"], "orders:read orders:write read write");
}

#[tokio::test]
async fn a_removed_user_is_gone_and_the_name_is_anothers() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    let id = admin.user(USER).await["user_id"].as_str().expect("an id").to_owned();
    admin.delete(&format!("/users/{id}")).await.expect(204);
    tenant.refuses(&session.refresh).await;
    tenant.sessions(&session.access).await.expect(401);
    tenant.login_as(USER, PASSWORD).await.expect_error(401, "invalid_credentials");
    admin.get(&format!("/users/{id}")).await.expect_problem(404, "not_found");
    admin.delete(&format!("/users/{id}")).await.expect_problem(404, "not_found");
    assert_eq!(admin.user(USER).await, Value::Null);
    let again = admin.add_user(&tenant, &json!({"username": USER}), PASSWORD).await;
    assert_ne!(again, id);
    tenant.refuses(&session.refresh).await;
    tenant.login().await;
    let table = leasehold_tests::table::Table::open(&shared().endpoint("dynamodb"), &tenant.http).await;
    let items = table.dump_tenant(&tenant.name).await;
    let left: Vec<&Value> = items
        .iter()
        .filter(|item| item["PK"]["S"].as_str().is_some_and(|pk| pk.ends_with(&format!("#U#{id}"))))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_last_admin_stays_and_two_cannot_remove_each_other() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let me = admin.user(ADMIN).await["user_id"].as_str().expect("an id").to_owned();
    for body in [json!({"status": "disabled"}), json!({"roles": []})] {
        admin.patch(&format!("/users/{me}"), "*", &body).await.expect_problem(403, "not_yours");
    }
    admin.delete(&format!("/users/{me}")).await.expect_problem(403, "not_yours");
    let other = admin.add_user(&tenant, &json!({"username": "second", "roles": ["admin"]}), NEW).await;
    let second = tenant.admin_as("second", NEW, None).await;
    let (first_call, second_call) = (
        admin.call("PATCH", &format!("/users/{other}")).header("if-match", "*").json(&json!({"roles": []})),
        second.call("PATCH", &format!("/users/{me}")).header("if-match", "*").json(&json!({"roles": []})),
    );
    let (one, two) = tokio::join!(admin.send(first_call), second.send(second_call));
    let done = [&one, &two].iter().filter(|reply| reply.status == 200).count();
    assert_eq!(done, 1, "one of them stays: {one} {two}");
    // Whoever was demoted is out at once, with the token they hold.
    let (winner, loser) = if one.status == 200 { (&admin, &second) } else { (&second, &admin) };
    loser.get("/users").await.expect_problem(403, "insufficient_scope");
    winner.get("/users").await.expect(200);
}

#[tokio::test]
async fn a_code_is_worth_nothing_once_its_user_may_do_more() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    admin.add_user(&tenant, &json!({"username": "helper", "roles": ["admin:users"]}), NEW).await;
    let helper = tenant.admin_as("helper", NEW, None).await;
    let made = helper.post("/users", &json!({"username": "bob"})).await.expect(201).json();
    let path = format!("/users/{}", made["user"]["user_id"].as_str().expect("an id"));
    admin.patch(&path, "*", &json!({"roles": ["admin"]})).await.expect(200);
    let complete = async |code: &str| {
        let body = json!({"client_id": APP, "username": "bob", "code": code, "new_password": NEW});
        Call::post(tenant.url("/password")).json(&body).send(&tenant.http).await
    };
    complete(made["code"].as_str().expect("a code")).await.expect_error(401, "invalid_credentials");
    let code = admin.post(&format!("{path}/reset"), &json!({})).await.expect(200).string("code");
    complete(&code).await.expect(204);
}

#[tokio::test]
async fn nobody_touches_those_who_may_do_more() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    admin
        .add_user(&tenant, &json!({"username": "helper", "roles": ["admin:users", "admin:sessions"]}), NEW)
        .await;
    let helper = tenant.admin_as("helper", NEW, None).await;
    let root = admin.user(ADMIN).await["user_id"].as_str().expect("an id").to_owned();
    let ada = admin.user(USER).await["user_id"].as_str().expect("an id").to_owned();
    for (what, call) in [
        ("reset", helper.call("POST", &format!("/users/{root}/reset")).json(&json!({}))),
        (
            "demote",
            helper
                .call("PATCH", &format!("/users/{root}"))
                .header("if-match", "*")
                .json(&json!({"roles": []})),
        ),
        ("remove", helper.call("DELETE", &format!("/users/{root}"))),
        (
            "promote",
            helper
                .call("PATCH", &format!("/users/{ada}"))
                .header("if-match", "*")
                .json(&json!({"roles": ["admin"]})),
        ),
        (
            "give a right",
            helper
                .call("PATCH", &format!("/users/{ada}"))
                .header("if-match", "*")
                .json(&json!({"roles": ["admin:keys"]})),
        ),
        (
            "make an admin",
            helper.call("POST", "/users").json(&json!({"username": "mole", "roles": ["admin"]})),
        ),
    ] {
        let reply = helper.send(call).await;
        assert_eq!(reply.status, 403, "{what}: {reply}");
        reply.expect_problem(403, "not_yours");
    }
    helper.get("/keys").await.expect_problem(403, "insufficient_scope");
    // The role is not what counts but the token: one that was narrowed makes no admin who could do more.
    let narrowed = tenant.admin_as(ADMIN, ADMIN_PASSWORD, Some("admin:users")).await;
    let mole = json!({"username": "mole", "roles": ["admin"]});
    narrowed.post("/users", &mole).await.expect_problem(403, "not_yours");
    narrowed
        .patch(&format!("/users/{ada}"), "*", &json!({"roles": ["admin"]}))
        .await
        .expect_problem(403, "not_yours");
    // Nor are the hashes of those who may do more for the helper to guess at.
    let exported = helper.get("/export").await.expect(200).json();
    let hash = |name: &str| {
        let users = exported["items"].as_array().expect("items");
        users.iter().find(|user| user["username"] == name).expect("the user")["password_hash"].clone()
    };
    assert_eq!(hash(ADMIN), Value::Null);
    assert!(hash(USER).is_string());
    helper.post(&format!("/users/{ada}/reset"), &json!({})).await.expect(200);
    let given = json!({"roles": ["admin:sessions"]});
    helper.patch(&format!("/users/{ada}"), "*", &given).await.expect(200);
    assert_eq!(admin.get(&format!("/users/{root}")).await.json()["roles"], json!(["admin"]));
}

#[tokio::test]
async fn odd_users_are_refused_by_name_of_the_member() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    for (body, member) in [
        (json!({"username": "a b"}), "username"),
        (json!({"username": "ok", "roles": ["a b"]}), "roles"),
        (json!({"username": "ok", "claims": {"sub": "x"}}), "claims"),
        (json!({"username": "ok", "claims": {"x": "y".repeat(1300)}}), "roles"),
    ] {
        let refused = admin.post("/users", &body).await.expect_problem(400, "invalid_request");
        assert_eq!(refused.json()["member"], member, "{refused}");
    }
    for body in [
        json!({}),
        json!({"username": "ok", "password": "chosen-By 1 admin"}),
        json!({"username": "ok", "epoch": 1}),
        json!([]),
    ] {
        admin.post("/users", &body).await.expect_problem(400, "invalid_request");
    }
    admin.post("/users", &json!({"username": USER})).await.expect_problem(409, "already_exists");
    assert_eq!(admin.user("ok").await, Value::Null);
}

#[tokio::test]
async fn one_name_is_given_once_however_many_ask() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let replies = together(10, |_| {
        let admin = admin.clone();
        async move { admin.post("/users", &json!({"username": "popular"})).await }
    })
    .await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    let taken = replies.iter().filter(|reply| reply.json()["code"] == "already_exists").count();
    assert_eq!((made, made + taken), (1, 10));
}

#[tokio::test]
async fn an_operator_restores_access() {
    let tenant = Tenant::create(shared()).await;
    let before = tenant.admin().await;
    let restore = |name: &str| json!({"op": "admin.restore", "tenant": tenant.name, "username": name});
    let answer = shared().operator(&tenant.http, &restore(ADMIN)).await;
    before.get("/users").await.expect_problem(401, "invalid_token");
    tenant.set_password(ADMIN, answer["code"].as_str().expect("a code"), NEW).await.expect(204);
    tenant.admin_as(ADMIN, NEW, None).await.get("/users").await.expect(200);
    let made = shared().operator(&tenant.http, &restore("rescue")).await;
    tenant.set_password("rescue", made["code"].as_str().expect("a code"), NEW).await.expect(204);
    let rescue = tenant.admin_as("rescue", NEW, None).await;
    let audit = rescue.audit().await;
    assert_eq!(audit.iter().filter(|entry| entry["action"] == "user.restore").count(), 2);
}
