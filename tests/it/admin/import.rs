//! Users brought along from other systems.

use leasehold_tests::http::Reply;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{Admin, Session, Tenant, USER};
use serde_json::{Value, json};

use crate::support::together;

async fn import(admin: &Admin, lines: &[Value]) -> Reply {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    admin.send(admin.call("POST", "/users/import").body("application/x-ndjson", text.join("\n"))).await
}

#[tokio::test]
async fn hashes_of_other_systems_let_their_users_in_and_are_replaced_at_once() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    // Published by their makers: Openwall's crypt_blowfish, Firebase's scrypt, RFC 7914 and the argon2 reference.
    let users = [
        ("blowfish", "U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        (
            "firebase",
            "user1password",
            "$firebase-scrypt$ln=14,r=8,ss=Bw,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA$42xEC+ixf3L2lw$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ",
        ),
        (
            "argon",
            "password",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ),
    ];
    let lines: Vec<Value> = users
        .iter()
        .map(|(name, _, hash)| json!({"username": name, "password_hash": hash, "roles": ["old"], "created_at": 1_500_000_000}))
        .collect();
    let answer = import(&admin, &lines).await.expect(200).json();
    assert!(
        answer["results"].as_array().is_some_and(|all| all.iter().all(|one| one["outcome"] == "created")),
        "{answer}"
    );
    for (name, password, hash) in users {
        tenant.login_as(name, "another").await.expect(401);
        let session = Session::from_reply(&tenant.login_as(name, password).await.expect(200));
        assert_eq!(session.jwt().claims["roles"], json!(["old"]));
        let exported = admin.get("/export?limit=100").await.json();
        let user = exported["items"]
            .as_array()
            .expect("items")
            .iter()
            .find(|user| user["username"] == name)
            .expect("the user")
            .clone();
        assert_ne!(user["password_hash"], hash, "{name} is hashed anew");
        assert!(
            user["password_hash"].as_str().is_some_and(|hash| hash.starts_with("$argon2id$v=19$m=256,t=1,")),
            "{user}"
        );
        assert_eq!(user["created_at"], 1_500_000_000);
        tenant.login_as(name, password).await.expect(200);
    }
}

#[tokio::test]
async fn each_line_is_answered_for_itself_and_a_chunk_can_be_sent_again() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let lines = [
        json!({"username": "one"}),
        json!({"username": "a b"}),
        json!({"username": USER}),
        json!({"username": "one"}),
        json!({"username": "two", "password_hash": "md5:1234"}),
        json!({"username": "three", "roles": ["admin"]}),
        json!({"username": "four", "claims": {"iss": 1}}),
        json!({"username": "five", "password": "in the clear"}),
        json!({"username": "six", "status": "disabled"}),
        json!({"username": "seven", "created_at": 99_999_999_999_i64}),
    ];
    let outcome = |reply: &Reply| -> Vec<String> {
        let results = reply.json()["results"].as_array().expect("results").clone();
        assert!(results.iter().enumerate().all(|(at, one)| one["line"] == at + 1), "{reply}");
        let text =
            |one: &Value| one["code"].as_str().or(one["outcome"].as_str()).unwrap_or_default().to_owned();
        results.iter().map(text).collect()
    };
    let first = import(&admin, &lines).await.expect(200);
    let refusals = ["repeated", "password_hash", "admin_role", "profile", "malformed"];
    let expected = [
        "created",
        "username",
        "exists",
        refusals[0],
        refusals[1],
        refusals[2],
        refusals[3],
        refusals[4],
        "created",
        "created_at",
    ];
    assert_eq!(outcome(&first), expected);
    let again = import(&admin, &lines).await.expect(200);
    let expected = [
        "exists",
        "username",
        "exists",
        refusals[0],
        refusals[1],
        refusals[2],
        refusals[3],
        refusals[4],
        "exists",
        "created_at",
    ];
    assert_eq!(outcome(&again), expected);
    assert_eq!(first.json()["results"][0]["user_id"], again.json()["results"][0]["user_id"]);
    assert_eq!(admin.user("six").await["status"], "disabled");
}

#[tokio::test]
async fn a_hash_that_is_refused_is_so_with_a_reason_and_without_the_hash() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let (salt, tag) = ("c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4");
    for (hash, reason) in [
        (format!("$5$rounds=5000${salt}${tag}"), "unknown_scheme"),
        ("5f4dcc3b5aa765d61d8327deb882cf99".to_owned(), "unknown_scheme"),
        (format!("$argon2id$v=19$m=4194304,t=1,p=1${salt}${tag}"), "out_of_bounds"),
        (format!("$2b$31${}", "a".repeat(53)), "out_of_bounds"),
        (format!("$argon2id$v=19$m=256,t=2${salt}${tag}"), "malformed"),
        ("$2b$12$short".to_owned(), "malformed"),
    ] {
        let lines = [json!({"username": "one", "password_hash": hash})];
        let reply = import(&admin, &lines).await.expect(200);
        let expected = json!({"line": 1, "outcome": "refused", "code": "password_hash", "member": "password_hash", "reason": reason});
        assert_eq!(reply.json()["results"][0], expected, "{hash}");
    }
}

#[tokio::test]
async fn chunks_that_overlap_make_no_doubles() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let lines: Vec<Value> = (0..60).map(|n| json!({"username": format!("u{n}")})).collect();
    let replies = together(4, |_| {
        let (admin, lines) = (admin.clone(), lines.clone());
        async move { import(&admin, &lines).await }
    })
    .await;
    let mut created = 0;
    for reply in replies.iter().filter(|reply| reply.status == 200) {
        let results = reply.json()["results"].as_array().expect("results").clone();
        created += results.iter().filter(|one| one["outcome"] == "created").count();
    }
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 503)), "{replies:?}");
    import(&admin, &lines).await.expect(200);
    let mut names = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("/users?limit=100{cursor}")).await.json();
        for user in page["items"].as_array().expect("items") {
            assert!(names.insert(user["username"].to_string()), "twice: {user}");
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(names.len(), 62);
    assert!(created <= 60, "{created}");
}

#[tokio::test]
async fn too_much_at_once_and_other_bodies_are_refused() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let many: Vec<Value> = (0..201).map(|n| json!({"username": format!("u{n}")})).collect();
    import(&admin, &many).await.expect_problem(400, "invalid_request");
    let long = admin.call("POST", "/users/import").body("application/x-ndjson", "x".repeat(262_145));
    admin.send(long).await.expect_problem(413, "payload_too_large");
    admin
        .post("/users/import", &json!({"username": "bob"}))
        .await
        .expect_problem(415, "unsupported_media_type");
    let empty = admin.call("POST", "/users/import").body("application/x-ndjson", "\n\n");
    assert_eq!(admin.send(empty).await.expect(200).json()["results"], json!([]));
    let odd = admin
        .call("POST", "/users/import")
        .body("application/x-ndjson", "[1]\n{}\nnull\n{\"username\":7}\n\u{0}");
    let answer = admin.send(odd).await.expect(200).json();
    assert!(
        answer["results"]
            .as_array()
            .is_some_and(|all| all.len() == 5 && all.iter().all(|one| one["code"] == "malformed")),
        "{answer}"
    );
}
