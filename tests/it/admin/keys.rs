//! A key's life, led by an admin.

use leasehold_tests::clock::Clock;
use leasehold_tests::http::Reply;
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::tenant::{Admin, Session, Tenant};
use serde_json::{Value, json};

use crate::support::{days, kms_keys, seconds, timed, together};

/// What the published keys' ids are.
async fn published(tenant: &Tenant) -> Vec<String> {
    let keys = tenant.jwks().await;
    let kid = |key: &Value| key["kid"].as_str().unwrap_or_default().to_owned();
    keys["keys"].as_array().expect("keys").iter().map(kid).collect()
}

fn kid(session: &Session) -> String {
    session.jwt().header["kid"].as_str().expect("a kid").to_owned()
}

fn rotated(reply: &Reply) -> String {
    reply.json()["key"]["kid"].as_str().expect("a kid").to_owned()
}

#[tokio::test]
async fn a_rotation_is_published_first_and_signs_by_itself_when_it_is_known() {
    let timed = timed().await;
    let tenant = Tenant::with_policy(&timed.stack, json!({"key_propagation_seconds": 600})).await;
    let admin = tenant.admin().await;
    let first = kid(&tenant.login().await);
    let answer = admin.post("/keys/rotate", &json!({})).await.expect(200);
    let second = rotated(&answer);
    let active_from = answer.number("active_from");
    // The time that verifiers need, and the deadline of the request that published the key.
    assert!((605..=615).contains(&(active_from - timed.clock.now())), "{answer}");
    assert_eq!(answer.json()["previous"], first.as_str());
    assert_eq!(published(&tenant).await, [first.clone(), second.clone()], "published at once");
    let session = tenant.login().await;
    assert_eq!(kid(&session), first, "the old key signs until verifiers know the new one");
    timed.clock.advance(seconds(600));
    assert_eq!(kid(&tenant.login().await), first);
    timed.clock.advance(seconds(15));
    let later = tenant.login().await;
    assert_eq!(kid(&later), second, "no job had to run");
    tenant.verify(&session.access).await.expect("a token of the old key verifies");
    tenant.verify(&later.access).await.expect("and one of the new key");
    let list = tenant.admin().await.get("/keys").await.expect(200).json();
    assert_eq!(list["signing"], second.as_str());
    assert_eq!(list["items"][0]["state"], "retiring");
    // Published as long as a token that it signed can live, and no longer.
    timed.clock.advance(seconds(3960));
    assert_eq!(published(&tenant).await, [first, second.clone()]);
    timed.clock.advance(seconds(30));
    assert_eq!(published(&tenant).await, [second]);
}

#[tokio::test]
async fn promotion_before_propagation_is_refused_with_the_time_unless_it_is_forced() {
    let timed = timed().await;
    let tenant = Tenant::with_policy(&timed.stack, json!({"key_propagation_seconds": 600})).await;
    let admin = tenant.admin().await;
    let second = rotated(&admin.post("/keys/rotate", &json!({})).await.expect(200));
    let path = format!("/keys/{second}/promote");
    let refused = admin.post(&path, &json!({})).await.expect_problem(409, "too_early");
    let wait = refused.number("earliest_at") - timed.clock.now();
    assert!((605..=611).contains(&wait), "{refused}");
    let forced = admin.post(&path, &json!({"force": true})).await.expect(200);
    assert_eq!(forced.json()["forced"], true);
    assert_eq!(kid(&tenant.login().await), second);
    let audit = admin.audit().await;
    let promotions: Vec<&Value> = audit.iter().filter(|entry| entry["action"] == "key.promote").collect();
    assert_eq!(promotions.len(), 2, "{audit:?}");
    assert_eq!((&promotions[0]["outcome"], &promotions[0]["detail"]["forced"]), (&json!("ok"), &json!(true)));
    assert_eq!(
        (&promotions[1]["outcome"], &promotions[1]["reason"]),
        (&json!("refused"), &json!("too_early"))
    );
    admin.post(&path, &json!({})).await.expect_problem(409, "wrong_state");
}

#[tokio::test]
async fn a_forced_rotation_signs_at_once_and_roll_back_too() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let first = kid(&tenant.login().await);
    let second = rotated(&admin.post("/keys/rotate", &json!({"force": true})).await.expect(200));
    let session = tenant.login().await;
    assert_eq!(kid(&session), second);
    admin.post(&format!("/keys/{first}/rollback"), &json!({})).await.expect(200);
    assert_eq!(kid(&tenant.login().await), first);
    tenant.verify(&session.access).await.expect("what the other key signed stays good");
    admin.post(&format!("/keys/{second}/rollback"), &json!({})).await.expect(200);
    assert_eq!(kid(&tenant.login().await), second);
}

#[tokio::test]
async fn a_planned_switch_can_be_called_off_and_its_key_is_the_next_ones_spare() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let first = kid(&tenant.login().await);
    let second = rotated(&admin.post("/keys/rotate", &json!({})).await.expect(200));
    let refused = admin.post("/keys/rotate", &json!({})).await.expect_problem(409, "rotation_planned");
    assert_eq!(refused.json()["kid"], second.as_str());
    admin.post(&format!("/keys/{first}/rollback"), &json!({})).await.expect(200);
    assert_eq!(admin.get("/keys").await.json()["planned"], Value::Null);
    assert_eq!(rotated(&admin.post("/keys/rotate", &json!({})).await.expect(200)), second, "no third key");
}

#[tokio::test]
async fn algorithm_and_custody_change_with_a_rotation() {
    let tenant = Tenant::create_with(shared(), "RS256", json!({})).await;
    let admin = tenant.admin().await;
    let before = tenant.login().await;
    for (algorithm, custody) in
        [("ES256", "kms"), ("EdDSA", "wrapped"), ("RS256", "wrapped"), ("RS256", "kms")]
    {
        let body = json!({"force": true, "algorithm": algorithm, "custody": custody});
        let answer = admin.post("/keys/rotate", &body).await.expect(200).json();
        assert_eq!(
            (&answer["key"]["algorithm"], &answer["key"]["custody"]),
            (&json!(algorithm), &json!(custody))
        );
        let session = tenant.login().await;
        assert_eq!(session.jwt().header["alg"], algorithm);
        tenant.verify(&session.access).await.expect("verifies with the published keys");
        let policy = admin.get("/policy").await.json();
        assert_eq!(policy["policy"]["algorithm"], algorithm, "the next rotation is of this kind too");
    }
    tenant.verify(&before.access).await.expect("a token of the first key still verifies");
    tenant.rotate(&before.refresh).await;
}

#[tokio::test]
async fn a_compromised_key_is_out_at_once_and_sessions_live_on() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    let first = kid(&session);
    tenant.sessions(&session.access).await.expect(200);
    let answer = admin.post(&format!("/keys/{first}/compromise"), &json!({})).await.expect(200).json();
    assert_eq!(answer["key"]["state"], "compromised");
    assert!(answer["key"]["disabled_at"].is_number(), "disabled in KMS at once: {answer}");
    let replacement = answer["replacement"].as_str().expect("a replacement").to_owned();
    assert_eq!(published(&tenant).await, [replacement.as_str()]);
    tenant.sessions(&session.access).await.expect(401);
    tenant.verify(&session.access).await.expect_err("no published key has signed it");
    let next = tenant.rotate(&session.refresh).await;
    assert_eq!(kid(&next), replacement, "the session refreshes onto the new key");
    tenant.sessions(&next.access).await.expect(200);
    // The admin's own token was signed by that key.
    admin.get("/keys").await.expect_problem(401, "invalid_token");
    let admin = tenant.admin().await;
    let again = admin.post(&format!("/keys/{first}/compromise"), &json!({})).await.expect(200).json();
    assert_eq!(again["replacement"], Value::Null, "twice is once");
    admin.post(&format!("/keys/{first}/rollback"), &json!({})).await.expect_problem(409, "wrong_state");
}

#[tokio::test]
async fn a_spare_takes_over_from_a_compromised_key() {
    let timed = timed().await;
    let policy = json!({"spare_key": true, "key_propagation_seconds": 60});
    let tenant = Tenant::with_policy(&timed.stack, policy).await;
    timed.stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
    let keys = published(&tenant).await;
    assert_eq!(keys.len(), 2, "the schedule has made a spare");
    let admin = tenant.admin().await;
    let first = kid(&tenant.login().await);
    let answer = admin.post(&format!("/keys/{first}/compromise"), &json!({})).await.expect(200).json();
    assert!(keys.contains(&answer["replacement"].as_str().expect("a kid").to_owned()), "published before");
}

#[tokio::test]
async fn twenty_rotations_at_once_leave_one_active_key_and_none_over() {
    // A stack of its own: the schedule visits every tenant there is.
    let clock = Clock::start();
    let stack = Setup::default().instances(4).clock(&clock).start();
    for forced in [false, true] {
        let tenant = Tenant::create(&stack).await;
        let admin = tenant.admin().await;
        assert_eq!(kms_keys(&stack, &tenant).await, [1, 0]);
        let replies = together(20, |_| {
            let admin = admin.clone();
            async move { admin.post("/keys/rotate", &json!({"force": forced})).await }
        })
        .await;
        let count = |wanted: &dyn Fn(&Reply) -> bool| replies.iter().filter(|reply| wanted(reply)).count();
        let done = count(&|reply| reply.status == 200);
        let statuses = || replies.iter().map(Reply::text).collect::<Vec<_>>();
        let keys = admin.get("/keys").await.json();
        let found: Vec<&Value> =
            keys["items"].as_array().expect("items").iter().map(|key| &key["state"]).collect();
        if forced {
            // They come one after the other, to the ring's end. To a request whose clock read a millisecond less the key of
            // another is planned.
            let stood_aside = ["too_many_keys", "rotation_planned"];
            let refused = count(&|reply| reply.status == 503 || stood_aside.contains(&code(reply).as_str()));
            assert_eq!(done + refused, 20, "{:?}", statuses());
            assert_eq!(found.len(), 1 + done, "{keys}");
        } else {
            let planned = count(&|reply| code(reply) == "rotation_planned");
            assert_eq!((done, planned), (1, 19), "{:?}", statuses());
            assert_eq!(found, ["active", "pending"]);
        }
        assert_eq!(found.iter().filter(|state| **state == "active").count(), 1, "{keys}");
        assert_eq!(kms_keys(&stack, &tenant).await[0], found.len(), "enabled are those of the ring");
        // The janitor looks at keys of an hour and more; by then the retired ones are put away too.
        clock.advance(seconds(4100));
        for _ in 0..2 {
            stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
        }
        let shown = stack.operator(&tenant.http, &json!({"op": "tenant.show", "tenant": tenant.name})).await;
        let ring = shown["keys"].as_array().expect("keys");
        let disabled = ring.iter().filter(|key| key["disabled_at"].is_number()).count();
        let in_ring = [ring.len() - disabled, disabled];
        assert_eq!(kms_keys(&stack, &tenant).await, in_ring, "KMS has the ring's keys and no other: {shown}");
        assert_eq!(ring.iter().filter(|key| key["state"] == "active").count(), 1, "{shown}");
    }
}

fn code(reply: &Reply) -> String {
    reply.json()["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn retired_keys_are_disabled_then_destroyed_unless_retained() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let admin = tenant.admin().await;
    let first = kid(&tenant.login().await);
    admin.post("/keys/rotate", &json!({"force": true})).await.expect(200);
    let second = kid(&tenant.login().await);
    admin.post("/keys/rotate", &json!({"force": true})).await.expect(200);
    admin.post(&format!("/keys/{first}/retain"), &json!({})).await.expect(200);
    let run = async || {
        timed.stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
        let tenant_now =
            timed.stack.operator(&tenant.http, &json!({"op": "tenant.show", "tenant": tenant.name})).await;
        let find = |kid: &str| {
            let keys = tenant_now["keys"].as_array().expect("keys");
            keys.iter().find(|key| key["kid"] == kid).cloned().unwrap_or(Value::Null)
        };
        (find(&first), find(&second))
    };
    let (_, early) = run().await;
    assert_eq!((&early["state"], &early["disabled_at"]), (&json!("retiring"), &Value::Null));
    timed.clock.advance(seconds(4000));
    let (kept, going) = run().await;
    assert_eq!((&kept["state"], &kept["disabled_at"]), (&json!("retired"), &Value::Null), "retained");
    assert!(going["state"] == "retired" && going["disabled_at"].is_number(), "{going}");
    timed.clock.advance(days(7));
    let (kept, gone) = run().await;
    assert_eq!((&kept["state"], &gone), (&json!("retired"), &Value::Null), "destroyed and out of the ring");
    let admin = tenant.admin().await;
    admin.post(&format!("/keys/{first}/retain"), &json!({"retain": false})).await.expect(200);
    let (going, _) = run().await;
    assert!(going["disabled_at"].is_number(), "{going}");
    // A disabled key can still be the way back, until its end is decided.
    let back = admin.post(&format!("/keys/{first}/rollback"), &json!({})).await.expect(200).json();
    assert_eq!((&back["key"]["state"], &back["key"]["disabled_at"]), (&json!("pending"), &Value::Null));
    timed.clock.advance(seconds(7300));
    assert_eq!(kid(&tenant.login().await), first, "it signs again, in KMS too");
}

#[tokio::test]
async fn steps_on_keys_that_there_are_not_or_by_odd_bodies_change_nothing() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let before = admin.get("/keys").await.json();
    let nobody = "A".repeat(43);
    for step in ["promote", "rollback", "retain", "compromise"] {
        admin.post(&format!("/keys/{nobody}/{step}"), &json!({})).await.expect_problem(404, "not_found");
        admin.post(&format!("/keys/x/{step}"), &json!({})).await.expect_problem(404, "not_found");
    }
    for body in
        [json!({"algorithm": "HS256"}), json!({"custody": "file"}), json!({"force": "yes"}), json!({"x": 1})]
    {
        admin.post("/keys/rotate", &body).await.expect_problem(400, "invalid_request");
    }
    let stale = admin.call("POST", "/keys/rotate").header("if-match", "\"000000000000000000000000\"");
    admin.send(stale).await.expect_problem(412, "precondition_failed");
    assert_eq!(admin.get("/keys").await.json(), before);
}

#[tokio::test]
async fn the_operator_says_what_custody_a_tenant_may_choose() {
    let tenant = Tenant::create(shared()).await;
    let limit = json!({"op": "tenant.limit", "tenant": tenant.name, "allowed_custody": ["kms"]});
    let admin = tenant.admin().await;
    admin.patch("/policy", "*", &json!({"custody": "wrapped"})).await.expect(200);
    shared().operator(&tenant.http, &limit).await;
    assert_eq!(
        admin.get("/policy").await.json()["policy"]["custody"],
        "kms",
        "the choice of before is no longer one"
    );
    let refused = admin.post("/keys/rotate", &json!({"custody": "wrapped"})).await;
    refused.expect_problem(403, "custody_not_allowed");
    let policy = admin.get("/policy").await.expect(200);
    let change = admin.patch("/policy", policy.header("etag"), &json!({"custody": "wrapped"})).await;
    change.expect_problem(403, "custody_not_allowed");
    admin.post("/keys/rotate", &json!({"custody": "kms"})).await.expect(200);
}

#[tokio::test]
async fn trouble_in_kms_is_ours_and_a_compromised_key_goes_all_the_same() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    proxy.inject(Rule::on("CreateKey", Action::Error("KMSInternalException")).times(1000));
    admin.post("/keys/rotate", &json!({})).await.expect_problem(503, "temporarily_unavailable");
    assert_eq!(admin.get("/keys").await.json()["items"].as_array().map(Vec::len), Some(1));
    let first = kid(&session);
    let answer = admin.post(&format!("/keys/{first}/compromise"), &json!({})).await.expect(200).json();
    assert_eq!(answer["replacement"], Value::Null);
    tenant.sessions(&session.access).await.expect(401);
    assert_eq!(published(&tenant).await, Vec::<String>::new());
    // Nobody can sign in meanwhile; that is our trouble, and nobody loses a session over it.
    assert_eq!(tenant.refresh(&session.refresh).await.status, 503);
    proxy.heal();
    stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
    let next = tenant.rotate(&session.refresh).await;
    tenant.sessions(&next.access).await.expect(200);
}

#[tokio::test]
async fn a_new_key_that_kms_does_not_know_yet_leaves_the_old_one_signing() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let admin = tenant.admin().await;
    let first = kid(&tenant.login().await);
    let second = rotated(&admin.post("/keys/rotate", &json!({"force": true})).await.expect(200));
    proxy.inject(Rule::on("Sign", Action::Error("NotFoundException")).nth(1));
    let session = tenant.login().await;
    assert_eq!(kid(&session), first, "the key before signs meanwhile");
    tenant.verify(&session.access).await.expect("and is published");
    proxy.heal();
    assert_eq!(kid(&tenant.login().await), second);
}

#[tokio::test]
async fn a_compromised_key_that_kms_does_not_know_yet_stays_due_to_be_disabled() {
    let (proxy, clock) = (Proxy::start(), Clock::start());
    let stack = Setup::default().through(&proxy).clock(&clock).start();
    let tenant = Tenant::create(&stack).await;
    let admin = tenant.admin().await;
    let compromise = async |admin: &Admin| {
        let kid = kid(&tenant.login().await);
        proxy.inject(Rule::on("DisableKey", Action::Error("NotFoundException")).nth(1));
        let answer = admin.post(&format!("/keys/{kid}/compromise"), &json!({})).await.expect(200).json();
        proxy.heal();
        answer
    };
    let fresh = compromise(&admin).await;
    assert_eq!(fresh["key"]["disabled_at"], Value::Null, "{fresh}");
    stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
    let admin = tenant.admin().await;
    let ring = admin.get("/keys").await.expect(200).json();
    let of = |kid: &Value| {
        let keys = ring["items"].as_array().expect("keys");
        keys.iter().find(|key| key["kid"] == *kid).expect("the key").clone()
    };
    assert!(of(&fresh["key"]["kid"])["disabled_at"].is_number(), "{ring}");
    // A key that has been there for longer and is not known is gone.
    clock.advance(seconds(300));
    let gone = compromise(&tenant.admin().await).await;
    assert!(gone["key"]["disabled_at"].is_number(), "{gone}");
}
