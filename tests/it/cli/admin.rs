//! What a tenant's admin does.

use leasehold_tests::cli::Cli;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{API, PASSWORD, Session, Tenant, USER};
use serde_json::{Value, json};

use super::session::sign_in;

async fn signed_in() -> (Cli, Tenant) {
    let tenant = Tenant::create(shared()).await;
    let cli = Cli::anywhere();
    sign_in(&cli, &tenant);
    (cli, tenant)
}

#[tokio::test]
async fn keys_are_rotated_and_rolled_back() {
    let (cli, tenant) = signed_in().await;
    let listed = || cli.run(&["keys", "list", "--json"]).expect(0).json();
    let first = listed()["signing"].as_str().expect("a key").to_owned();
    let planned = cli.run(&["keys", "rotate", "--json"]).expect(0).json();
    let second = planned["key"]["kid"].as_str().expect("a key").to_owned();
    assert_eq!(listed()["planned"]["kid"], second.as_str());
    let early = cli.run(&["keys", "promote", &second]).expect(6);
    assert!(early.err.contains("not before"), "{early}");
    cli.run(&["keys", "promote", &second, "--force"]).expect(2);
    cli.run(&["keys", "promote", &second, "--force", "--yes"]).expect(0);
    assert_eq!(listed()["signing"], second.as_str());
    assert_eq!(tenant.login().await.jwt().header["kid"], second.as_str());
    cli.run(&["keys", "rollback", &first]).expect(0);
    assert_eq!(listed()["signing"], first.as_str());
    let retained = cli.run(&["keys", "retain", &second, "--json"]).expect(0).json();
    assert_eq!(retained["key"]["retained"], true);
    assert_eq!(
        cli.run(&["keys", "retain", &second, "--release", "--json"]).expect(0).json()["key"]["retained"],
        false
    );
    let table = cli.run(&["keys", "list"]).expect(0);
    assert!(table.out.starts_with("KID") && table.out.contains("active"), "{table}");
    cli.run(&["keys", "rollback", "no-such-key-anywhere"]).expect(5);
}

#[tokio::test]
async fn a_kid_may_begin_with_a_hyphen() {
    let (cli, _tenant) = signed_in().await;
    for kid in ["-sdaUAOvUMimlLBUcalSrM_ewoQpYcWUgi7NRJ5EEIc", "--daUAOvUMimlLBUcalSrM_ewoQpYcWUgi7NRJ5EEIc"]
    {
        cli.run(&["keys", "rollback", kid]).expect(5);
        cli.run(&["keys", "retain", kid, "--release"]).expect(5);
        cli.run(&["keys", "promote", "--force", "--yes", kid]).expect(5);
        cli.run(&["keys", "compromise", kid]).expect(2);
        cli.run(&["keys", "compromise", kid, "--yes"]).expect(5);
    }
    let help = cli.run(&["keys", "promote", "-h"]).expect(0);
    assert!(help.out.contains("Usage: leasehold keys promote"), "{help}");
}

#[tokio::test]
async fn a_key_is_given_up_only_by_who_says_so() {
    let (cli, tenant) = signed_in().await;
    let kid = tenant.jwks().await["keys"][0]["kid"].as_str().expect("a key").to_owned();
    cli.run(&["keys", "compromise", &kid]).expect(2);
    assert_eq!(tenant.jwks().await["keys"][0]["kid"], kid.as_str());
    let given_up = cli.run(&["keys", "compromise", &kid, "--yes", "--json"]).expect(0).json();
    assert_eq!(given_up["key"]["state"], "compromised");
    assert!(
        tenant.jwks().await["keys"]
            .as_array()
            .is_some_and(|keys| keys.iter().all(|key| key["kid"] != kid.as_str()))
    );
    cli.run(&["keys", "list"]).expect(0);
}

#[tokio::test]
async fn a_user_is_made_changed_and_deleted() {
    let (cli, tenant) = signed_in().await;
    let create = ["users", "create", "grace", "--roles", "member,editor", "--claim", "plan=free", "--json"];
    let made = cli.run(&create).expect(0).json();
    let (id, code) =
        (made["user"]["user_id"].as_str().expect("an id"), made["code"].as_str().expect("a code"));
    let set = ["password", &tenant.issuer, "--username", "grace", "--code", code, "--password-stdin"];
    cli.run_with(&set, PASSWORD).expect(0);
    let claims = Session::from_reply(&tenant.login_as("grace", PASSWORD).await.expect(200)).jwt().claims;
    assert_eq!((&claims["roles"], &claims["plan"]), (&json!(["editor", "member"]), &json!("free")));

    let update = [
        "users",
        "update",
        "grace",
        "--add-role",
        "chief",
        "--remove-role",
        "editor",
        "--claim",
        "beta=true",
        "--json",
    ];
    let changed = cli.run(&update).expect(0).json();
    assert_eq!(
        (&changed["roles"], &changed["claims"]),
        (&json!(["chief", "member"]), &json!({"beta": true, "plan": "free"}))
    );
    let shown = cli.run(&["users", "show", id]).expect(0);
    assert!(shown.out.contains("chief,member"), "{shown}");
    let listed = cli.run(&["users", "list"]).expect(0);
    assert!(listed.out.contains("grace") && listed.out.contains(USER), "{listed}");

    cli.run(&["users", "disable", "grace"]).expect(0);
    tenant.login_as("grace", PASSWORD).await.expect_error(401, "invalid_credentials");
    cli.run(&["users", "enable", "grace"]).expect(0);
    tenant.login_as("grace", PASSWORD).await.expect(200);
    let reset = cli.run(&["users", "reset", "grace", "--json"]).expect(0).json();
    assert!(reset["code"].as_str().is_some_and(|code| code.starts_with("lhc_")), "{reset}");
    cli.run(&["users", "delete", "grace"]).expect(2);
    cli.run(&["users", "delete", "grace", "--yes"]).expect(0);
    cli.run(&["users", "show", "grace"]).expect(5);
    cli.run(&["users", "show", id]).expect(5);
}

#[tokio::test]
async fn what_stands_against_a_change_is_an_exit_code() {
    let (cli, _) = signed_in().await;
    for (arguments, code) in [
        (&["users", "create", USER][..], 6),
        (&["users", "create", "NOT A NAME"], 2),
        (&["users", "create", "x", "--claim", "iss=evil"], 2),
        (&["users", "update", "nobody", "--roles", "x"], 5),
        (&["users", "update", USER], 2),
        (&["users", "show", "usr_00000000000000000000000000000000"], 5),
        (&["clients", "show", "nobody"], 5),
        (&["clients", "create", "shop-app"], 6),
        (&["clients", "update", "shop-app"], 2),
        (&["policy", "set", "idle_seconds=1"], 2),
        (&["policy", "set", "no_such_member=1"], 2),
    ] {
        let ran = cli.run(arguments).expect(code);
        assert!(ran.out.is_empty() && ran.err.starts_with("leasehold: "), "{ran}");
    }
    let bounds = cli.run(&["policy", "set", "idle_seconds=1"]).expect(2);
    assert!(bounds.err.contains("idle_seconds") && bounds.err.contains("30"), "{bounds}");
}

#[tokio::test]
async fn a_session_with_fewer_rights_is_held_to_them() {
    let tenant = Tenant::create(shared()).await;
    let cli = Cli::anywhere();
    let login =
        ["login", &tenant.issuer, "--username", "root-admin", "--password-stdin", "--scope", "admin:audit"];
    cli.run_with(&login, leasehold_tests::tenant::ADMIN_PASSWORD).expect(0);
    cli.run(&["audit", "tail"]).expect(0);
    cli.run(&["keys", "rotate"]).expect(4);
}

#[tokio::test]
async fn a_client_is_registered_changed_and_deleted() {
    let (cli, _) = signed_in().await;
    let create = [
        "clients",
        "create",
        "batch",
        "--type",
        "confidential",
        "--audiences",
        API,
        "--scopes",
        "read,write",
        "--json",
    ];
    let made = cli.run(&create).expect(0).json();
    let secret = made["client_secret"].as_str().expect("a secret").to_owned();
    let again = cli.run(&["clients", "secret", "batch", "--overlap", "1h", "--json"]).expect(0).json();
    assert_ne!(again["client_secret"], secret.as_str());
    assert!(again["previous_expires_at"].is_u64(), "{again}");
    let changed = cli
        .run(&["clients", "update", "batch", "--scopes", "read", "--status", "disabled", "--json"])
        .expect(0);
    assert_eq!(
        (&changed.json()["scopes"], &changed.json()["status"]),
        (&json!(["read"]), &json!("disabled"))
    );
    let shown = cli.run(&["clients", "show", "batch"]).expect(0);
    assert!(shown.out.contains("confidential") && !shown.out.contains(&secret), "{shown}");
    let listed = cli.run(&["clients", "list"]).expect(0);
    assert!(listed.out.contains("batch") && listed.out.contains("shop-app"), "{listed}");
    cli.run(&["clients", "delete", "batch"]).expect(2);
    cli.run(&["clients", "delete", "batch", "--yes"]).expect(0);
    cli.run(&["clients", "show", "batch"]).expect(5);
}

#[tokio::test]
async fn sessions_of_a_user_are_listed_and_ended() {
    let (cli, tenant) = signed_in().await;
    let (one, two) = (tenant.login().await, tenant.login().await);
    let listed = cli.run(&["sessions", "list", USER, "--json"]).expect(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    cli.run(&["sessions", "end", USER, &one.sid]).expect(0);
    tenant.refuses(&one.refresh).await;
    let two = tenant.rotate(&two.refresh).await;
    cli.run(&["sessions", "end", USER]).expect(0);
    tenant.refuses(&two.refresh).await;
}

#[tokio::test]
async fn the_policy_is_shown_with_bounds_and_changed() {
    let (cli, tenant) = signed_in().await;
    let set =
        cli.run(&["policy", "set", "access_token_seconds=60", "spare_key=true", "--json"]).expect(0).json();
    assert_eq!(
        (&set["policy"]["access_token_seconds"], &set["policy"]["spare_key"]),
        (&json!(60), &json!(true))
    );
    assert_eq!(tenant.login().await.body["expires_in"], 60);
    let table = cli.run(&["policy", "get"]).expect(0);
    let row = table.out.lines().find(|line| line.starts_with("access_token_seconds")).expect("a row");
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["access_token_seconds", "60", "900", "10", "3600"]
    );
}

#[tokio::test]
async fn the_audit_log_tells_what_was_done() {
    let (cli, _) = signed_in().await;
    cli.run(&["users", "create", "grace"]).expect(0);
    cli.run(&["users", "disable", "grace"]).expect(0);
    let events: Vec<Value> = cli
        .run(&["audit", "tail", "--json"])
        .expect(0)
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event a line"))
        .collect();
    let times: Vec<_> = events.iter().filter_map(|event| event["at"].as_u64()).collect();
    assert!(times.is_sorted(), "the oldest first: {times:?}");
    let last = events.last().expect("an event");
    assert_eq!((&last["actor"]["kind"], &last["outcome"]), (&json!("user"), &json!("ok")), "{last}");
    assert_eq!(cli.run(&["audit", "tail", "--limit", "1"]).expect(0).out.lines().count(), 1);
    assert!(cli.run(&["audit", "tail", "--since", "1h"]).expect(0).out.contains("operator"));
}
