//! The feed of revocations: what it says, how it goes on, what it costs, and that nothing slips past a cursor.

use std::collections::BTreeSet;

use leasehold_tests::clock::now;
use leasehold_tests::http::{Call, Reply};
use leasehold_tests::proxy::Proxy;
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::table::Table;
use leasehold_tests::tenant::{Tenant, USER};
use serde_json::{Value, json};

use crate::support::{seconds, timed};

const FEED: &str = "/.well-known/revocations";

async fn page(tenant: &Tenant, since: &str) -> Reply {
    let query = if since.is_empty() { String::new() } else { format!("?since={since}") };
    Call::get(tenant.url(&format!("{FEED}{query}"))).send(&tenant.http).await.expect(200)
}

/// Follows the pages from a cursor; what was revoked and where to go on.
async fn follow(tenant: &Tenant, since: &str) -> (Vec<Value>, String) {
    let (mut entries, mut since) = (Vec::new(), since.to_owned());
    loop {
        let page = page(tenant, &since).await.json();
        entries.extend(page["revoked"].as_array().expect("revoked").iter().cloned());
        page["next"].as_str().expect("next").clone_into(&mut since);
        if page["more"] == false {
            return (entries, since);
        }
    }
}

fn has(entries: &[Value], wanted: &Value) -> bool {
    entries
        .iter()
        .any(|entry| wanted.as_object().expect("an object").iter().all(|(name, value)| &entry[name] == value))
}

#[tokio::test]
async fn every_kind_of_revocation_is_told() {
    let stack = shared();
    let tenant = Tenant::create(stack).await;
    let first = page(&tenant, "").await.json();
    assert_eq!((&first["revoked"], &first["more"], &first["epoch"]), (&json!([]), &json!(false), &json!(0)));
    assert_eq!(first["issuer"], tenant.issuer.as_str());
    assert_eq!(first["keys"][0], tenant.jwks().await["keys"][0]["kid"]);
    assert_eq!(first["keys"].as_array().map(Vec::len), Some(1));

    let session = tenant.login().await;
    let sub = session.jwt().claim("sub");
    tenant.revoke(&session.refresh).await.expect(200);
    let session = tenant.login().await;
    tenant.sign_out_everywhere(&session.access).await.expect(204);
    stack
        .operator(&tenant.http, &json!({"op": "user.disable", "tenant": tenant.name, "username": USER}))
        .await;
    let (entries, _) = follow(&tenant, "").await;
    for wanted in [
        json!({"kind": "session"}),
        json!({"kind": "user", "sub": sub, "epoch": 1}),
        json!({"kind": "user", "sub": sub, "epoch": 2}),
    ] {
        assert!(has(&entries, &wanted), "{wanted} in {entries:?}");
    }
    assert!(
        entries.iter().all(|entry| (entry["at"].as_i64().expect("at") - now()).abs() < 30),
        "{entries:?}"
    );

    let command = |op: &str| json!({"op": op, "tenant": tenant.name});
    stack.operator(&tenant.http, &command("tenant.suspend")).await;
    let gone = Call::get(tenant.url(FEED)).send(&tenant.http).await.expect(404);
    assert_eq!(gone.error(), "invalid_request", "what a verifier takes for: not served");
    stack.operator(&tenant.http, &command("tenant.resume")).await;
    let after = page(&tenant, "").await.json();
    assert_eq!(after["epoch"], 1);
    assert!(has(after["revoked"].as_array().expect("revoked"), &json!({"kind": "tenant", "epoch": 1})));
}

#[tokio::test]
async fn without_news_it_costs_a_304_and_with_news_it_does_not() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let url = async |since: &str| Call::get(tenant.url(&format!("{FEED}?since={since}")));
    // A cursor is rounded down to the minute: begin one.
    timed.clock.advance(seconds(61 - u64::try_from(timed.clock.now() % 60).expect("positive")));
    let first = page(&tenant, "").await;
    assert_eq!(first.header("cache-control"), "public, max-age=2");
    assert_eq!(first.header("access-control-allow-origin"), "*");
    let since = first.string("next");
    let again = page(&tenant, &since).await;
    let tag = again.header("etag").to_owned();
    let unchanged = url(&since).await.header("if-none-match", &tag).send(&tenant.http).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let session = tenant.login().await;
    tenant.revoke(&session.refresh).await.expect(200);
    let news = url(&since).await.header("if-none-match", &tag).send(&tenant.http).await.expect(200);
    assert!(has(news.json()["revoked"].as_array().expect("revoked"), &json!({"sid": session.sid})));
}

/// An item as a writer leaves it, with a time of one's own.
fn item(tenant: &str, at_millis: i64, random: &str, sid: &str) -> Value {
    let bucket = at_millis / 1000 / 600;
    json!({
        "PK": {"S": format!("T#{tenant}#R#{bucket}")}, "SK": {"S": format!("{at_millis:013}#{random}")},
        "kind": {"S": "session"}, "sid": {"S": sid}, "at": {"N": at_millis.to_string()},
        "schema": {"N": "1"}, "expires_at": {"N": (at_millis / 1000 + 4200).to_string()},
    })
}

#[tokio::test]
async fn many_are_told_in_pages_and_none_is_left_out() {
    let tenant = Tenant::create(shared()).await;
    let table = Table::open(&shared().endpoint("dynamodb"), &tenant.http).await;
    let mut sids = BTreeSet::new();
    // Over four buckets, some in the same millisecond.
    for n in 0..1300_i64 {
        let sid = format!("{n:032x}");
        let at = now() * 1000 - 1_800_000 + (n / 3) * 4000;
        table.put(&item(&tenant.name, at, &format!("AbC-_{n:07}"), &sid)).await;
        sids.insert(sid);
    }
    let first = page(&tenant, "").await.json();
    let entries = first["revoked"].as_array().expect("revoked").len();
    assert!((500..1000).contains(&entries) && first["more"] == true, "{entries} entries on a page");
    let (told, next) = follow(&tenant, "").await;
    let told: BTreeSet<String> =
        told.iter().map(|entry| entry["sid"].as_str().expect("sid").to_owned()).collect();
    assert_eq!(told, sids);
    let (rest, _) = follow(&tenant, &next).await;
    // Three in four seconds, until 68 s ago; read from 150 s before the cursor, which was rounded down to a minute.
    assert!(rest.len() <= 110, "who is up to date reads the last minutes alone: {}", rest.len());
}

#[tokio::test]
async fn an_entry_that_comes_late_is_told_to_who_was_up_to_date() {
    let tenant = Tenant::create(shared()).await;
    let table = Table::open(&shared().endpoint("dynamodb"), &tenant.http).await;
    let (_, next) = follow(&tenant, "").await;
    // A writer made it 25 s ago and its transaction is through only now.
    let sid = "ab".repeat(16);
    table.put(&item(&tenant.name, now() * 1000 - 25_000, "late-entry-0", &sid)).await;
    let (entries, _) = follow(&tenant, &next).await;
    assert!(has(&entries, &json!({"sid": sid})), "{entries:?}");
}

#[tokio::test]
async fn what_no_token_can_outlive_is_told_no_longer() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let session = tenant.login().await;
    let (_, since) = follow(&tenant, "").await;
    tenant.revoke(&session.refresh).await.expect(200);
    timed.clock.advance(seconds(3600));
    assert!(has(&follow(&tenant, "").await.0, &json!({"sid": session.sid})), "while a token may live");
    assert!(has(&follow(&tenant, &since).await.0, &json!({"sid": session.sid})), "from an old cursor too");
    timed.clock.advance(seconds(180));
    for since in ["", &since, "0"] {
        assert_eq!(follow(&tenant, since).await.0, [] as [Value; 0], "{since:?}");
    }
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused_without_an_echo() {
    let tenant = Tenant::create(shared()).await;
    for since in ["x", "-1", "1.", "99999999999999", "1.short", "T%23acme", "1800000000000.AbC%23_9012345"] {
        let reply = Call::get(tenant.url(&format!("{FEED}?since={since}"))).send(&tenant.http).await;
        let reply = reply.expect_error(400, "invalid_request");
        assert!(since.len() < 3 || !reply.text().contains(since), "{reply}");
    }
    // Cursors that can be: of the beginning, of the future, of another tenant.
    let other = Tenant::create(shared()).await;
    let (_, of_other) = follow(&other, "").await;
    for since in ["0", "9999999999999", "9999999999999.AbC-_9012345", &of_other] {
        assert_eq!(page(&tenant, since).await.json()["revoked"], json!([]), "{since}");
    }
}

#[tokio::test]
async fn one_tenants_feed_tells_nothing_of_another() {
    let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let session = there.login().await;
    there.revoke(&session.refresh).await.expect(200);
    let text = page(&here, "").await.text();
    assert!(!text.contains(&there.name) && !text.contains(&session.sid), "{text}");
}

#[tokio::test]
async fn who_is_up_to_date_costs_one_read_and_a_query() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let (_, since) = follow(&tenant, "").await;
    let mark = proxy.mark();
    page(&tenant, &since).await;
    let operations = proxy.operations_since(mark);
    let queries = operations.iter().filter(|name| *name == "Query").count();
    assert!((1..=2).contains(&queries), "two at the border of buckets: {operations:?}");
    assert_eq!(operations.iter().filter(|name| *name == "BatchGetItem").count(), 1);
    assert_eq!(operations.len(), 1 + queries, "{operations:?}");
}
