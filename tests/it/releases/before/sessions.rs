//! Sessions go on as they were left, and those that had ended stay so.

use leasehold_tests::http::Call;
use leasehold_tests::tenant::{API, APP, BACKEND, Session, Tenant};
use serde_json::json;

use super::super::scene::{BLOCKED, DEAD, VERSION, gwens};
use super::Kept;

async fn refresh_backend(tenant: &Tenant, refresh_token: &str) -> Session {
    let reply = Call::post(tenant.url("/token"))
        .basic(BACKEND, &tenant.secret)
        .form(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
        .send(&tenant.http)
        .await;
    Session::from_reply(&reply.expect(200))
}

#[tokio::test]
async fn sessions_go_on_as_they_were_left() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let next = tenant.rotate(kept.token("fresh")).await;
    assert_eq!(next.generation(), 1);
    tenant.sessions(&next.access).await.expect(200);
    // A retry of ten minutes later: the successor that the other release sealed.
    let again = tenant.rotate(kept.token("previous")).await;
    assert!(again.replayed());
    assert_eq!(again.refresh, kept.token("current"));
    let next = tenant.rotate(kept.token("current")).await;
    assert_eq!((next.generation(), next.replayed()), (2, false));
    let confirmed = tenant.rotate(kept.token("confirmed")).await;
    assert_eq!(confirmed.generation(), 2);
    tenant.rotate(kept.token("at a device")).await;
    refresh_backend(tenant, kept.token("backend")).await;
    for what in DEAD {
        tenant.refuses(kept.token(what)).await;
    }
    tenant.rotate(kept.token("after it")).await;
    // A token that was spent for good, now in the wrong hands: the family ends.
    tenant.refuses(kept.token("spent")).await;
    tenant.refuses(&confirmed.refresh).await;
    kept.all_was_carried_through().await;
    kept.all_was_read();
}

#[tokio::test]
async fn a_tenant_in_custody_wrapped_signs_with_the_key_that_was_wrapped_then() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    for what in ["wrapped", "fresh"] {
        let next = tenant.rotate(kept.token(what)).await;
        assert_eq!(next.jwt().header["kid"], kept.kids[2].as_str(), "{what}");
        assert_eq!(next.body["expires_in"], 300, "the lifetime that the policy was given");
        kept.verify(&next.access, API).await;
        tenant.sessions(&next.access).await.expect(200);
        tenant.orders(&next.access).await.expect(200);
    }
    // What is published: the key that retires, the one that signs and the spare.
    let keys = tenant.jwks().await;
    let published: Vec<&str> =
        keys["keys"].as_array().expect("keys").iter().filter_map(|key| key["kid"].as_str()).collect();
    assert_eq!(published, kept.kids[1..]);
    kept.all_was_read();
}

#[tokio::test]
async fn what_was_granted_then_is_in_the_next_token() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let next = tenant.rotate(kept.token("with claims")).await;
    let (claims, profile) = (next.jwt().claims, gwens());
    for name in ["branch", "plan", "vip", "manager"] {
        assert_eq!(claims[name], profile["claims"][name], "{name}: {claims}");
    }
    let roles = json!(["auditor", "clerk"]);
    assert_eq!((&claims["roles"], &claims["permissions"]), (&roles, &profile["permissions"]));
    assert_eq!(next.body["scope"], "orders:read read", "what the user may have, and no openid unasked");
    let next = tenant.rotate(kept.token("openid")).await;
    let id_token = next.body["id_token"].as_str().expect("an ID token");
    let told = kept.verify(id_token, APP).await;
    assert_eq!(told["sub"], next.jwt().claims["sub"]);
    let call = Call::get(tenant.url("/userinfo")).bearer(&next.access);
    assert_eq!(call.send(&tenant.http).await.expect(200).json()["sub"], told["sub"]);
    kept.all_was_read();
}

#[tokio::test]
async fn a_version_that_was_blocked_is_refused_and_loses_nothing() {
    let kept = Kept::start().await;
    let refresh = async |version: &str| {
        let call = kept.tenant.refresh_call(kept.token("fresh")).header("x-client-version", version);
        call.send(&kept.tenant.http).await
    };
    let refused = refresh(BLOCKED).await.expect_error(403, "access_denied");
    assert_eq!(refused.json()["client_action"], "update_app");
    assert_eq!(Session::from_reply(&refresh(VERSION).await.expect(200)).generation(), 1);
    kept.all_was_read();
}
