//! Nothing of one tenant is worth anything at another: every route of the template, credentials of every kind, in every
//! place where one can stand and beside every way to name a tenant, each with a control of the tenant's own that succeeds.
//! A route without a row fails. Nor is anything worth anything once it has expired.

use leasehold_tests::http::Call;
use leasehold_tests::settings::deployed;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::Tenant;
use serde_json::json;

use crate::support::{days, report, timed};
use crate::template;
use crate::world::{Attempt, Naming, World};

#[tokio::test]
async fn no_credential_of_one_tenant_is_worth_anything_at_another() {
    let routes = template::routes();
    assert_eq!(routes, crate::agreement::code(), "the template's routes were read");
    let mut cells = 0;
    for (method, path) in routes {
        if method == "OPTIONS" && deployed().is_some() {
            continue; // The emulator answers preflights itself.
        }
        // A world per route, since controls use up what they use.
        let world = World::new(shared()).await;
        let row = world.row(&method, &path);
        for Attempt { what, call, allowed } in row.attempts {
            let reply = call.send(&world.here.http).await;
            assert!(allowed.contains(&reply.status), "{method} {path} with {what}: {reply}");
            assert!(
                !reply.text().contains(&world.there.name),
                "{method} {path} with {what} speaks of them: {reply}"
            );
            cells += 1;
        }
        let (route, theirs) = (format!("{method} {path}"), world.credentials_there().await);
        // On the emulator every call takes long; the functions are the same.
        let naming = if deployed().is_none() { Naming::EveryWay } else { Naming::Not };
        for cell in world.cells(&row.control, &theirs, naming) {
            cell.must_be_refused(&world, &route).await;
            cells += 1;
        }
        let control = row.control.send(&world.here.http).await;
        assert_eq!(control.status, row.status, "{method} {path}, the control: {control}");
        world.unharmed(&theirs).await;
    }
    report(&[format!("{cells} foreign credentials refused")]);
}

#[tokio::test]
async fn nothing_is_worth_anything_once_it_has_expired() {
    let timed = timed().await;
    let world = World::new(&timed.stack).await;
    let theirs = world.credentials_there().await;
    timed.clock.advance(days(400));
    let mut cells = 0;
    for (method, path) in template::routes() {
        let row = world.row(&method, &path);
        // What the tenant's own people held: a control that worked in its time.
        let due = match (method.as_str(), path.rsplit('/').next()) {
            // What does not expire, or needs nothing that does.
            (
                _,
                Some("login" | "jwks.json" | "openid-configuration" | "revocations" | "confirm" | "revoke"),
            )
            | ("OPTIONS", _) => row.status,
            (_, Some("password")) => 204,
            _ if path.contains("oauth-authorization-server") => 200,
            (_, Some("introspect")) => 200,
            (_, Some("token" | "refresh")) => 400,
            (_, Some("orders")) => 403,
            _ => 401,
        };
        let route = format!("{method} {path}");
        let reply = row.control.clone().send(&world.here.http).await;
        assert_eq!(reply.status, due, "{route}, with what has expired: {reply}");
        if due == 200 && path.ends_with("introspect") {
            assert_eq!(reply.json(), json!({"active": false}));
        }
        for cell in world.cells(&row.control, &theirs, Naming::Not) {
            cell.must_be_refused(&world, &route).await;
            cells += 1;
        }
    }
    report(&[format!("{cells} foreign credentials refused after they expired")]);
}

#[tokio::test]
async fn a_token_with_a_foreign_family_under_ones_own_user_is_nobodys() {
    let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let (mine, theirs) = (here.login().await, there.login().await);
    let mut crossed = theirs.token();
    crossed.user = mine.token().user;
    here.refuses(&crossed.encode()).await;
    there.refuses(&crossed.encode()).await;
    let mut crossed = mine.token();
    crossed.family = theirs.token().family;
    here.refuses(&crossed.encode()).await;
    here.rotate(&mine.refresh).await;
    there.rotate(&theirs.refresh).await;
}

#[tokio::test]
async fn keys_of_one_tenant_verify_no_token_of_another() {
    let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let theirs = there.login().await;
    there.verify(&theirs.access).await.expect("their own keys do");
    here.verify(&theirs.access).await.expect_err("ours don't");
    let mut renamed = theirs.jwt();
    renamed.header["kid"] = here.jwks().await["keys"][0]["kid"].clone();
    here.sessions(&renamed.encode()).await.expect(401);
}

#[tokio::test]
async fn a_path_is_one_tenant_only() {
    let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let theirs = there.login().await;
    let base = shared().base_url();
    for path in [
        format!("{base}/t/{}/../{}/sessions", here.name, there.name),
        format!("{base}/t/{}%2f..%2f{}/sessions", here.name, there.name),
        format!("{base}/t/{}%23{}/sessions", here.name, there.name),
        format!("{base}/t/{}/t/{}/sessions", here.name, there.name),
        format!("{base}/t//{}/sessions", there.name),
        format!("{base}/T/{}/sessions", there.name),
    ] {
        let reply = Call::get(&path).bearer(&theirs.access).send(&here.http).await;
        assert!(matches!(reply.status, 400 | 401 | 403 | 404), "{path}: {reply}");
    }
    let spoofed = Call::get(here.url("/sessions"))
        .bearer(&theirs.access)
        .header("x-tenant", &there.name)
        .header("x-amzn-request-context", format!(r#"{{"tenant":"{}"}}"#, there.name))
        .header("x-original-url", format!("/t/{}/sessions", there.name));
    spoofed.send(&here.http).await.expect(401);
}
