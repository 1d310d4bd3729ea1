//! Two releases administer one tenant: what one changes, the other goes by.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use leasehold_tests::tenant::{Admin, BACKEND, PASSWORD, Session};
use serde_json::{Value, json};

use super::super::scene::{BROUGHT, CORA, NEW_PASSWORD, TILL, VERSION, login_at, names, once};
use super::Sides;
use crate::support::{restart, seconds};

async fn path_of(admin: &Admin, username: &str) -> String {
    format!("/users/{}", admin.user(username).await["user_id"].as_str().expect("an id"))
}

async fn import(admin: &Admin, name: &str, hash: &str) {
    let line = json!({"username": name, "password_hash": hash, "roles": ["old"]}).to_string();
    let call = admin.call("POST", "/users/import").body("application/x-ndjson", line);
    let answer = admin.send(call).await.expect(200).json();
    assert_eq!(answer["results"][0]["outcome"], "created", "{answer}");
}

impl Sides<'_> {
    pub async fn people_of_one_sign_in_at_the_other(&self) {
        let [admin, visiting] = self.admins().await;
        // Codes of the scene, and one from each side.
        for name in ["cora", "dora"] {
            let code = &self.held.shown[&format!("code of {name}")];
            self.there.set_password(name, code, NEW_PASSWORD).await.expect(204);
            self.here.login_as(name, NEW_PASSWORD).await.expect(200);
            self.here.set_password(name, code, PASSWORD).await.expect(401);
        }
        for (admin, (one, two)) in [&admin, &visiting].into_iter().zip(self.both()) {
            let path = path_of(admin, "cora").await;
            let code = admin.post(&format!("{path}/reset"), &json!({})).await.expect(200).string("code");
            two.set_password("cora", &code, PASSWORD).await.expect(204);
            one.login_as("cora", PASSWORD).await.expect(200);
        }
        // Hashes of other systems: brought along by the maker, and by each for the other.
        for (at, (name, password, hash)) in BROUGHT.into_iter().enumerate() {
            self.there.login_as(name, password).await.expect(200);
            self.here.login_as(name, password).await.expect(200);
            let (admin, tenant) = if at % 2 == 0 { (&admin, &self.there) } else { (&visiting, &self.here) };
            let again = format!("{name}-again");
            import(admin, &again, hash).await;
            tenant.login_as(&again, "another").await.expect(401);
            let session = Session::from_reply(&tenant.login_as(&again, password).await.expect(200));
            assert_eq!(session.jwt().claims["roles"], json!(["old"]), "{name}");
        }
        // Disabled and enabled, given rights, removed.
        self.there.login_as("eve", PASSWORD).await.expect(401);
        for ((one, two), (mine, theirs)) in
            self.both().into_iter().zip([(&admin, &visiting), (&visiting, &admin)])
        {
            let path = path_of(mine, "eve").await;
            mine.patch(&path, "*", &json!({"status": "active"})).await.expect(200);
            let session = Session::from_reply(&two.login_as("eve", PASSWORD).await.expect(200));
            let change = json!({"roles": ["clerk"], "claims": {"level": {"of": [1, null]}}});
            let tag = theirs.get(&path).await.expect(200).header("etag").to_owned();
            mine.patch(&path, &tag, &change).await.expect(200);
            let next = two.rotate(&session.refresh).await;
            assert_eq!(next.jwt().claims["level"], change["claims"]["level"]);
            mine.patch(&path, "*", &json!({"status": "disabled"})).await.expect(200);
            two.refuses(&next.refresh).await;
            two.sessions(&next.access).await.expect(401);
            two.login_as("eve", PASSWORD).await.expect(401);
            one.login_as("eve", PASSWORD).await.expect(401);
        }
        admin.delete(&path_of(&visiting, "blowfish-again").await).await.expect(204);
        self.there.login_as("blowfish-again", "U*U").await.expect(401);
        // A list begun at one is read on at the other, and both show the same.
        let cursor = &self.held.shown["the page after"];
        let begun: BTreeSet<&str> = self.held.shown["names of a page"].split(' ').collect();
        let rest = visiting.get(&format!("/users?limit=100&cursor={cursor}")).await.expect(200).json();
        assert!(names(&rest).iter().all(|name| !begun.contains(name.as_str())), "{rest}");
        let all = admin.get("/users?limit=100").await.expect(200).text();
        assert_eq!(visiting.get("/users?limit=100").await.expect(200).text(), all);
        let (seen, by_the_other) = (admin.audit().await, visiting.audit().await);
        assert_eq!(seen, by_the_other);
    }

    pub async fn clients_of_one_prove_themselves_at_the_other(&self) {
        let [admin, visiting] = self.admins().await;
        let shown = &self.held.shown;
        for what in ["backend before", "backend"] {
            login_at(&self.there, BACKEND, &shown[what]).await.expect(200);
        }
        login_at(&self.there, "till", &shown["till"]).await.expect(200);
        let mut last = shown["backend"].clone();
        for (admin, (_, two)) in
            [&visiting, &admin].into_iter().zip([(&self.there, &self.here), (&self.here, &self.there)])
        {
            let path = format!("/clients/{BACKEND}/secret");
            let next =
                admin.post(&path, &json!({"overlap_seconds": 600})).await.expect(200).string("client_secret");
            login_at(two, BACKEND, &last).await.expect(200);
            login_at(two, BACKEND, &next).await.expect(200);
            let now =
                admin.post(&path, &json!({"overlap_seconds": 0})).await.expect(200).string("client_secret");
            login_at(two, BACKEND, &next).await.expect(401);
            login_at(two, BACKEND, &now).await.expect(200);
            last = now;
        }
        for (mine, theirs) in [(&admin, &visiting), (&visiting, &admin)] {
            mine.patch("/clients/till", "*", &json!({"status": "disabled"})).await.expect(200);
            assert_eq!(theirs.get("/clients/till").await.expect(200).json()["status"], "disabled");
            for tenant in [&self.here, &self.there] {
                login_at(tenant, "till", &shown["till"]).await.expect(401);
            }
            theirs.patch("/clients/till", "*", &json!({"status": "active"})).await.expect(200);
            login_at(&self.here, "till", &shown["till"]).await.expect(200);
        }
    }

    pub async fn rules_of_one_hold_at_the_other(&self) {
        let [admin, visiting] = self.admins().await;
        let before = admin.get("/policy").await.expect(200);
        assert_eq!(visiting.get("/policy").await.expect(200).text(), before.text());
        for (mine, (_, two)) in [&admin, &visiting].into_iter().zip(self.both()) {
            let session = two.login().await;
            let at_version = async || {
                let call = two.refresh_call(&session.refresh).header("x-client-version", VERSION);
                call.send(&two.http).await
            };
            let tag = mine.get("/policy").await.expect(200).header("etag").to_owned();
            let rules = json!({"blocked_versions": ["shop-ios/<5.4.2"], "access_token_seconds": 77});
            mine.patch("/policy", &tag, &rules).await.expect(200);
            let refused = at_version().await.expect_error(403, "access_denied");
            assert_eq!(refused.json()["client_action"], "update_app");
            mine.patch("/policy", "*", &json!({"blocked_versions": ["shop-ios/<5.0"]})).await.expect(200);
            assert_eq!(at_version().await.expect(200).json()["expires_in"], 77);
            mine.patch("/policy", "*", &json!({"access_token_seconds": 300})).await.expect(200);
        }
    }

    pub async fn creations_may_come_again_at_the_other(&self) {
        let admins = self.admins().await;
        for admin in &admins {
            for (what, asked) in [("answer of till", TILL), ("answer of cora", CORA)] {
                let again = once(admin, asked).await.expect(201);
                assert_eq!(
                    (&again.text(), again.header("idempotency-replayed")),
                    (&self.held.shown[what], "true")
                );
                once(admin, (asked.0, r#"{"x":1}"#)).await.expect_problem(422, "idempotency_mismatch");
            }
        }
        for (at, (mine, theirs)) in
            [(&admins[0], &admins[1]), (&admins[1], &admins[0])].into_iter().enumerate()
        {
            let body =
                json!({"client_id": format!("stall-{at}"), "type": "confidential", "scopes": ["read"]})
                    .to_string();
            let first = once(mine, (&format!("/clients/{BACKEND}/secret"), "{}")).await;
            let again = once(theirs, (&format!("/clients/{BACKEND}/secret"), "{}")).await;
            assert_eq!((first.status, again.text()), (200, first.text()));
            let key = format!("a-key-of-16-or-more-{at}");
            let create = |admin: &Admin| {
                admin
                    .call("POST", "/clients")
                    .header("idempotency-key", &key)
                    .body("application/json", body.clone())
            };
            let first = mine.send(create(mine)).await.expect(201);
            let again = theirs.send(create(theirs)).await.expect(201);
            assert_eq!((again.text(), again.header("idempotency-replayed")), (first.text(), "true"));
            for tenant in [&self.here, &self.there] {
                login_at(tenant, &format!("stall-{at}"), &again.string("client_secret")).await.expect(200);
            }
        }
    }

    pub async fn keys_change_custody_and_change_back(&self) {
        let kid = |session: &Session| session.jwt().header["kid"].clone();
        let mut session = self.here.login().await;
        // The scene left the tenant in custody `wrapped`.
        for custody in ["kms", "wrapped"] {
            for (side, (one, two)) in self.both().into_iter().enumerate() {
                let admins = self.admins().await;
                let body = json!({"force": true, "custody": custody});
                let rotated = admins[side].post("/keys/rotate", &body).await.expect(200).json();
                assert_eq!(rotated["key"]["custody"], custody);
                for (signer, reader) in [(one, two), (two, one)] {
                    session = signer.rotate(&session.refresh).await;
                    assert_eq!(kid(&session), rotated["key"]["kid"]);
                    reader.verify(&session.access).await.expect("verifies with the other's published keys");
                    reader.sessions(&session.access).await.expect(200);
                }
                // Nobody was told of the key before: the other's authorizer knows it after it has looked again.
                let deadline = Instant::now() + seconds(15);
                while two.orders(&session.access).await.status != 200 {
                    assert!(Instant::now() < deadline, "a key of {custody} stays unknown to the authorizer");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    session = one.rotate(&session.refresh).await;
                }
                assert_eq!(one.jwks().await, two.jwks().await);
                // The other goes back, and forth again.
                let previous = rotated["previous"].as_str().expect("a kid");
                let theirs = &self.admins().await[1 - side];
                theirs.post(&format!("/keys/{previous}/rollback"), &json!({})).await.expect(200);
                assert_eq!(kid(&one.login().await), previous);
                let key = rotated["key"]["kid"].as_str().expect("a kid");
                theirs.post(&format!("/keys/{key}/rollback"), &json!({})).await.expect(200);
                assert_eq!(kid(&one.login().await), key);
            }
            for stack in [self.visitor, self.maker] {
                assert_eq!(
                    stack.operator(&self.here.http, &json!({"op": "schedule.run"})).await["failed"],
                    0
                );
            }
        }
        for (side, (one, two)) in self.both().into_iter().enumerate() {
            let session = two.login().await;
            let path = format!("/keys/{}/compromise", kid(&session).as_str().expect("a kid"));
            let answer = self.admins().await[side].post(&path, &json!({})).await.expect(200).json();
            two.sessions(&session.access).await.expect(401);
            let next = two.rotate(&session.refresh).await;
            assert_eq!(kid(&next), answer["replacement"]);
            one.verify(&next.access).await.expect("verifies");
        }
    }

    pub async fn what_is_counted_at_either_adds_up(&self) {
        let show = async |admin: &Admin| -> Value {
            let shown = admin.get("/health").await.expect(200).json();
            let rows = shown["versions"].as_array().expect("versions");
            rows.iter().find(|row| row["version"] == VERSION).expect("a row").clone()
        };
        let flushed = async || {
            for stack in [self.maker, self.visitor] {
                restart(stack, &["refresh", "login"]).await;
            }
        };
        let mut session = self.here.login().await;
        flushed().await;
        let before = show(&self.admins().await[0]).await;
        for tenant in [&self.here, &self.there] {
            let refresh = async |token: &str| {
                tenant.refresh_call(token).header("x-client-version", VERSION).send(&tenant.http).await
            };
            for _ in 0..3 {
                session = Session::from_reply(&refresh(&session.refresh).await.expect(200));
            }
            refresh("lhr_nonsense").await.expect(400);
        }
        flushed().await;
        let [mine, theirs] = self.admins().await;
        let (after, at_the_other) = (show(&mine).await, show(&theirs).await);
        assert_eq!(after, at_the_other);
        for (name, more) in [("validations", 8), ("failures", 2)] {
            let number = |row: &Value| row[name].as_u64().expect("a count");
            assert_eq!(number(&after), number(&before) + more, "{name}: {after}, was {before}");
        }
    }
}
