//! The keys of then, in every state, are led on; and the tenant ends as any does.

use leasehold_tests::tenant::{API, Session};
use serde_json::{Value, json};

use super::super::TENANT;
use super::Kept;
use crate::support::days;

fn kid(session: &Session) -> String {
    session.jwt().header["kid"].as_str().expect("a kid").to_owned()
}

#[tokio::test]
async fn keys_of_then_are_led_on_from_custody_to_custody() {
    let kept = Kept::start().await;
    let (tenant, kids) = (&kept.tenant, &kept.kids);
    let admin = tenant.admin().await;
    let keys = admin.get("/keys").await.expect(200).json();
    let items = keys["items"].as_array().expect("keys");
    let column = |name: &str| items.iter().map(|key| key[name].clone()).collect::<Vec<Value>>();
    assert_eq!(column("kid"), kids.iter().map(|kid| json!(kid)).collect::<Vec<Value>>());
    assert_eq!(json!(column("state")), json!(["compromised", "retiring", "active", "pending"]));
    assert_eq!(json!(column("custody")), json!(["kms", "kms", "wrapped", "wrapped"]));
    assert_eq!(json!(column("retained")), json!([false, true, false, false]));
    assert!(items[0]["disabled_at"].is_number() && items[1]["retire_at"].is_number(), "{keys}");
    // The spare, whose private half was wrapped then and has not signed yet.
    let promoted =
        admin.post(&format!("/keys/{}/promote", kids[3]), &json!({"force": true})).await.expect(200);
    let by_the_spare = tenant.login().await;
    assert_eq!(kid(&by_the_spare), kids[3], "{promoted}");
    kept.verify(&by_the_spare.access, API).await;
    // Back to the one in KMS, which retires.
    admin.post(&format!("/keys/{}/rollback", kids[1]), &json!({})).await.expect(200);
    let by_kms = tenant.rotate(kept.token("fresh")).await;
    assert_eq!(kid(&by_kms), kids[1]);
    for session in [&by_the_spare, &by_kms] {
        kept.verify(&session.access, API).await;
        tenant.sessions(&session.access).await.expect(200);
    }
    admin.post(&format!("/keys/{}/retain", kids[1]), &json!({"retain": false})).await.expect(200);
    admin.post(&format!("/keys/{}/rollback", kids[0]), &json!({})).await.expect_problem(409, "wrong_state");
    for custody in ["kms", "wrapped"] {
        let body = json!({"force": true, "custody": custody});
        let made = admin.post("/keys/rotate", &body).await.expect(200).json();
        let next = tenant.login().await;
        assert_eq!(kid(&next), made["key"]["kid"]);
        assert_eq!(made["key"]["custody"], custody);
        kept.verify(&next.access, API).await;
    }
    let swept = kept.stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
    assert_eq!(swept["failed"], 0, "{swept}");
    kept.all_was_carried_through().await;
    kept.all_was_read();
}

#[tokio::test]
async fn a_tenant_of_then_is_suspended_resumed_swept_and_removed() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let operator =
        async |op: &str| kept.stack.operator(&tenant.http, &json!({"op": op, "tenant": TENANT})).await;
    operator("tenant.suspend").await;
    tenant.refuses(kept.token("fresh")).await;
    operator("tenant.resume").await;
    tenant.refuses(kept.token("fresh")).await;
    tenant.login().await;
    let run = async || kept.stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
    let swept = run().await;
    assert_eq!(
        (&swept["failed"], &swept["tenants"]),
        (&json!(0), &json!(1)),
        "found in the directory: {swept}"
    );
    operator("tenant.delete").await;
    for _ in 0..3 {
        assert_eq!(run().await["failed"], 0);
        kept.clock.advance(days(8));
    }
    let shown = operator("tenant.show").await;
    let users = kept.items_of("user").len();
    assert!(shown["deletion"]["done_at"].is_number(), "{shown}");
    assert_eq!(shown["deletion"]["users"], users, "all of them were listed: {shown}");
    kept.all_was_read();
}
