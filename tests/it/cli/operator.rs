//! What operators do, and the exit codes by which their scripts know how it went.

use leasehold_tests::cli::Cli;
use leasehold_tests::http::Http;
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::tenant::{PASSWORD, Tenant, USER, fresh_name};
use serde_json::json;

#[tokio::test]
async fn a_tenant_is_created_with_a_one_time_code_and_listed() {
    let cli = Cli::of(shared());
    let name = fresh_name();
    let create = [
        "tenant",
        "create",
        &name,
        "--admin",
        "root",
        "--algorithm",
        "EdDSA",
        "--policy",
        "idle_seconds=3600",
    ];
    let made = cli.run(&create).expect(0);
    assert!(made.out.contains(&format!("/t/{name}")) && made.out.contains("lhc_"), "{made}");
    assert!(
        made.err.contains(&format!("leasehold password {}/t/{name} --username root", shared().base_url())),
        "{made}"
    );
    let shown = cli.run(&["tenant", "show", &name, "--json"]).expect(0).json();
    assert_eq!((&shown["algorithm"], &shown["policy"]["idle_seconds"]), (&json!("EdDSA"), &json!(3600)));
    assert_eq!(shown["keys"].as_array().map(Vec::len), Some(1));
    let listed = cli.run(&["tenant", "list"]).expect(0);
    assert!(listed.out.lines().any(|line| line == name), "{listed}");
    let listed = cli.run(&["tenant", "list", "--json"]).expect(0).json();
    assert!(listed.as_array().is_some_and(|tenants| tenants.contains(&json!(name))), "{listed}");
    let table = cli.run(&["tenant", "show", &name]).expect(0);
    assert!(
        table.out.contains("KID") && table.out.contains("active") && table.out.contains("EdDSA"),
        "{table}"
    );
}

#[tokio::test]
async fn clients_of_a_new_tenant_come_from_a_file_and_a_password_from_standard_input() {
    let cli = Cli::of(shared());
    let name = fresh_name();
    let clients = json!([
        {"client_id": "shop", "type": "public", "audiences": ["https://api.example"], "scopes": ["read"]},
        {"client_id": "back", "type": "confidential", "audiences": ["https://api.example"], "scopes": ["read"]},
    ]);
    std::fs::write(cli.home().join("clients.json"), clients.to_string()).expect("a file");
    let create = [
        "tenant",
        "create",
        &name,
        "--admin",
        "root",
        "--password-stdin",
        "--clients",
        "clients.json",
        "--json",
    ];
    let made = cli.run_with(&create, &format!("{PASSWORD}\n")).expect(0).json();
    assert!(made["admin"]["code"].is_null(), "a password was given");
    assert!(
        made["clients"]
            .as_array()
            .is_some_and(|clients| clients.iter().any(|client| client["client_secret"].is_string()))
    );
    let login =
        ["login", &format!("{}/t/{name}", shared().base_url()), "--username", "root", "--password-stdin"];
    cli.run_with(&login, PASSWORD).expect(0);
}

#[tokio::test]
async fn a_tenant_is_suspended_and_resumed() {
    let (cli, tenant) = (Cli::of(shared()), Tenant::create(shared()).await);
    let session = tenant.login().await;
    assert_eq!(
        cli.run(&["tenant", "suspend", &tenant.name]).expect(0).out,
        format!("{}: suspended\n", tenant.name)
    );
    tenant.refuses(&session.refresh).await;
    assert_eq!(cli.run(&["tenant", "show", &tenant.name, "--json"]).expect(0).json()["status"], "suspended");
    assert_eq!(cli.run(&["tenant", "resume", &tenant.name, "--json"]).expect(0).json()["status"], "active");
    tenant.login().await;
}

#[tokio::test]
async fn a_tenant_is_deleted_only_by_who_says_so() {
    let (cli, tenant) = (Cli::of(shared()), Tenant::create(shared()).await);
    let refused = cli.run(&["tenant", "delete", &tenant.name]).expect(2);
    assert!(refused.err.contains("--yes"), "{refused}");
    cli.run_with(&["tenant", "delete", &tenant.name], &format!("{}\n", tenant.name)).expect(2);
    tenant.login().await;
    let deleted = cli.run(&["tenant", "delete", &tenant.name, "--yes"]).expect(0);
    assert_eq!(deleted.out, format!("{}: deleted\n", tenant.name));
    tenant.login_as(USER, PASSWORD).await.expect_error(401, "invalid_credentials");
    assert_eq!(cli.run(&["tenant", "show", &tenant.name, "--json"]).expect(0).json()["status"], "deleted");
    cli.run(&["tenant", "create", &tenant.name, "--admin", "root"]).expect(6);
}

#[tokio::test]
async fn custody_is_limited() {
    let (cli, tenant) = (Cli::of(shared()), Tenant::create(shared()).await);
    let limited = cli.run(&["tenant", "limit", &tenant.name, "--custody", "kms"]).expect(0);
    assert_eq!(limited.out, format!("{}: kms\n", tenant.name));
    let both =
        cli.run(&["tenant", "limit", &tenant.name, "--custody", "kms,wrapped", "--json"]).expect(0).json();
    assert_eq!(both["allowed_custody"], json!(["kms", "wrapped"]));
}

#[tokio::test]
async fn an_admins_access_is_restored_by_a_code() {
    let (cli, tenant) = (Cli::of(shared()), Tenant::create(shared()).await);
    let restored = cli.run(&["admin", "restore", &tenant.name, "newcomer"]).expect(0);
    assert!(restored.out.contains("lhc_") && restored.err.contains(&tenant.issuer), "{restored}");
    let restored = cli.run(&["admin", "restore", &tenant.name, "newcomer", "--json"]).expect(0).json();
    assert!(restored["code"].as_str().is_some_and(|code| code.starts_with("lhc_")), "{restored}");
}

#[tokio::test]
async fn refusals_have_exit_codes_and_say_why() {
    let (cli, tenant) = (Cli::of(shared()), Tenant::create(shared()).await);
    for (arguments, code) in [
        (&["tenant", "show", "nobody-has-this"][..], 5),
        (&["tenant", "suspend", "nobody-has-this"], 5),
        (&["admin", "restore", "nobody-has-this", "root"], 5),
        (&["doctor", "nobody-has-this"], 5),
        (&["tenant", "create", &tenant.name, "--admin", "root"], 6),
        (&["tenant", "create", "UPPER", "--admin", "root"], 2),
        (&["tenant", "create", &fresh_name(), "--admin", "root", "--policy", "idle_seconds=1"], 2),
        (&["tenant", "create", &fresh_name(), "--admin", "root", "--policy", "no_such_member=1"], 2),
        (&["tenant", "create", &fresh_name(), "--admin", "root", "--clients", "not-there.json"], 2),
        (&["tenant", "no-such-command"], 2),
        (&["keys", "list"], 3),
    ] {
        let ran = cli.run(arguments).expect(code);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{ran}");
    }
    let ran = cli.run(&["tenant", "show", "nobody-has-this", "--json"]).expect(5);
    let said: serde_json::Value = serde_json::from_str(&ran.err).expect("JSON for scripts");
    assert_eq!(said["error"]["exit_code"], 5);
}

#[tokio::test]
async fn no_answer_is_an_exit_code_of_its_own() {
    let cli = Cli::anywhere()
        .env("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")
        .env("AWS_ACCESS_KEY_ID", "id")
        .env("AWS_SECRET_ACCESS_KEY", "key")
        .env("AWS_REGION", "eu-west-1");
    cli.run(&["tenant", "list", "--function", "operator"]).expect(7);
    Cli::anywhere().run(&["tenant", "list", "--local=.local"]).expect(2);
}

#[tokio::test]
async fn the_doctor_tells_custody_keys_costs_and_quota() {
    let http = Http::new();
    let stack = Setup::default().start();
    let cli = Cli::of(&stack);
    for (name, algorithm, custody) in
        [("acme", "RS256", "kms"), ("globex", "ES256", "kms"), ("initech", "EdDSA", "wrapped")]
    {
        let create = json!({"op": "tenant.create", "tenant": name, "algorithm": algorithm, "custody": custody,
            "admin": {"username": "root", "password": PASSWORD}});
        stack.operator(&http, &create).await;
    }
    let report = cli.run(&["doctor", "--rate", "50", "--json"]).expect(0).json();
    let of = |name: &str, member: &str| {
        let tenants = report["tenants"].as_array().expect("tenants");
        tenants.iter().find(|tenant| tenant["tenant"] == name).expect("the tenant")[member].clone()
    };
    for (name, custody, rent, million, otherwise, share) in [
        ("acme", "kms", 1.0, 3.0, 0.0, 0.05),
        ("globex", "kms", 1.0, 15.0, 0.0, 0.05),
        ("initech", "wrapped", 0.0, 0.0, 15.0, 0.0),
    ] {
        assert_eq!(of(name, "custody"), custody);
        assert_eq!(of(name, "key_rent_per_month"), rent, "{name}");
        assert_eq!(of(name, "kms_cost_per_million_refreshes"), million, "{name}");
        assert_eq!(of(name, "kms_cost_per_million_refreshes_in_other_custody"), otherwise, "{name}");
        assert_eq!(of(name, "quota_share"), share, "{name}");
        assert!(of(name, "keys")[0]["age_seconds"].is_u64(), "{report}");
    }
    let figures = report["figures"].as_array().expect("figures");
    assert!(
        figures.iter().all(|figure| figure["source"].as_str().is_some_and(|source| source.contains("2026")))
    );
    let table = cli.run(&["doctor", "acme"]).expect(0);
    assert!(table.out.contains("QUOTA AT 10/S") && table.out.contains("not checked against AWS"), "{table}");
    assert!(!table.out.contains("globex"), "only what was asked for: {table}");
}

#[test]
fn completions_are_printed_for_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = Cli::anywhere().run(&["completions", shell]).expect(0);
        assert!(ran.out.contains("leasehold") && ran.out.contains("compromise"), "{shell}");
    }
}
