//! Sessions, handed to and fro between two releases; what one ends, the other refuses.

use std::collections::BTreeSet;

use leasehold_tests::http::Call;
use leasehold_tests::tenant::{PASSWORD, Session, USER};
use serde_json::json;

use super::super::scene::{BLOCKED, DEAD, NEW_PASSWORD, gwens};
use super::Sides;
use crate::support::together;

impl Sides<'_> {
    pub async fn sessions_go_to_and_fro(&self) {
        let (here, there) = (&self.here, &self.there);
        // One family, handed to and fro, with a lost reply at each hand-over.
        let mut token = self.token("fresh").to_owned();
        for round in 0..6 {
            let (one, two) = if round % 2 == 0 { (there, here) } else { (here, there) };
            let next = one.rotate(&token).await;
            let again = two.rotate(&token).await;
            assert_eq!((&again.refresh, again.replayed()), (&next.refresh, true));
            two.sessions(&next.access).await.expect(200);
            two.orders(&next.access).await.expect(200);
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
        let successors: BTreeSet<String> = replies
            .iter()
            .filter(|reply| reply.status == 200)
            .map(|reply| reply.string("refresh_token"))
            .collect();
        assert_eq!(successors.len(), 1, "{replies:?}");
        there.rotate(self.token("current")).await;
        there.rotate(self.token("wrapped")).await;
        // What was granted by one is in the other's token.
        let next = there.rotate(self.token("with claims")).await;
        assert_eq!(next.jwt().claims["plan"], gwens()["claims"]["plan"]);
        let next = here.rotate(&next.refresh).await;
        assert_eq!(next.jwt().claims["permissions"], gwens()["permissions"]);
        let next = there.rotate(self.token("openid")).await;
        assert!(next.body["id_token"].is_string(), "{}", next.body);
        let call = Call::get(here.url("/userinfo")).bearer(&next.access);
        call.send(&here.http).await.expect(200);
        for dead in DEAD {
            there.refuses(self.token(dead)).await;
        }
        let blocked = there.refresh_call(&next.refresh).header("x-client-version", BLOCKED);
        blocked.send(&there.http).await.expect_error(403, "access_denied");
    }

    pub async fn what_one_ends_the_other_refuses(&self) {
        for (one, two) in self.both() {
            let mine = one.login().await;
            two.revoke(&mine.refresh).await.expect(200);
            one.refuses(&mine.refresh).await;
            one.sessions(&mine.access).await.expect(401);
            let introspected = Call::post(one.url("/introspect"))
                .basic(leasehold_tests::tenant::BACKEND, &one.secret)
                .form(&[("token", &mine.access)]);
            assert_eq!(introspected.send(&one.http).await.expect(200).json()["active"], false);
        }
        let (here, there) = (&self.here, &self.there);
        there.change_password("bob", NEW_PASSWORD, PASSWORD).await.expect(204);
        here.login_as("bob", PASSWORD).await.expect(200);
        here.refuses(self.token("after it")).await;
        let session = there.login().await;
        here.sign_out_everywhere(&session.access).await.expect(204);
        there.refuses(&session.refresh).await;
        let session = Session::from_reply(&there.login_as(USER, PASSWORD).await.expect(200));
        let [admin, _] = self.admins().await;
        let told = admin.post("/explain", &json!({ "token": session.access })).await.expect(200).json();
        assert_eq!(told["good"], true, "{told}");
        here.rotate(&session.refresh).await;
    }
}
