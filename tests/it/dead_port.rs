//! The functions find AWS only through the endpoints they are given.

use std::fs;

use leasehold_tests::http::{Call, Http};
use leasehold_tests::stack::{Setup, free_port};
use leasehold_tests::tenant::{APP, PASSWORD, USER, create_command, fresh_name};
use serde_json::json;

/// The remote addresses of a process's TCP connections, established or being tried.
fn remotes(pid: u32) -> Vec<String> {
    let mut found = Vec::new();
    let mut inodes = Vec::new();
    for file in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        if let Ok(target) = fs::read_link(file.path()) {
            let target = target.to_string_lossy().into_owned();
            inodes.extend(target.strip_prefix("socket:[").map(|rest| rest.trim_end_matches(']').to_owned()));
        }
    }
    for table in ["tcp", "tcp6"] {
        for line in fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.len() > 9 && inodes.iter().any(|inode| inode == fields[9]) && fields[3] != "0A" {
                found.push(fields[2].to_owned());
            }
        }
    }
    found
}

#[tokio::test]
async fn pointed_at_a_dead_port_nothing_works_and_nothing_else_is_contacted() {
    let dead = format!("http://127.0.0.1:{}", free_port());
    let stack =
        Setup::default().endpoints(&dead, &dead).function_env("REQUEST_DEADLINE_SECONDS", "2").start();
    let http = Http::new();
    let name = fresh_name();
    let url = |path: &str| format!("{}/t/{name}{path}", stack.base_url());

    let made =
        stack.invoke(&http, &create_command(&name, "ES256", &json!({}))).await.expect("an answer").json();
    assert!(made.get("ok").is_none(), "{made}");

    let login = json!({"client_id": APP, "username": USER, "password": PASSWORD});
    let token = leasehold_tests::token::RefreshToken {
        user: [1; 16],
        family: [2; 16],
        generation: 1,
        proof: [3; 16],
        secret: [4; 32],
    }
    .encode();
    let calls = [
        Call::post(url("/login")).json(&login),
        Call::post(url("/refresh")).json(&json!({"client_id": APP, "refresh_token": token})),
        Call::post(url("/revoke")).json(&json!({"client_id": APP, "token": token})),
        Call::get(url("/.well-known/jwks.json")),
    ];
    let mut seen = Vec::new();
    for call in calls {
        let what = format!("{call:?}");
        let sent = tokio::spawn({
            let http = http.clone();
            async move { call.send(&http).await }
        });
        while !sent.is_finished() {
            for function in ["login", "refresh", "revoke", "jwks", "operator"] {
                for pid in stack.instances_of(function) {
                    seen.extend(remotes(pid));
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let reply = sent.await.expect("an answer");
        assert_eq!(reply.status, 503, "{what}: {reply}");
    }
    assert!(!seen.is_empty(), "the functions at least speak to the runtime API");
    for remote in seen {
        let loopback =
            remote.starts_with("0100007F:") || remote.starts_with("00000000000000000000000001000000:");
        assert!(loopback, "a function contacted {remote}");
    }
}
