//! The sweep over every route of the template: for each AWS call that the route makes, the function is killed before it
//! and after it, the client comes again, and then everybody's sessions are looked at.
//!
//! The calls are the controls of the tenancy matrix ([`crate::world`]), so a new route without a row there fails here too.
//! That is several hundred kills, each with a tenant of its own. A plain run takes every ninth; `CRASH_STEP=1` takes all,
//! `CRASH_ROUNDS=20` does it twenty times, and `CRASH_AT_ONCE=3` shares the rounds among three stacks.

use leasehold_tests::http::Reply;
use leasehold_tests::proxy::Rule;
use leasehold_tests::settings;
use leasehold_tests::tenant::Session;

use super::{Results, matrix, operations, persist, world};
use crate::support::{report, together};
use crate::template;
use crate::world::World;

/// Statuses beside the route's own with which a client may be answered that comes again: what it asked for has happened,
/// and has spent what it asked with.
fn also(method: &str, path: &str) -> &'static [u16] {
    match (method, path) {
        // The old password is no longer the current one; the access token's session or epoch is over.
        ("POST", "/t/{tenant}/password")
        | ("DELETE", "/t/{tenant}/sessions" | "/t/{tenant}/sessions/{sid}") => &[401],
        // It is gone, exists, or is of another version already; or the admin's own session was among those ended.
        (_, path) if path.contains("/admin/") => &[401, 404, 409, 412],
        _ => &[],
    }
}

#[tokio::test]
async fn every_route_killed_before_and_after_every_call_loses_no_session() {
    let rounds = settings::number("CRASH_ROUNDS", 1);
    let at_once = settings::number("CRASH_AT_ONCE", 1).clamp(1, rounds.max(1));
    let swept = together(at_once, |stage| async move {
        let (world, mut swept) = (world(), Swept::default());
        for round in (stage..rounds).step_by(at_once) {
            swept.round(&world, round).await;
        }
        swept
    })
    .await;
    let sum = |count: fn(&Swept) -> usize| swept.iter().map(count).sum::<usize>();
    let (kills, cells) = (sum(|swept| swept.kills), sum(|swept| swept.cells));
    report(&[format!("crash sweep: {kills} kills of {cells} that there are, 0 sessions lost")]);
}

/// How many kills there are, and how many were tried.
#[derive(Default)]
struct Swept {
    cells: usize,
    kills: usize,
}

impl Swept {
    async fn round(&mut self, stage: &super::World, round: usize) {
        let step = settings::number("CRASH_STEP", 9).max(1);
        let mut results = Results::of("sweep");
        for (method, path) in template::routes() {
            let undisturbed = World::new(&stage.stack).await;
            let row = undisturbed.row(&method, &path);
            stage.proxy.record();
            let calls = operations(stage, async {
                row.control.send(&undisturbed.here.http).await.expect(row.status);
            })
            .await;
            stage.proxy.forget();
            // A preflight without an origin calls nothing: nothing to kill it at.
            for (index, operation, action) in matrix(&calls) {
                self.cells += 1;
                // An odd step meets kills before a call as often as those after one.
                if !self.cells.is_multiple_of(step) {
                    continue;
                }
                let world = undisturbed.beside(&stage.stack).await;
                let row = world.row(&method, &path);
                stage.proxy.inject(Rule::any(action.clone()).nth(index));
                let (first, reply) = persist(&world.here.http, &row.control).await;
                stage.proxy.heal();
                let what = format!("{method} {path}, {action:?} {operation}");
                assert!(
                    reply.status == row.status || also(&method, &path).contains(&reply.status),
                    "{what}: {reply}"
                );
                everybody_lives(&world, (&method, &path), &reply, &what).await;
                let operation = format!("{operation} of {method} {path}");
                results.row(index, &operation, &action, &first, &reply.status.to_string());
                self.kills += 1;
            }
        }
        if round == 0 {
            results.print();
        }
        if settings::number("CRASH_ROUNDS", 1) > 1 {
            report(&[format!("crash sweep: round {round} done, {} kills here so far", self.kills)]);
        }
    }
}

/// Whoever was not to end goes on, on one lineage; whoever was to end has ended.
async fn everybody_lives(world: &World, route: (&str, &str), reply: &Reply, what: &str) {
    let (here, mine, other) = (&world.here, &world.mine, &world.end_here);
    world.there.rotate(&world.theirs.refresh).await;
    if route.1.contains("/admin/") {
        // Whom an admin's request ends depends on the request; `admin` has tests of what each leaves behind.
        return;
    }
    match route {
        ("POST", "/t/{tenant}/token" | "/t/{tenant}/refresh") => {
            let next = Session::from_reply(reply);
            assert_eq!(next.token().generation, mine.token().generation + 1, "{what}");
            assert_eq!(here.rotate(&mine.refresh).await.refresh, next.refresh, "{what}: one lineage");
            here.rotate(&next.refresh).await;
            here.rotate(&other.refresh).await;
        }
        ("POST", "/t/{tenant}/login") => {
            let next = here.rotate(&Session::from_reply(reply).refresh).await;
            here.sessions(&next.access).await.expect(200);
            here.rotate(&mine.refresh).await;
        }
        ("POST", "/t/{tenant}/password") => {
            here.login_as("theo", "meadow-Anchor 2 copper").await.expect(200);
            here.login_as("theo", "meadow-Anchor 1 copper").await.expect(401);
            here.rotate(&mine.refresh).await;
        }
        ("POST", "/t/{tenant}/revoke") | ("DELETE", "/t/{tenant}/sessions/{sid}") => {
            here.refuses(&other.refresh).await;
            here.rotate(&mine.refresh).await;
        }
        ("DELETE", "/t/{tenant}/sessions") => {
            here.refuses(&mine.refresh).await;
            here.rotate(&other.refresh).await;
        }
        _ => {
            here.rotate(&mine.refresh).await;
            here.rotate(&other.refresh).await;
        }
    }
}
