//! Both releases at once on one table and one KMS, as while Lambda changes over. By hand, since it needs the other
//! release's binaries: see the module above.

mod administration;
mod sessions;

use leasehold_tests::http::Http;
use leasehold_tests::stack::Stack;
use leasehold_tests::table::Table;
use leasehold_tests::tenant::{Admin, Tenant, fresh_name};
use serde_json::json;

use super::scene::{Held, scene};
use super::{previous, setup, table};

/// A tenant that one release made, and the way to it through either.
struct Sides<'a> {
    /// The release that played the scene.
    maker: &'a Stack,
    visitor: &'a Stack,
    /// Through the maker.
    here: Tenant,
    /// Through the visitor.
    there: Tenant,
    held: Held,
}

impl<'a> Sides<'a> {
    async fn new(maker: &'a Stack, visitor: &'a Stack, table: &Table, issuer: &str) -> Self {
        let name = fresh_name();
        let held = scene(maker, table, &name).await;
        let here = Tenant {
            issuer: format!("{issuer}/t/{name}"),
            base: format!("{}/t/{name}", maker.base_url()),
            secret: held.shown["backend"].clone(),
            name: name.clone(),
            http: Http::new(),
        };
        let there = Tenant { base: format!("{}/t/{name}", visitor.base_url()), ..here.clone() };
        Self { maker, visitor, here, there, held }
    }

    /// Both ways, for what each is to do to the other.
    fn both(&self) -> [(&Tenant, &Tenant); 2] {
        [(&self.here, &self.there), (&self.there, &self.here)]
    }

    /// An admin, at either; signed in at the first.
    async fn admins(&self) -> [Admin; 2] {
        let here = self.here.admin().await;
        let mut there = here.clone();
        there.base = format!("{}/admin", self.there.base);
        [here, there]
    }

    fn token(&self, what: &str) -> &str {
        &self.held.tokens[what]
    }

    /// Suspended, resumed and removed by the visitor; the maker's schedule clears up.
    async fn end(&self) {
        let command = |op: &str| json!({"op": op, "tenant": self.here.name});
        for op in ["tenant.suspend", "tenant.resume"] {
            self.visitor.operator(&self.there.http, &command(op)).await;
        }
        let session = self.here.login().await;
        self.visitor.operator(&self.there.http, &command("tenant.delete")).await;
        self.here.refuses(&session.refresh).await;
        let run = async |stack: &Stack| stack.operator(&self.here.http, &json!({"op": "schedule.run"})).await;
        for stack in [self.maker, self.visitor, self.maker] {
            assert_eq!(run(stack).await["failed"], 0);
        }
        let shown = self.visitor.operator(&self.there.http, &command("tenant.show")).await;
        assert!(shown["deletion"]["done_at"].is_number(), "{shown}");
    }
}

/// No request was answered with 500, and nothing was unreadable.
fn all_was_read(stack: &Stack) {
    let logs = stack.logs();
    assert!(logs.contains("\"status\":200"), "requests are logged as this looks for them");
    let unread: Vec<&str> = logs
        .lines()
        .filter(|line| ["corrupt", "panic", "\"status\":500"].iter().any(|bad| line.contains(bad)))
        .collect();
    assert!(unread.is_empty(), "{unread:#?}");
}

#[tokio::test]
#[ignore = "needs the binaries of the release before in PREVIOUS"]
async fn both_releases_serve_one_table() {
    // Rotations are forced here, so that authorizers meet keys that they do not know.
    let setup = || setup().function_env("LOOK_UP_COOL_DOWN_SECONDS", "1");
    let stack = setup().start();
    let table = table(&stack).await;
    let other = setup()
        .binaries(&previous())
        .endpoints(&stack.endpoint("dynamodb"), &stack.endpoint("kms"))
        .public_url(&stack.base_url())
        .start();
    for (maker, visitor) in [(&stack, &other), (&other, &stack)] {
        let sides = Sides::new(maker, visitor, &table, &stack.base_url()).await;
        sides.sessions_go_to_and_fro().await;
        sides.what_one_ends_the_other_refuses().await;
        sides.people_of_one_sign_in_at_the_other().await;
        sides.clients_of_one_prove_themselves_at_the_other().await;
        sides.rules_of_one_hold_at_the_other().await;
        sides.creations_may_come_again_at_the_other().await;
        sides.keys_change_custody_and_change_back().await;
        sides.what_is_counted_at_either_adds_up().await;
        sides.end().await;
    }
    all_was_read(&stack);
    all_was_read(&other);
}
