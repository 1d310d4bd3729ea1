//! Signing in, and keeping a session as an honest refresh client does: save, then use; the same token again after a lost
//! answer; confirm when nothing is in doubt.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use leasehold_tests::cli::{Cli, Ran};
use leasehold_tests::http::Call;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{ADMIN, ADMIN_PASSWORD, PASSWORD, Tenant, USER};
use serde_json::{Value, json};

use super::relay::Relay;
use crate::support::{eventually, seconds, together};

/// Signs the tenant's admin in.
pub fn sign_in(cli: &Cli, tenant: &Tenant) -> Ran {
    sign_in_at(cli, &tenant.issuer)
}

fn sign_in_at(cli: &Cli, issuer: &str) -> Ran {
    cli.run_with(&["login", issuer, "--username", ADMIN, "--password-stdin"], &format!("{ADMIN_PASSWORD}\n"))
        .expect(0)
}

fn session(cli: &Cli) -> Value {
    serde_json::from_slice(&fs::read(cli.session_file()).expect("the session file")).expect("a session")
}

/// Makes the access token one that is to be refreshed.
fn age(cli: &Cli) {
    let mut session = session(cli);
    session["received_at"] = json!(0);
    session["hold_until"] = json!(0);
    session["attempted_at"] = json!(0);
    fs::write(cli.session_file(), session.to_string()).expect("the session file");
}

#[tokio::test]
async fn an_admin_signs_in_and_out() {
    let (cli, tenant) = (Cli::anywhere(), Tenant::create(shared()).await);
    let signed_in = sign_in(&cli, &tenant);
    assert!(signed_in.out.contains(&tenant.issuer) && signed_in.out.contains("admin:keys"), "{signed_in}");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&cli.session_file()), 0o600);
    assert_eq!(mode(&cli.home().join(".config/leasehold")), 0o700);
    let status = cli.run(&["status"]).expect(0);
    assert!(status.out.contains(&format!("*  {}", tenant.issuer)) && status.out.contains(ADMIN), "{status}");
    let kept = session(&cli);
    for ran in [&signed_in, &status, &cli.run(&["status", "--json"]).expect(0)] {
        for token in ["access_token", "refresh_token"] {
            assert!(
                !ran.to_string().contains(kept[token].as_str().expect("a token")),
                "{token} is printed: {ran}"
            );
        }
    }
    cli.run(&["logout"]).expect(0);
    cli.run(&["logout"]).expect(3);
    let spent = Call::post(tenant.url("/token")).form(&[
        ("grant_type", "refresh_token"),
        ("client_id", "leasehold-admin"),
        ("refresh_token", kept["refresh_token"].as_str().expect("a token")),
    ]);
    spent.send(&tenant.http).await.expect_error(400, "invalid_grant");
    assert_eq!(cli.run(&["status", "--json"]).expect(0).json(), json!([]));
}

#[tokio::test]
async fn a_sign_in_can_have_fewer_rights() {
    let (cli, tenant) = (Cli::anywhere(), Tenant::create(shared()).await);
    let login = [
        "login",
        &tenant.issuer,
        "--username",
        ADMIN,
        "--password-stdin",
        "--scope",
        "admin:audit",
        "--json",
    ];
    assert_eq!(cli.run_with(&login, ADMIN_PASSWORD).expect(0).json()["scope"], "admin:audit");
}

#[tokio::test]
async fn whoever_may_not_sign_in_is_told_so() {
    let (cli, tenant) = (Cli::anywhere(), Tenant::create(shared()).await);
    let login = |username: &str, password: &str| {
        cli.run_with(&["login", &tenant.issuer, "--username", username, "--password-stdin"], password)
    };
    login(ADMIN, "a wrong password").expect(3);
    login("nobody", "a wrong password").expect(3);
    login(USER, PASSWORD).expect(4);
    login(ADMIN, "").expect(2);
    cli.run(&["login", &tenant.issuer, "--username", ADMIN]).expect(2);
    cli.run(&["login"]).expect(2);
    cli.run_with(&["login", "http://auth.example/t/acme", "--username", ADMIN, "--password-stdin"], "x")
        .expect(2);
    assert_eq!(cli.run(&["status", "--json"]).expect(0).json(), json!([]));
}

#[tokio::test]
async fn a_password_is_set_by_a_one_time_code_once() {
    let (cli, tenant) = (Cli::of(shared()), Tenant::create(shared()).await);
    let restored = cli.run(&["admin", "restore", &tenant.name, "newcomer", "--json"]).expect(0).json();
    let code = restored["code"].as_str().expect("a code");
    let set = |code: &str, password: &str| {
        let arguments =
            ["password", &tenant.issuer, "--username", "newcomer", "--code", code, "--password-stdin"];
        cli.run_with(&arguments, password)
    };
    set(code, "short").expect(2);
    set("lhc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", PASSWORD).expect(3);
    set(code, PASSWORD).expect(0);
    set(code, "another-Password 9 entirely").expect(3);
    let login = ["login", &tenant.issuer, "--username", "newcomer", "--password-stdin"];
    cli.run_with(&login, PASSWORD).expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_token_is_refreshed_saved_and_confirmed() {
    let tenant = Tenant::create(shared()).await;
    let relay = Relay::start(shared().gateway()).await;
    let cli = Cli::anywhere();
    sign_in_at(&cli, &relay.issuer(&tenant.name));
    let before = session(&cli);
    relay.heard();
    cli.run(&["keys", "list"]).expect(0);
    assert_eq!(session(&cli), before, "a fresh token is used as it is");
    age(&cli);
    cli.run(&["keys", "list"]).expect(0);
    let after = session(&cli);
    assert_eq!(after["sid"], before["sid"]);
    assert_ne!(after["refresh_token"], before["refresh_token"]);
    let path = |route: &str| format!("/t/{}{route}", tenant.name);
    assert_eq!(relay.heard(), ["/admin/keys", "/token", "/confirm", "/admin/keys"].map(path));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_costs_no_session() {
    let tenant = Tenant::create(shared()).await;
    let relay = Relay::start(shared().gateway()).await;
    let cli = Cli::anywhere();
    sign_in_at(&cli, &relay.issuer(&tenant.name));
    age(&cli);
    relay.heard();
    relay.lose("/token");
    cli.run(&["keys", "list"]).expect(0);
    let path = |route: &str| format!("/t/{}{route}", tenant.name);
    assert_eq!(
        relay.heard(),
        ["/token", "/token", "/admin/keys"].map(path),
        "the same token again, and nothing confirmed while an attempt may be under way"
    );
    assert!(session(&cli)["hold_until"].as_u64().is_some_and(|until| until > 0), "the new token is held");
    age(&cli);
    cli.run(&["keys", "list"]).expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_costs_no_session() {
    let tenant = Tenant::create(shared()).await;
    let relay = Relay::start(shared().gateway()).await;
    let cli = Cli::anywhere();
    sign_in_at(&cli, &relay.issuer(&tenant.name));
    let path = |route: &str| format!("/t/{}{route}", tenant.name);
    let crash_at = async |route: &'static str| {
        age(&cli);
        relay.heard();
        relay.hang(route);
        let mut running = cli.start(&["keys", "list"]);
        let mut heard = Vec::new();
        eventually("it is asked for", seconds(20), || {
            heard.extend(relay.heard());
            std::future::ready(heard.contains(&path(route)))
        })
        .await;
        running.kill().expect("it runs");
        running.wait().expect("it ends");
    };
    let before = session(&cli);
    crash_at("/token").await;
    assert_eq!(session(&cli)["refresh_token"], before["refresh_token"], "no answer has come");
    cli.run(&["keys", "list"]).expect(0);
    assert_eq!(
        relay.heard(),
        ["/token", "/admin/keys"].map(path),
        "not confirmed: the first attempt may be under way"
    );

    let before = session(&cli);
    crash_at("/confirm").await;
    assert_ne!(session(&cli)["refresh_token"], before["refresh_token"], "saved before it is used");
    cli.run(&["keys", "list"]).expect(0);
    age(&cli);
    cli.run(&["keys", "list"]).expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_at_once_refresh_their_session_once() {
    let tenant = Tenant::create(shared()).await;
    let relay = Relay::start(shared().gateway()).await;
    let cli = Cli::anywhere();
    sign_in_at(&cli, &relay.issuer(&tenant.name));
    age(&cli);
    relay.heard();
    let run = |_| {
        let cli = cli.clone();
        async move { tokio::task::spawn_blocking(move || cli.run(&["keys", "list"])).await.expect("it ends") }
    };
    for ran in together(8, run).await {
        ran.expect(0);
    }
    let heard = relay.heard();
    let times = |route: &str| heard.iter().filter(|path| path.ends_with(route)).count();
    assert_eq!((times("/token"), times("/confirm"), times("/admin/keys")), (1, 1, 8), "{heard:?}");
}

#[tokio::test]
async fn a_session_that_was_ended_is_forgotten() {
    let tenant = Tenant::create(shared()).await;
    let cli = Cli::anywhere();
    sign_in(&cli, &tenant);
    cli.run(&["sessions", "end-all"]).expect(2);
    cli.run(&["sessions", "end-all", "--yes"]).expect(0);
    let ran = cli.run(&["keys", "list"]).expect(3);
    assert!(ran.err.contains("leasehold login"), "{ran}");
    assert_eq!(cli.run(&["status", "--json"]).expect(0).json(), json!([]));
}

#[tokio::test]
async fn trouble_of_the_service_signs_nobody_out() {
    let tenant = Tenant::create(shared()).await;
    let cli = Cli::anywhere();
    sign_in(&cli, &tenant);
    let mut lost = session(&cli);
    // The same session at a service that does not answer.
    let nowhere = "http://127.0.0.1:9/t/acme";
    lost["issuer"] = json!(nowhere);
    lost["received_at"] = json!(0);
    let folder = cli.home().join(".config/leasehold/sessions");
    let path = folder.join("http_3a_2f_2f127.0.0.1_3a9_2ft_2facme.json");
    fs::write(&path, lost.to_string()).expect("a session file");
    cli.run(&["keys", "list", "--issuer", nowhere]).expect(7);
    assert!(path.exists(), "kept for when it answers again");
}

#[tokio::test]
async fn each_tenant_has_a_session_of_its_own() {
    let cli = Cli::of(shared());
    let (one, two) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    sign_in(&cli, &one);
    sign_in(&cli, &two);
    let kid = |tenant: &Tenant, flags: &[&str]| {
        let listed = cli.run(&[&["keys", "list", "--json"], flags].concat()).expect(0).json();
        (listed["items"][0]["kid"].clone(), tenant.name.clone())
    };
    let published = |tenant: Tenant| async move { tenant.jwks().await["keys"][0]["kid"].clone() };
    assert_eq!(kid(&two, &[]).0, published(two.clone()).await, "that of the last login");
    assert_eq!(kid(&one, &["--as", &one.name]).0, published(one.clone()).await);
    assert_eq!(kid(&one, &["--issuer", &one.issuer]).0, published(one.clone()).await);
}
