//! What admins and verifiers are told of the time before: users, audit log, health, revocations.

use std::collections::BTreeSet;

use leasehold_tests::http::Call;
use leasehold_tests::tenant::Session;
use leasehold_tests::token::RefreshToken;
use serde_json::{Value, json};

use super::super::scene::{VERSION, names};
use super::super::text;
use super::{Kept, moment};
use crate::support::restart;

#[tokio::test]
async fn every_user_of_then_is_listed_and_a_page_goes_on_where_it_ended() {
    let kept = Kept::start().await;
    let admin = kept.tenant.admin().await;
    let all = admin.get("/users?limit=100").await.expect(200).json();
    let logins = |kind: &str| -> BTreeSet<String> {
        kept.items_of(kind).into_iter().map(|user| text(user, "login").to_owned()).collect()
    };
    let listed: BTreeSet<String> = names(&all).into_iter().collect();
    assert_eq!(listed, logins("user"));
    assert!(listed.contains("cora") && listed.contains("blowfish") && !listed.contains("gus"), "{listed:?}");
    let mut seen: Vec<String> = kept.shown("names of a page").split(' ').map(str::to_owned).collect();
    let mut cursor = kept.shown("the page after").to_owned();
    loop {
        let page = admin.get(&format!("/users?limit=5&cursor={cursor}")).await.expect(200).json();
        seen.extend(names(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(seen, names(&all), "none twice and none left out");
    kept.all_was_read();
}

#[tokio::test]
async fn the_audit_log_of_then_is_shown() {
    let kept = Kept::start().await;
    let audit = kept.tenant.admin().await.audit().await;
    let recorded = kept.items_of("audit event");
    for entry in &recorded {
        let shown = audit.iter().find(|shown| shown["id"] == text(entry, "SK"));
        let shown = shown.unwrap_or_else(|| leasehold_tests::http::fail(&format!("not shown: {entry}")));
        assert_eq!(shown["action"], text(entry, "action"), "{entry}");
        assert_eq!(shown["at"], moment(entry, "at") / 1000, "{entry}");
        let target = entry.get("target").map_or(Value::Null, |target| target["S"].clone());
        assert_eq!(shown["target"], target, "{entry}");
    }
    let actions: BTreeSet<&str> = recorded.iter().map(|entry| text(entry, "action")).collect();
    for action in
        ["tenant.create", "key.compromise", "client.secret", "user.disable", "user.import", "session.reuse"]
    {
        assert!(actions.contains(action), "{actions:?}");
    }
    kept.all_was_read();
}

#[tokio::test]
async fn the_health_of_then_is_shown_and_counted_on() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let show = async || -> Value {
        let shown = tenant.admin().await.get("/health").await.expect(200).json();
        let rows = shown["versions"].as_array().expect("versions");
        rows.iter().find(|row| row["version"] == VERSION).expect("a row").clone()
    };
    let number = |row: &Value, name: &str| row[name].as_u64().expect("a count");
    let before = show().await;
    let counted = |places: &[&str], good: Option<bool>| -> u64 {
        let rows =
            kept.items_of("health counts").into_iter().filter(|row| text(row, "SK").ends_with(VERSION));
        rows.flat_map(|row| row.as_object().expect("an item"))
            .filter_map(|(name, count)| Some((name.strip_prefix("n.")?.split_once('.')?, count)))
            .filter(|((place, reason), _)| {
                places.contains(place) && good.is_none_or(|good| (*reason == "ok") == good)
            })
            .map(|(_, count)| {
                count["N"].as_str().and_then(|count| count.parse::<u64>().ok()).expect("a count")
            })
            .sum()
    };
    let places = ["authorizer", "verify", "refresh"];
    assert_eq!(number(&before, "validations"), counted(&places, None), "{before}");
    assert_eq!(number(&before, "failures"), counted(&places, Some(false)), "{before}");
    assert_eq!(number(&before, "logins"), counted(&["login"], None), "{before}");
    assert!(number(&before, "validations") >= 4 && number(&before, "failures") >= 1, "{before}");
    let refresh = async |token: &str| {
        tenant.refresh_call(token).header("x-client-version", VERSION).send(&tenant.http).await
    };
    Session::from_reply(&refresh(kept.token("fresh")).await.expect(200));
    refresh("lhr_nonsense").await.expect(400);
    restart(&kept.stack, &["refresh"]).await;
    // The version still has its row: that three users have signed in with it was learnt then.
    let after = show().await;
    for (name, more) in [("validations", 2), ("failures", 1), ("logins", 0)] {
        assert_eq!(number(&after, name), number(&before, name) + more, "{name}: {after}");
    }
    kept.all_was_carried_through().await;
    kept.all_was_read();
}

#[tokio::test]
async fn revocations_of_then_are_told_to_verifiers() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let page = Call::get(tenant.url("/.well-known/revocations")).send(&tenant.http).await.expect(200).json();
    let told = page["revoked"].as_array().expect("revoked");
    assert_eq!((told.len(), &page["more"]), (kept.items_of("revocation").len(), &json!(false)), "{page}");
    for what in ["revoked", "ended by theft"] {
        let sid = RefreshToken::parse(kept.token(what)).session();
        let is_told = told.iter().any(|entry| entry["kind"] == "session" && entry["sid"] == sid.as_str());
        assert!(is_told, "{what}: {page}");
    }
    assert!(told.iter().filter(|entry| entry["kind"] == "user").count() >= 4, "{page}");
    kept.all_was_read();
}
