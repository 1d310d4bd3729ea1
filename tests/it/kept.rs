//! A sign-out that keeps one session keeps it also when a refresh of that session is under way: the refresh is held at
//! each of its AWS calls, the sign-out comes, the refresh goes on.

use leasehold_tests::http::Call;
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::Setup;
use leasehold_tests::tenant::{Session, Tenant};

#[tokio::test]
async fn a_refresh_overtaken_by_a_sign_out_that_keeps_its_session_lives_on() {
    let proxy = Proxy::start();
    let stack = Setup::default().instances(2).through(&proxy).start();
    for n in 1..=3 {
        let tenant = Tenant::create(&stack).await;
        let (session, other) = (tenant.login().await, tenant.login().await);
        let held = proxy.held();
        proxy.inject(Rule::any(Action::Hold).nth(n));
        let under_way = tokio::spawn({
            let (call, http) = (tenant.refresh_call(&session.refresh), tenant.http.clone());
            async move { call.send(&http).await }
        });
        proxy.until_held(held + 1).await;
        let sign_out = Call::delete(tenant.url("/sessions?except=current")).bearer(&session.access);
        sign_out.send(&tenant.http).await.expect(204);
        proxy.heal();
        let reply = under_way.await.expect("the held call ends");
        let token = match reply.status {
            200 => Session::from_reply(&reply).refresh,
            503 => session.refresh.clone(),
            other => panic!("held at call {n}: {other}, {reply}"),
        };
        let next = tenant.rotate(&token).await;
        tenant.sessions(&next.access).await.expect(200);
        tenant.refuses(&other.refresh).await;
    }
}
