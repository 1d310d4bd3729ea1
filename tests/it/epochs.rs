//! A login or a refresh that is under way while everything is ended comes out dead, wherever it is overtaken. The
//! request is held at one of its AWS calls, the end comes, the request goes on.

use leasehold_tests::http::{Call, Reply};
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{APP, PASSWORD, Session, Tenant, USER};
use serde_json::json;

use crate::support::report;

const NEW: &str = "copper-Nebula 9 ticket";

/// What ends everything.
#[derive(Clone, Copy, Debug)]
enum End {
    SignOut,
    Password,
    Disable,
    Suspend,
}

impl End {
    const ALL: [Self; 4] = [Self::SignOut, Self::Password, Self::Disable, Self::Suspend];

    /// Ends everything, and lets users in again where that needs saying.
    async fn happen(self, stack: &Stack, tenant: &Tenant, other: &Session) {
        let operate = async |op: &str, user: Option<&str>| {
            let mut command = json!({"op": op, "tenant": tenant.name});
            if let Some(user) = user {
                command["username"] = json!(user);
            }
            stack.operator(&tenant.http, &command).await;
        };
        match self {
            Self::SignOut => drop(tenant.sign_out_everywhere(&other.access).await.expect(204)),
            Self::Password => drop(tenant.change_password(USER, PASSWORD, NEW).await.expect(204)),
            Self::Disable => {
                operate("user.disable", Some(USER)).await;
                operate("user.enable", Some(USER)).await;
            }
            Self::Suspend => {
                operate("tenant.suspend", None).await;
                operate("tenant.resume", None).await;
            }
        }
    }
}

struct World {
    proxy: Proxy,
    stack: Stack,
}

impl World {
    fn new() -> Self {
        let proxy = Proxy::start();
        let stack = Setup::default().instances(2).through(&proxy).start();
        Self { proxy, stack }
    }

    /// Sends a call, holds its n-th AWS call while the end happens, and hands the answer back.
    async fn overtaken(&self, tenant: &Tenant, call: Call, n: usize, end: End, other: &Session) -> Reply {
        let held = self.proxy.held();
        self.proxy.inject(Rule::any(Action::Hold).nth(n));
        let under_way = tokio::spawn({
            let http = tenant.http.clone();
            async move { call.send(&http).await }
        });
        self.proxy.until_held(held + 1).await;
        end.happen(&self.stack, tenant, other).await;
        self.proxy.heal();
        under_way.await.expect("the held call ends")
    }
}

#[tokio::test]
async fn a_login_that_is_overtaken_comes_out_dead() {
    let world = World::new();
    let mut rows =
        vec!["login overtaken at an AWS call: the answer, and that its tokens are dead".to_owned()];
    for end in End::ALL {
        let tenant = Tenant::create(&world.stack).await;
        let mark = world.proxy.mark();
        tenant.login().await;
        let operations = world.proxy.operations_since(mark);
        for n in 1..=operations.len() {
            let tenant = Tenant::create(&world.stack).await;
            let other = tenant.login().await;
            let login = json!({"client_id": APP, "username": USER, "password": PASSWORD});
            let call = Call::post(tenant.url("/login")).json(&login);
            let reply = world.overtaken(&tenant, call, n, end, &other).await;
            rows.push(format!("{end:?} | held at call {n} {} | {}", operations[n - 1], reply.status));
            tenant.refuses(&other.refresh).await;
            if reply.status != 200 {
                assert!(matches!(reply.status, 401 | 503), "{end:?} at call {n}: {reply}");
                continue;
            }
            let session = Session::from_reply(&reply);
            // Held before it has read the user, it is simply a login after the end; its epochs say so.
            let password = if matches!(end, End::Password) { NEW } else { PASSWORD };
            let after = Session::from_reply(&tenant.login_as(USER, password).await.expect(200));
            let began_after = session.jwt().claims["ep"] == after.jwt().claims["ep"];
            let signing = operations.iter().position(|operation| operation == "Sign").expect("a login signs");
            assert!(!began_after || n <= signing, "{end:?} at call {n}: epochs were read after the proof");
            if !began_after {
                tenant.refuses(&session.refresh).await;
                tenant.sessions(&session.access).await.expect(401);
            }
        }
    }
    report(&rows);
}

#[tokio::test]
async fn a_refresh_that_is_overtaken_comes_out_dead() {
    let world = World::new();
    let mut rows =
        vec!["refresh overtaken at an AWS call: the answer, and that its tokens are dead".to_owned()];
    for end in End::ALL {
        for (n, operation) in ["BatchGetItem", "Sign", "write"].iter().enumerate() {
            let tenant = Tenant::create(&world.stack).await;
            let (session, other) = (tenant.login().await, tenant.login().await);
            let call = tenant.refresh_call(&session.refresh);
            let reply = world.overtaken(&tenant, call, n + 1, end, &other).await;
            rows.push(format!("{end:?} | held at {operation} | {}", reply.status));
            assert!(matches!(reply.status, 200 | 400), "{end:?} at {operation}: {reply}");
            if reply.status == 200 {
                let next = Session::from_reply(&reply);
                tenant.refuses(&next.refresh).await;
                tenant.sessions(&next.access).await.expect(401);
            }
            tenant.refuses(&session.refresh).await;
        }
    }
    report(&rows);
}

#[tokio::test]
async fn a_refresh_that_is_overtaken_by_a_revocation_is_refused() {
    let world = World::new();
    for n in 1..=3 {
        let tenant = Tenant::create(&world.stack).await;
        let session = tenant.login().await;
        let held = world.proxy.held();
        world.proxy.inject(Rule::any(Action::Hold).nth(n));
        let under_way = tokio::spawn({
            let (tenant, token) = (tenant.clone(), session.refresh.clone());
            async move { tenant.refresh(&token).await }
        });
        world.proxy.until_held(held + 1).await;
        tenant.revoke(&session.refresh).await.expect(200);
        world.proxy.heal();
        let reply = under_way.await.expect("the held call ends");
        reply.expect_error(400, "invalid_grant");
        tenant.refuses(&session.refresh).await;
    }
}

#[tokio::test]
async fn theft_is_found_though_the_owner_refreshes_without_a_pause() {
    let world = World::new();
    let tenant = Tenant::create(&world.stack).await;
    let stolen = tenant.login().await;
    let second = tenant.rotate(&stolen.refresh).await;
    let third = tenant.rotate(&second.refresh).await;
    // The thief's request has read the family and is about to end it; the owner rotates meanwhile.
    let held = world.proxy.held();
    world.proxy.inject(Rule::on("TransactWriteItems", Action::Hold).times(1));
    let theft = tokio::spawn({
        let (tenant, token) = (tenant.clone(), stolen.refresh.clone());
        async move { tenant.refresh(&token).await }
    });
    world.proxy.until_held(held + 1).await;
    let fourth = tenant.rotate(&third.refresh).await;
    world.proxy.heal();
    theft.await.expect("the held call ends").expect_error(400, "invalid_grant");
    tenant.refuses(&fourth.refresh).await;
}
