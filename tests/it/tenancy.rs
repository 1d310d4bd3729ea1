//! Nothing of one tenant is worth anything at another: every route of the template, every credential it takes, each
//! with a control of the tenant's own that succeeds. A route without a row fails.

use leasehold_tests::http::Call;
use leasehold_tests::settings::deployed;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::Tenant;

use crate::support::report;
use crate::template;
use crate::world::{Attempt, World};

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
        let control = row.control.send(&world.here.http).await;
        assert_eq!(control.status, row.status, "{method} {path}, the control: {control}");
        // Whatever was tried with their things here, there they are as good as before.
        world.there.rotate(&world.theirs.refresh).await;
        world.there.sessions(&world.theirs.access).await.expect(200);
        world.there.login_as("theo", "lagoon-Hammer 8 violet").await.expect(200);
    }
    report(&[format!("{cells} foreign credentials refused")]);
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
