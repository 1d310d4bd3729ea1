//! What an admin is told of a token: the check that fails, since when and by whom; and that nothing is told of tokens of
//! others, nothing repeated and nothing changed.

use leasehold_tests::http::{Call, Reply};
use leasehold_tests::stack::shared;
use leasehold_tests::table::Table;
use leasehold_tests::tenant::{ADMIN, ADMIN_PASSWORD, API, Admin, PASSWORD, Session, Tenant, USER};
use leasehold_tests::token::{Jwt, RefreshToken};
use serde_json::{Value, json};

use crate::forge::Forger;
use crate::support::{days, minutes, seconds, timed, together};

async fn ask(admin: &Admin, token: &str) -> Reply {
    let reply = admin.post("/explain", &json!({ "token": token })).await.expect(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    for part in token.split('.').filter(|part| part.len() > 20) {
        assert!(!reply.text().contains(part), "the token is repeated: {reply}");
    }
    reply
}

async fn told(admin: &Admin, token: &str) -> Value {
    ask(admin, token).await.json()
}

/// The answer without its time.
async fn answer(admin: &Admin, token: &str) -> String {
    let mut told = told(admin, token).await;
    told["server_time"].take();
    told.to_string()
}

fn check<'a>(told: &'a Value, name: &str) -> &'a Value {
    let checks = told["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["check"] == name).unwrap_or(&Value::Null)
}

/// The token is refused by these checks and no others, for the reason of the first.
#[track_caller]
fn fails(told: &Value, reason: &str, checks: &[&str]) {
    let all = told["checks"].as_array().expect("checks");
    let failed: Vec<&str> = all
        .iter()
        .filter(|check| check["outcome"] == "failed")
        .filter_map(|check| check["check"].as_str())
        .collect();
    assert_eq!((&told["good"], &told["reason"]), (&json!(false), &json!(reason)), "{told}");
    assert_eq!(failed, checks, "{told}");
}

async fn me(admin: &Admin) -> Value {
    admin.user(ADMIN).await["user_id"].clone()
}

#[tokio::test]
async fn good_tokens_are_told_to_be_good() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let tenant = Tenant::create_with(shared(), algorithm, json!({})).await;
        let (admin, session) = (tenant.admin().await, tenant.login().await);
        let access = told(&admin, &session.access).await;
        assert_eq!((&access["kind"], &access["good"]), (&json!("access_token"), &json!(true)), "{access}");
        assert_eq!((&access["reason"], &access["audit_log"]), (&Value::Null, &json!("not_needed")));
        let claims = session.jwt().claims;
        for name in ["sub", "sid", "client_id", "iat", "exp"] {
            assert_eq!(access["about"][name], claims[name], "{name}");
        }
        let refresh = told(&admin, &session.refresh).await;
        assert_eq!(
            (&refresh["kind"], &refresh["good"]),
            (&json!("refresh_token"), &json!(true)),
            "{refresh}"
        );
        assert_eq!(
            (&refresh["refresh"]["verdict"], &refresh["about"]["generation"]),
            (&json!("rotate"), &json!(0))
        );
        let own = told(&admin, &admin.token).await;
        assert_eq!(own["good"], true, "the admin's own, {own}");
        let body = json!({ "token": session.access, "audience": API });
        let named = admin.post("/explain", &body).await.expect(200).json();
        assert_eq!(
            (&named["good"], &check(&named, "audience")["outcome"]),
            (&json!(true), &json!("ok")),
            "{named}"
        );
    }
}

#[tokio::test]
async fn an_access_token_tells_which_check_refuses_it() {
    let tenant = Tenant::create_with(shared(), "EdDSA", json!({})).await;
    let (admin, session) = (tenant.admin().await, tenant.login().await);
    let forger = Forger::of(shared(), &tenant).await;
    let good = session.jwt();
    let claim = |name: &str, value: Value| {
        let mut jwt = good.clone();
        jwt.claims[name] = value;
        jwt
    };
    let head = |name: &str, value: Value| {
        let mut jwt = good.clone();
        jwt.header[name] = value;
        jwt
    };
    let now = good.claims["iat"].as_u64().expect("iat");
    let rows: Vec<(&str, Jwt, &str, &[&str])> = vec![
        (
            "expired",
            {
                let mut jwt = claim("iat", json!(now - 994));
                jwt.claims["exp"] = json!(now - 94);
                jwt
            },
            "expired",
            &["expiry"],
        ),
        (
            "issued ahead",
            {
                let mut jwt = claim("iat", json!(now + 600));
                jwt.claims["exp"] = json!(now + 900);
                jwt
            },
            "not_yet_valid",
            &["not_before"],
        ),
        ("another issuer", claim("iss", json!("https://auth.example/t/elsewhere")), "issuer", &["issuer"]),
        ("another tenant", claim("tid", json!("elsewhere")), "issuer", &["issuer"]),
        ("an old epoch", claim("ep", json!("0.7")), "epoch", &["user_epoch"]),
        ("a claim of another type", claim("exp", json!("soon")), "malformed", &["claims"]),
        ("too long a life", claim("exp", json!(now + 100_000)), "malformed", &["claims"]),
        ("no session", claim("sid", json!("0".repeat(32))), "session", &["session"]),
        ("a key of its own", head("jwk", json!({})), "header", &["type"]),
        ("another algorithm", head("alg", json!("RS256")), "algorithm", &["algorithm"]),
        ("no algorithm", head("alg", json!("none")), "algorithm", &["algorithm"]),
        ("another key", head("kid", json!("A".repeat(43))), "unknown_key", &["key"]),
    ];
    for (what, jwt, reason, checks) in rows {
        let told = told(&admin, &forger.sign(&jwt).await).await;
        fails(&told, reason, checks);
        assert_ne!(told["kind"], "refresh_token", "{what}");
    }
    let expired = {
        let mut jwt = claim("iat", json!(now - 994));
        jwt.claims["exp"] = json!(now - 94);
        jwt
    };
    let told_of = told(&admin, &forger.sign(&expired).await).await;
    assert_eq!(check(&told_of, "expiry")["since"], now - 94);
    fails(&told(&admin, &claim("scope", json!("admin:keys")).encode()).await, "signature", &["signature"]);
    let body = json!({ "token": session.access, "audience": "https://elsewhere.example" });
    fails(&admin.post("/explain", &body).await.expect(200).json(), "audience", &["audience"]);
    let id_token =
        tenant.login_for("openid").await.body["id_token"].as_str().expect("an ID token").to_owned();
    let told_of = told(&admin, &id_token).await;
    fails(&told_of, "header", &["type"]);
    assert_eq!(
        (&told_of["kind"], &check(&told_of, "signature")["outcome"]),
        (&json!("id_token"), &json!("ok"))
    );
    for text in ["x", "a.b.c", "", "lhr_x", &format!("Bearer {}", session.access), &"A".repeat(7000)] {
        fails(&told(&admin, text).await, "malformed", &["form"]);
    }
    assert_eq!(told(&admin, &session.access).await["good"], true, "the control");
}

#[tokio::test]
async fn who_ended_a_session_is_told_from_the_audit_log() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let (me, user) = (me(&admin).await, admin.user(USER).await["user_id"].clone());
    let id = user.as_str().expect("an id");
    let ended_by = |told: &Value, name: &str, action: &str, actor: &Value| {
        let by = check(told, name)["by"].clone();
        assert_eq!((&by["action"], &by["actor"]["id"]), (&json!(action), actor), "{told}");
        assert!(check(told, name)["since"].is_u64(), "{told}");
        assert_eq!(told["audit_log"], "searched");
    };
    let by_admin = tenant.login().await;
    admin.delete(&format!("/users/{id}/sessions/{}", by_admin.sid)).await.expect(204);
    let of_access = told(&admin, &by_admin.access).await;
    fails(&of_access, "session", &["session"]);
    ended_by(&of_access, "session", "session.end", &me);
    let of_refresh = told(&admin, &by_admin.refresh).await;
    fails(&of_refresh, "revoked", &["revoked"]);
    ended_by(&of_refresh, "revoked", "session.end", &me);
    assert_eq!(of_refresh["refresh"]["verdict"], "dead");

    let by_client = tenant.login().await;
    tenant.revoke(&by_client.refresh).await.expect(200);
    ended_by(&told(&admin, &by_client.access).await, "session", "session.revoke", &user);

    let stolen = tenant.login().await;
    let next = tenant.rotate(&tenant.rotate(&stolen.refresh).await.refresh).await;
    tenant.refuses(&stolen.refresh).await;
    let told_of = told(&admin, &next.refresh).await;
    fails(&told_of, "revoked", &["revoked"]);
    let by = &check(&told_of, "revoked")["by"];
    assert_eq!(
        (&by["action"], &by["actor"]["kind"]),
        (&json!("session.reuse"), &json!("service")),
        "{told_of}"
    );

    let everywhere = tenant.login().await;
    tenant.sign_out_everywhere(&everywhere.access).await.expect(204);
    let told_of = told(&admin, &everywhere.refresh).await;
    fails(&told_of, "epoch", &["user_epoch"]);
    ended_by(&told_of, "user_epoch", "user.sign_out", &user);

    let disabled = tenant.login().await;
    admin.patch(&format!("/users/{id}"), "*", &json!({"status": "disabled"})).await.expect(200);
    let told_of = told(&admin, &disabled.access).await;
    fails(&told_of, "epoch", &["user_epoch", "user"]);
    ended_by(&told_of, "user", "user.disable", &me);
    admin.delete(&format!("/users/{id}")).await.expect(204);
    let told_of = told(&admin, &disabled.refresh).await;
    assert_eq!(told_of["good"], false, "{told_of}");
    let told_of = told(&admin, &disabled.access).await;
    assert_eq!(check(&told_of, "user")["by"]["action"], "user.delete", "{told_of}");
}

#[tokio::test]
async fn what_ends_the_whole_tenant_or_a_key_is_told_too() {
    let stack = shared();
    let tenant = Tenant::create(stack).await;
    let session = tenant.login().await;
    let admin = tenant.admin().await;
    let who = me(&admin).await;
    admin.delete("/sessions").await.expect(204);
    let admin = tenant.admin().await;
    let told_of = told(&admin, &session.refresh).await;
    fails(&told_of, "epoch", &["tenant_epoch"]);
    assert_eq!(check(&told_of, "tenant_epoch")["by"]["actor"]["id"], who, "{told_of}");

    let session = tenant.login().await;
    stack.operator(&tenant.http, &json!({"op": "tenant.suspend", "tenant": tenant.name})).await;
    let body = json!({ "token": session.access });
    admin.post("/explain", &body).await.expect_problem(401, "invalid_token");
    stack.operator(&tenant.http, &json!({"op": "tenant.resume", "tenant": tenant.name})).await;
    let admin = tenant.admin().await;
    let told_of = told(&admin, &session.access).await;
    fails(&told_of, "epoch", &["tenant_epoch"]);
    let by = &check(&told_of, "tenant_epoch")["by"];
    assert_eq!(
        (&by["action"], &by["actor"]["kind"]),
        (&json!("tenant.suspend"), &json!("operator")),
        "{told_of}"
    );

    let session = tenant.login().await;
    let kid = session.jwt().header["kid"].as_str().expect("a kid").to_owned();
    admin.post(&format!("/keys/{kid}/compromise"), &json!({})).await.expect(200);
    let admin = tenant.admin().await;
    let told_of = told(&admin, &session.access).await;
    fails(&told_of, "key", &["key"]);
    assert!(check(&told_of, "key")["since"].is_u64(), "{told_of}");
    assert_eq!(check(&told_of, "key")["by"]["action"], "key.compromise", "{told_of}");
}

#[tokio::test]
async fn time_alone_ends_tokens_sessions_and_keys_and_says_since_when() {
    let timed = timed().await;
    let policy = json!({"access_token_seconds": 60, "idle_seconds": 86_400, "key_propagation_seconds": 0});
    let tenant = Tenant::create_with(&timed.stack, "ES256", policy).await;
    let session = tenant.login().await;
    let exp = session.jwt().claims["exp"].as_i64().expect("exp");
    timed.clock.set(exp + 94);
    let admin = tenant.admin().await;
    let told_of = told(&admin, &session.access).await;
    fails(&told_of, "expired", &["expiry"]);
    let expiry = check(&told_of, "expiry");
    assert_eq!(expiry["since"], exp);
    assert!(expiry["detail"].as_str().is_some_and(|detail| detail.starts_with("It expired 9")), "{told_of}");

    admin.post("/keys/rotate", &json!({"force": true})).await.expect(200);
    timed.clock.advance(minutes(150));
    let admin = tenant.admin().await;
    let told_of = told(&admin, &session.access).await;
    fails(&told_of, "unknown_key", &["key", "expiry"]);
    let retired = check(&told_of, "key")["since"].as_i64().expect("a moment");
    assert!(retired > exp && retired <= timed.clock.now(), "{told_of}");

    timed.clock.advance(days(2));
    let admin = tenant.admin().await;
    let told_of = told(&admin, &session.refresh).await;
    assert_eq!(told_of["good"], false, "{told_of}");
    assert!(["idle", "unknown"].contains(&told_of["reason"].as_str().unwrap_or_default()), "{told_of}");
}

#[tokio::test]
async fn a_refresh_token_tells_its_generation_and_what_a_refresh_would_give() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    let admin = tenant.admin().await;
    let verdict = |told: &Value| told["refresh"]["verdict"].as_str().expect("a verdict").to_owned();
    assert_eq!(verdict(&told(&admin, &first.refresh).await), "replay");
    timed.clock.advance(seconds(90));
    assert_eq!(verdict(&told(&admin, &first.refresh).await), "late_replay");
    let third = tenant.rotate(&second.refresh).await;
    let spent = told(&admin, &first.refresh).await;
    fails(&spent, "reuse", &["generation"]);
    assert_eq!(verdict(&spent), "reuse");
    tenant.confirm(&third.refresh).await.expect(204);
    let confirmed = told(&admin, &second.refresh).await;
    fails(&confirmed, "reuse", &["generation"]);
    assert!(check(&confirmed, "generation")["since"].is_u64(), "{confirmed}");
    let changed = |change: fn(&mut RefreshToken)| {
        let mut token = third.token();
        change(&mut token);
        token.encode()
    };
    for (what, text, name) in [
        ("another secret", changed(|token| token.secret[0] ^= 1), "secret"),
        ("another proof", changed(|token| token.proof[0] ^= 1), "lineage"),
        ("a generation to come", changed(|token| token.generation += 1), "lineage"),
        ("another session", changed(|token| token.family[0] ^= 1), "session"),
        ("another user", changed(|token| token.user[0] ^= 1), "session"),
    ] {
        let told = told(&admin, &text).await;
        fails(&told, "unknown", &[name]);
        assert!(told["about"].is_null() && verdict(&told) == "unknown", "{what}: {told}");
    }
    assert_eq!(verdict(&told(&admin, &third.refresh).await), "rotate");
}

#[tokio::test]
async fn asking_changes_no_session_however_many_ask_what_about() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    let third = tenant.rotate(&second.refresh).await;
    let admin = tenant.admin().await;
    let table = Table::open(&shared().endpoint("dynamodb"), &tenant.http).await;
    let family = async || {
        let items = table.dump_tenant(&tenant.name).await;
        items.into_iter().find(|item| item["SK"]["S"] == format!("F#{}", first.sid)).expect("the family")
    };
    let before = family().await;
    let tokens = [first.refresh.clone(), second.refresh.clone(), third.refresh.clone(), third.access.clone()];
    together(12, |n| {
        let (admin, token) = (admin.clone(), tokens[n % tokens.len()].clone());
        async move { drop(told(&admin, &token).await) }
    })
    .await;
    assert_eq!(family().await, before);
    let next = tenant.rotate(&third.refresh).await;
    assert_eq!(next.generation(), 3);
}

#[tokio::test]
async fn a_foreign_token_gets_the_answer_of_one_that_nobody_issued() {
    let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let admin = here.admin().await;
    let theirs = there.login().await;
    let mut rows = vec![theirs.access.clone()];
    let mut jwt = theirs.jwt();
    jwt.claims["tid"] = json!("no-such-tenant");
    jwt.claims["iss"] = json!("https://nowhere.example/t/no-such-tenant");
    rows.push(jwt.encode());
    jwt.header["kid"] = json!("B".repeat(43));
    jwt.claims["exp"] = json!(1);
    rows.push(jwt.encode());
    there.revoke(&theirs.refresh).await.expect(200);
    rows.push(theirs.access.clone());
    there.admin().await.delete("/sessions").await.expect(204);
    rows.push(theirs.access.clone());
    let first = answer(&admin, &rows[0]).await;
    assert!(
        first.contains("unknown_key") && !first.contains(&there.name) && first.contains(r#""about":null"#),
        "{first}"
    );
    for token in &rows {
        assert_eq!(answer(&admin, token).await, first);
    }

    let (alive, ended) = (there.login().await, there.login().await);
    there.revoke(&ended.refresh).await.expect(200);
    let mut made_up = alive.token();
    (made_up.user, made_up.family) = ([7; 16], [8; 16]);
    let mut crossed = alive.token();
    crossed.user = here.login().await.token().user;
    let first = answer(&admin, &alive.refresh).await;
    assert!(
        first.contains(r#""unknown""#) && !first.contains(&there.name) && first.contains(r#""about":null"#),
        "{first}"
    );
    for token in [ended.refresh.clone(), made_up.encode(), crossed.encode()] {
        assert_eq!(answer(&admin, &token).await, first);
    }
    there.rotate(&alive.refresh).await;
    there.admin().await.post("/explain", &json!({ "token": alive.access })).await.expect(200);
}

#[tokio::test]
async fn every_question_is_in_the_audit_log_and_no_token_is() {
    let tenant = Tenant::create(shared()).await;
    let (admin, session) = (tenant.admin().await, tenant.login().await);
    told(&admin, &session.access).await;
    tenant.revoke(&session.refresh).await.expect(200);
    told(&admin, &session.refresh).await;
    told(&admin, "rubbish.of.mine").await;
    let helper = tenant.admin_as(ADMIN, ADMIN_PASSWORD, Some("admin:users")).await;
    helper
        .post("/explain", &json!({ "token": session.access }))
        .await
        .expect_problem(403, "insufficient_scope");
    let audit = admin.audit().await;
    let asked: Vec<&Value> = audit.iter().filter(|entry| entry["action"] == "token.explain").collect();
    let shown: Vec<(&Value, &Value, &Value)> =
        asked.iter().map(|entry| (&entry["outcome"], &entry["target"], &entry["detail"])).collect();
    let sid = json!(session.sid);
    assert_eq!(
        shown,
        [
            (&json!("refused"), &Value::Null, &json!({})),
            (&json!("ok"), &Value::Null, &json!({"kind": "unknown", "good": false, "reason": "malformed"})),
            (&json!("ok"), &sid, &json!({"kind": "refresh_token", "good": false, "reason": "revoked"})),
            (&json!("ok"), &sid, &json!({"kind": "access_token", "good": true})),
        ]
    );
    let text = json!(audit).to_string();
    for part in session.access.split('.').chain([&session.refresh[4..], "rubbish"]) {
        assert!(!text.contains(part), "{part}");
    }
}

#[tokio::test]
async fn by_whom_is_told_only_to_who_may_read_the_audit_log() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    tenant.revoke(&session.refresh).await.expect(200);
    let helper = tenant.admin_as(ADMIN, ADMIN_PASSWORD, Some("admin:sessions")).await;
    let told_of = told(&helper, &session.access).await;
    fails(&told_of, "session", &["session"]);
    assert_eq!(told_of["audit_log"], "not_allowed");
    assert!(check(&told_of, "session").get("by").is_none(), "{told_of}");
    let both = tenant.admin_as(ADMIN, ADMIN_PASSWORD, Some("admin:sessions admin:audit")).await;
    assert!(check(&told(&both, &session.access).await, "session")["by"].is_object());
}

#[tokio::test]
async fn what_asks_nothing_is_refused() {
    let tenant = Tenant::create(shared()).await;
    let (admin, session) = (tenant.admin().await, tenant.login().await);
    for body in [
        json!({}),
        json!({"token": null}),
        json!({"token": 7}),
        json!({"token": [session.access]}),
        json!({"token": session.access, "tenant": "another"}),
        json!({"token": session.access, "audience": 7}),
        json!([session.access]),
    ] {
        let refused = admin.post("/explain", &body).await.expect_problem(400, "invalid_request");
        assert!(!refused.text().contains(&session.access), "{refused}");
    }
    let call = || admin.call("POST", "/explain");
    admin
        .send(call().form(&[("token", &session.access)]))
        .await
        .expect_problem(415, "unsupported_media_type");
    let long = json!({ "token": "A".repeat(9000) });
    admin.send(call().json(&long)).await.expect_problem(413, "payload_too_large");
    let twice = format!(r#"{{"token":"{}","token":"x"}}"#, session.access);
    admin.send(call().body("application/json", twice)).await.expect_problem(400, "invalid_request");
    let user = Session::from_reply(&tenant.login_as(USER, PASSWORD).await.expect(200));
    let as_user = Call::post(format!("{}/explain", admin.base)).bearer(&user.access);
    admin.send(as_user.json(&json!({ "token": user.access }))).await.expect_problem(401, "invalid_token");
}
