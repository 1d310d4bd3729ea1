//! AWS in trouble: whatever fails, the client that comes again with the token it holds gets on.

use leasehold_tests::http::Call;
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{Session, Tenant};
use tokio::sync::OnceCell;

use crate::support::seconds;

struct World {
    proxy: Proxy,
    stack: Stack,
}

fn world() -> World {
    let proxy = Proxy::start();
    let stack = Setup::default().instances(2).through(&proxy).start();
    World { proxy, stack }
}

/// The operation of the one write of a refresh, as seen at the proxy.
async fn write_operation(world: &World, tenant: &Tenant) -> &'static str {
    static SEEN: OnceCell<&'static str> = OnceCell::const_new();
    SEEN.get_or_init(async || {
        let session = tenant.login().await;
        let mark = world.proxy.mark();
        tenant.rotate(&session.refresh).await;
        let seen = world.proxy.operations_since(mark);
        ["UpdateItem", "PutItem", "TransactWriteItems"]
            .into_iter()
            .find(|known| seen.iter().any(|operation| operation == known))
            .expect("a refresh writes")
    })
    .await
}

/// Presents a token again and again, as a client does that gets 503, until it is good; other refusals fail.
async fn persist(tenant: &Tenant, token: &str, tries: usize) -> Session {
    for _ in 0..tries {
        let reply = tenant.refresh(token).await;
        if reply.status == 200 {
            return Session::from_reply(&reply);
        }
        assert_eq!(reply.status, 503, "our own trouble is 503, nothing else: {reply}");
        reply.expect_error_shape();
    }
    tenant.rotate(token).await
}

#[tokio::test]
async fn a_fault_that_does_not_last_costs_nothing() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let write = write_operation(&world, &tenant).await;
    let table = [
        ("BatchGetItem", Action::Error("ProvisionedThroughputExceededException")),
        ("BatchGetItem", Action::Error("InternalServerError")),
        ("BatchGetItem", Action::Error("ThrottlingException")),
        ("BatchGetItem", Action::Unprocessed),
        ("BatchGetItem", Action::DropBefore),
        ("BatchGetItem", Action::DropAfter),
        ("BatchGetItem", Action::Duplicate),
        ("Sign", Action::Error("ThrottlingException")),
        ("Sign", Action::Error("KMSInternalException")),
        ("Sign", Action::Error("DependencyTimeoutException")),
        ("Sign", Action::DropBefore),
        ("Sign", Action::DropAfter),
        ("Sign", Action::Duplicate),
        (write, Action::Error("ProvisionedThroughputExceededException")),
        (write, Action::Error("InternalServerError")),
        (write, Action::Error("ThrottlingException")),
        (write, Action::Error("TransactionConflict")),
        (write, Action::DropBefore),
        (write, Action::DropAfter),
        (write, Action::Duplicate),
        (write, Action::Delay(seconds(2))),
    ];
    let mut session = tenant.login().await;
    for (operation, action) in table {
        let before = session.token();
        world.proxy.inject(Rule::on(operation, action.clone()).times(1));
        let next = persist(&tenant, &session.refresh, 3).await;
        world.proxy.heal();
        assert_eq!(
            next.token().generation,
            before.generation + 1,
            "{operation} {action:?}: one generation on"
        );
        assert_eq!(next.token().family, before.family);
        let again = tenant.rotate(&session.refresh).await;
        assert_eq!(again.refresh, next.refresh, "{operation} {action:?}: one lineage");
        session = tenant.rotate(&next.refresh).await;
    }
}

#[tokio::test]
async fn our_own_landed_write_is_not_taken_for_a_replay() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let write = write_operation(&world, &tenant).await;
    let session = tenant.login().await;
    // The write lands, its answer is lost, and the SDK's retry fails on our own condition.
    world.proxy.inject(Rule::on(write, Action::DropAfter).times(1));
    let next = tenant.rotate(&session.refresh).await;
    assert!(!next.replayed(), "it was the first presentation: {}", next.body);
    assert_eq!(next.token().generation, session.token().generation + 1);
}

#[tokio::test]
async fn an_outage_of_the_table_is_503_and_spends_no_token() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let write = write_operation(&world, &tenant).await;
    let mut session = tenant.login().await;
    for (operation, name) in [
        ("BatchGetItem", "InternalServerError"),
        ("BatchGetItem", "ProvisionedThroughputExceededException"),
        ("BatchGetItem", "ResourceNotFoundException"),
        ("BatchGetItem", "AccessDeniedException"),
        (write, "InternalServerError"),
        (write, "ProvisionedThroughputExceededException"),
        (write, "AccessDeniedException"),
        (write, "TransactionConflict"),
    ] {
        world.proxy.inject(Rule::on(operation, Action::Error(name)));
        let reply = tenant.refresh(&session.refresh).await;
        world.proxy.heal();
        assert_eq!(reply.status, 503, "{operation} {name}: {reply}");
        let reply = reply.expect_error(503, "temporarily_unavailable");
        assert_eq!(reply.json()["client_action"], "retry");
        session = tenant.rotate(&session.refresh).await;
        assert!(!session.replayed(), "{operation} {name}: nothing had been written");
    }
    world.proxy.inject(Rule::on("BatchGetItem", Action::Unprocessed));
    tenant.refresh(&session.refresh).await.expect_error(503, "temporarily_unavailable");
    world.proxy.heal();
    tenant.rotate(&session.refresh).await;
}

#[tokio::test]
async fn an_outage_of_kms_is_503_and_spends_no_token() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let mut session = tenant.login().await;
    for name in [
        "KMSInternalException",
        "ThrottlingException",
        "DisabledException",
        "KMSInvalidStateException",
        "NotFoundException",
        "AccessDeniedException",
        "KeyUnavailableException",
    ] {
        world.proxy.inject(Rule::on("Sign", Action::Error(name)));
        for _ in 0..2 {
            tenant.refresh(&session.refresh).await.expect_error(503, "temporarily_unavailable");
        }
        world.proxy.heal();
        session = tenant.rotate(&session.refresh).await;
        assert!(!session.replayed(), "{name}: nothing had been written");
    }
}

#[tokio::test]
async fn a_reply_lost_on_a_replay_is_no_harm_either() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let write = write_operation(&world, &tenant).await;
    let first = tenant.login().await;
    let lost = tenant.rotate(&first.refresh).await;
    for action in [
        Action::DropAfter,
        Action::DropBefore,
        Action::Duplicate,
        Action::Error("InternalServerError"),
        Action::Error("ProvisionedThroughputExceededException"),
    ] {
        world.proxy.inject(Rule::on(write, action.clone()).times(1));
        let again = persist(&tenant, &first.refresh, 3).await;
        world.proxy.heal();
        assert_eq!(again.refresh, lost.refresh, "{action:?}");
    }
    tenant.rotate(&lost.refresh).await;
}

#[tokio::test]
async fn a_confirmation_that_fails_is_never_the_clients_trouble() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let write = write_operation(&world, &tenant).await;
    let mut session = tenant.rotate(&tenant.login().await.refresh).await;
    for action in
        [Action::DropAfter, Action::DropBefore, Action::Duplicate, Action::Error("InternalServerError")]
    {
        world.proxy.inject(Rule::on(write, action.clone()).times(1));
        let reply = tenant.confirm(&session.refresh).await;
        world.proxy.heal();
        assert!(matches!(reply.status, 204 | 503), "{action:?}: {reply}");
        session = tenant.rotate(&session.refresh).await;
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_ends_with_503_before_the_deadline_and_the_session_lives() {
    let proxy = Proxy::start();
    let stack =
        Setup::default().instances(2).function_env("REQUEST_DEADLINE_SECONDS", "2").through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let session = tenant.login().await;
    for operation in ["BatchGetItem", "Sign"] {
        proxy.inject(Rule::on(operation, Action::Delay(seconds(8))));
        let begin = std::time::Instant::now();
        let reply = tenant.refresh(&session.refresh).await;
        proxy.heal();
        assert_eq!(reply.status, 503, "{operation}: {reply}");
        assert!(begin.elapsed() < seconds(5), "{operation}: {:?}", begin.elapsed());
    }
    tenant.rotate(&session.refresh).await;
}

/// A third of all AWS calls fails in some way; the client does what clients do. Nobody may lose a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_lost_while_a_third_of_all_calls_fails() {
    let world = world();
    let tenants = [Tenant::create(&world.stack).await, Tenant::create(&world.stack).await];
    let mut sessions = Vec::new();
    for i in 0..6 {
        sessions.push((tenants[i % 2].clone(), tenants[i % 2].login().await));
    }
    let faults = [
        Action::DropAfter,
        Action::DropBefore,
        Action::Error("ProvisionedThroughputExceededException"),
        Action::Duplicate,
        Action::Error("InternalServerError"),
        Action::DropAfter,
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for n in 1..=1500 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if random.is_multiple_of(3) {
            let action = faults[usize::try_from(random / 3 % 6).expect("below six")].clone();
            world.proxy.inject(Rule::any(action).nth(1).after(n));
        }
    }
    let ends = crate::support::together(sessions.len(), |i| {
        let (tenant, first) = sessions[i].clone();
        async move {
            let mut session = first;
            for round in 0..25 {
                let mut lost = round % 4 == 1;
                session = loop {
                    let Ok(reply) = tenant.refresh_call(&session.refresh).try_send(&tenant.http).await else {
                        continue;
                    };
                    // Now and then the reply does not arrive, or the app dies before it has saved it.
                    if reply.status == 200 && lost {
                        lost = false;
                        continue;
                    }
                    match reply.status {
                        200 => break Session::from_reply(&reply),
                        503 => {}
                        _ => return Err(format!("round {round}: {reply}")),
                    }
                };
            }
            Ok(session)
        }
    })
    .await;
    world.proxy.heal();
    for end in ends {
        let session = end.expect("no session is lost");
        assert_eq!(session.token().generation, 25, "no generation is skipped");
    }
    Call::get(tenants[0].url("/.well-known/jwks.json")).send(&tenants[0].http).await.expect(200);
}
