//! The outage row of every route: whichever AWS call fails for good, the answer is 503 with `Retry-After`, never a 4xx,
//! and the very same call succeeds once AWS is back: the outage has spent and changed nothing.

use std::collections::BTreeSet;

use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::Setup;

use crate::support::report;
use crate::template;
use crate::world::World;

#[tokio::test]
async fn whatever_aws_call_fails_it_is_never_the_clients_fault() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let mut cells = Vec::new();
    for (method, path) in template::routes() {
        let world = World::new(&stack).await;
        let row = world.row(&method, &path);
        let mark = proxy.mark();
        row.control.send(&world.here.http).await.expect(row.status);
        let operations: BTreeSet<String> = proxy.operations_since(mark).into_iter().collect();
        let mut world = World::new(&stack).await;
        for operation in operations {
            let Some(operation) = OPERATIONS.iter().find(|known| **known == operation) else { continue };
            let row = world.row(&method, &path);
            let name = if KMS.contains(operation) { "KMSInternalException" } else { "InternalServerError" };
            proxy.inject(Rule::on(operation, Action::Error(name)));
            let reply = row.control.clone().send(&world.here.http).await;
            proxy.heal();
            cells.push(format!("{method:<7} {path:<55} {operation:<18} {}", reply.status));
            if reply.status == row.status {
                // It can do without this call; but then it has done what was asked, and the next cell needs a new world.
                world = World::new(&stack).await;
                continue;
            }
            let authorizer = template::guarded().get(&format!("{method} {path}")).cloned();
            match authorizer.as_deref() {
                // A gateway whose authorizer fails can say nothing else; it is no 4xx either.
                Some("Authorizer") => {
                    assert_eq!(reply.status, 500, "{method} {path} without {operation}: {reply}");
                }
                Some(_) => {
                    assert_eq!(reply.status, 503, "{method} {path} without {operation}: {reply}");
                    assert!(reply.header("retry-after").parse::<u32>().is_ok(), "{reply}");
                }
                None if path.contains("/admin/") => {
                    let reply = reply.expect_problem(503, "temporarily_unavailable");
                    assert!(reply.header("retry-after").parse::<u32>().is_ok(), "{reply}");
                }
                None => {
                    let reply = reply.expect_error(503, "temporarily_unavailable");
                    assert_eq!(reply.json()["client_action"], "retry");
                }
            }
            let again = row.control.send(&world.here.http).await;
            assert_eq!(again.status, row.status, "{method} {path} after {operation}: {again}");
            world = World::new(&stack).await;
        }
    }
    cells.insert(0, "route, the AWS call that fails, the answer".to_owned());
    report(&cells);
}

const OPERATIONS: &[&str] = &[
    "BatchGetItem",
    "GetItem",
    "Query",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "TransactWriteItems",
    "BatchWriteItem",
    "Sign",
    "CreateKey",
    "GetPublicKey",
    "DisableKey",
];

const KMS: &[&str] = &["Sign", "CreateKey", "GetPublicKey", "DisableKey"];
