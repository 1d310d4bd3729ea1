//! Both releases at once on one table and one KMS, as while Lambda changes over. By hand, since it needs the other
//! release's binaries: see the module above.

use leasehold_tests::stack::Setup;
use leasehold_tests::tenant::{PASSWORD, Session, Tenant, USER};
use serde_json::json;

use super::{NEW_PASSWORD, previous, scene};
use crate::support::together;

#[tokio::test]
#[ignore = "needs the binaries of the release before in PREVIOUS"]
async fn both_releases_serve_one_table() {
    let stack = Setup::default().start();
    let other = Setup::default()
        .binaries(&previous())
        .endpoints(&stack.endpoint("dynamodb"), &stack.endpoint("kms"))
        .public_url(&stack.base_url())
        .start();
    for (maker, visitor) in [(&stack, &other), (&other, &stack)] {
        let name = leasehold_tests::tenant::fresh_name();
        let held = scene(maker, &name).await;
        let here = Tenant {
            issuer: format!("{}/t/{name}", stack.base_url()),
            base: format!("{}/t/{name}", maker.base_url()),
            secret: held.secret.clone(),
            name: name.clone(),
            http: leasehold_tests::http::Http::new(),
        };
        let there = Tenant { base: format!("{}/t/{name}", visitor.base_url()), ..here.clone() };
        // One family, handed to and fro, with a lost reply at each hand-over.
        let mut token = held.tokens["fresh"].clone();
        for round in 0..6 {
            let (one, two) = if round % 2 == 0 { (&there, &here) } else { (&here, &there) };
            let next = one.rotate(&token).await;
            let again = two.rotate(&token).await;
            assert_eq!((&again.refresh, again.replayed()), (&next.refresh, true));
            two.sessions(&next.access).await.expect(200);
            one.verify(&next.access).await.expect("verifies");
            two.verify(&again.access).await.expect("verifies");
            two.confirm(&next.refresh).await.expect(204);
            token = next.refresh;
        }
        // Both at once, one token: one successor.
        let replies = together(8, |n| {
            let side = if n % 2 == 0 { here.clone() } else { there.clone() };
            let token = token.clone();
            async move { side.refresh(&token).await }
        })
        .await;
        let successors: std::collections::BTreeSet<String> = replies
            .iter()
            .filter(|reply| reply.status == 200)
            .map(|reply| reply.string("refresh_token"))
            .collect();
        assert_eq!(successors.len(), 1, "{replies:?}");
        there.rotate(&held.tokens["current"]).await;
        for dead in ["revoked", "ended by theft", "before a new password"] {
            there.refuses(&held.tokens[dead]).await;
        }
        // What one ends, the other refuses.
        let (mine, theirs) = (here.login().await, there.login().await);
        there.revoke(&mine.refresh).await.expect(200);
        here.refuses(&mine.refresh).await;
        here.revoke(&theirs.refresh).await.expect(200);
        there.refuses(&theirs.refresh).await;
        there.sessions(&theirs.access).await.expect(401);
        there.change_password("bob", NEW_PASSWORD, PASSWORD).await.expect(204);
        here.login_as("bob", PASSWORD).await.expect(200);
        here.refuses(&held.tokens["after it"]).await;
        let session = there.login().await;
        here.sign_out_everywhere(&session.access).await.expect(204);
        there.refuses(&session.refresh).await;
        for op in ["tenant.suspend", "tenant.resume"] {
            visitor.operator(&there.http, &json!({"op": op, "tenant": name})).await;
        }
        let session = Session::from_reply(&here.login_as(USER, PASSWORD).await.expect(200));
        // Administration is this release's alone; the other signs with the keys that it makes.
        let now = Tenant { base: format!("{}/t/{name}", stack.base_url()), ..here.clone() };
        let then = Tenant { base: format!("{}/t/{name}", other.base_url()), ..here.clone() };
        let admin = now.admin().await;
        let rotated = admin.post("/keys/rotate", &json!({"force": true})).await.expect(200);
        let kid = rotated.json()["key"]["kid"].clone();
        let signed = [now.login().await, then.login().await];
        for session in &signed {
            assert_eq!(session.jwt().header["kid"], kid);
            now.sessions(&session.access).await.expect(200);
            then.sessions(&session.access).await.expect(200);
        }
        assert_eq!(now.jwks().await, then.jwks().await);
        // The rule's other half: a *value* that the other release has no word for, chosen before it is gone. It can't read the
        // tenant, says so, and takes no session with it.
        admin.post("/keys/rotate", &json!({"force": true, "custody": "wrapped"})).await.expect(200);
        then.login_as(USER, PASSWORD).await.expect_error(500, "server_error");
        then.refresh(&session.refresh).await.expect_error(500, "server_error");
        now.rotate(&session.refresh).await;
    }
    let logs = stack.logs();
    let unread: Vec<&str> =
        logs.lines().filter(|line| line.contains("corrupt") || line.contains("panic")).collect();
    assert!(unread.is_empty(), "{unread:?}");
}
