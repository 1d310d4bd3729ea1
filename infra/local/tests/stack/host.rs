//! What Lambda does with the processes of functions: one event at a time, queueing, crashes, time-outs, the Invoke API,
//! the environment, the schedule; and that nothing is left behind.

use std::time::{Duration, Instant};

use crate::world::{World, eventually, folder, options, runs};
use bytes::Bytes;
use http::{Method, StatusCode};
use leasehold_local::seed;
use leasehold_local::stack::{Stack, StartError};
use serde_json::{Value, json};

#[tokio::test]
async fn instances_take_one_event_each_and_the_rest_queues() {
    let world = World::with(|options| options.instances = 2).await;
    let began = Instant::now();
    let (a, b, c) =
        tokio::join!(world.quick("sleep=400"), world.quick("sleep=400"), world.quick("sleep=400"));
    let took = began.elapsed();
    for reply in [a, b, c] {
        assert_eq!(reply.status, StatusCode::OK);
    }
    assert!(took >= Duration::from_millis(800), "the third waited for an instance: {took:?}");
    world.stop().await;
}

#[tokio::test]
async fn queueing_counts_towards_the_integration_limit() {
    let world = World::start().await;
    let first = world.send(Method::POST, "/slow?sleep=1000", &[], Bytes::new());
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.send(Method::POST, "/slow?pid", &[], Bytes::new()).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (503, 503));
    // What nobody waits for any more is not begun, and the instance is well.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(world.send(Method::POST, "/slow?pid", &[], Bytes::new()).await.status, StatusCode::OK);
    world.stop().await;
}

#[tokio::test]
async fn crash_costs_one_request_and_the_instance_returns() {
    let world = World::start().await;
    let before = world.quick("pid").await.json();
    for (command, shown) in [("exit=7", "exit status: 7"), ("abort", "signal: 6 (SIGABRT)")] {
        let (crashed, queued) = tokio::join!(world.quick(command), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            world.quick("pid").await
        });
        assert_eq!(crashed.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(crashed.json(), json!({"message": "Internal Server Error"}));
        assert_eq!(queued.status, StatusCode::OK, "what waits goes to the next process");
        assert_ne!(queued.json(), before);
        eventually(shown, || world.log("quick-1").contains(shown)).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn idle_process_that_is_killed_costs_nothing() {
    let world = World::start().await;
    for _ in 0..20 {
        let pid = world.quick("pid").await.json().as_i64().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let id = u64::try_from(pid.as_raw_nonzero().get()).unwrap();
        eventually("it is dead", || !runs(id)).await;
        assert_eq!(world.quick("pid").await.status, StatusCode::OK);
    }
    world.stop().await;
}

#[tokio::test]
async fn overdue_function_is_killed_and_started_again() {
    let world = World::start().await;
    let before = world.quick("pid").await.json();
    let began = Instant::now();
    let reply = world.quick("sleep=60000").await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(began.elapsed() < Duration::from_secs(8));
    assert_ne!(world.quick("pid").await.json(), before);
    assert!(!runs(before.as_u64().unwrap()));

    let reply = world.stack.invoke("quick", &json!({"do": "sleep=60000"})).await.unwrap();
    assert_eq!(reply.headers["x-amz-function-error"], "Unhandled");
    assert!(reply.json()["errorMessage"].as_str().unwrap().ends_with("Task timed out after 1.00 seconds"));
    world.stop().await;
}

#[tokio::test]
async fn invoke_api_answers_as_lambda_does() {
    let world = World::start().await;
    let reply = world.stack.invoke("quick", &json!({"a": [1]})).await.unwrap();
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({"a": [1]})));
    assert_eq!(reply.headers["x-amz-executed-version"], "$LATEST");
    assert!(reply.headers.get("x-amz-function-error").is_none());

    let reply = world.stack.invoke("quick", &json!({"do": "error"})).await.unwrap();
    assert_eq!((reply.status, &reply.json()["errorMessage"]), (StatusCode::OK, &json!("as asked")));
    assert_eq!(reply.headers["x-amz-function-error"], "Unhandled");

    let reply = world.stack.invoke("quick", &json!({"do": "exit=3"})).await.unwrap();
    assert_eq!(reply.headers["x-amz-function-error"], "Unhandled");
    assert_eq!(reply.json()["errorType"], "Runtime.ExitError");
    assert!(reply.json()["errorMessage"].as_str().unwrap().contains("exit status: 3"));

    let reply = world.stack.invoke("nobody", &json!({})).await.unwrap();
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.headers["x-amzn-errortype"], "ResourceNotFoundException");

    let url = format!("{}/2015-03-31/functions/quick/invocations", world.stack.lambda_url());
    let reply = world.client.send(Method::POST, &url, &[], "{").await.unwrap();
    assert_eq!(reply.headers["x-amzn-errortype"], "InvalidRequestContentException");
    let event = [("x-amz-invocation-type", "Event")];
    let reply = world.client.send(Method::POST, &url, &event, r#"{"do":"print"}"#).await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (StatusCode::ACCEPTED, 0));
    eventually("the asynchronous invocation", || world.log("quick-1").contains("loud")).await;
    let reply = world.client.send(Method::POST, &url, &[], vec![b' '; 7 * 1024 * 1024]).await.unwrap();
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    world.stop().await;
}

#[tokio::test]
async fn functions_have_the_agreed_environment_and_nothing_else() {
    let world = World::with(|options| {
        options.function_env = vec![
            ("EXTRA".to_owned(), "a=b".to_owned()),
            ("FROM_TEMPLATE".to_owned(), "overridden".to_owned()),
        ];
        options.functions_kms_url = Some("http://127.0.0.1:9".to_owned());
    })
    .await;
    let reply = world.stack.invoke("quick", &json!({"do": "env"})).await.unwrap().json();
    let mut names: Vec<&str> = reply.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let agreed = [
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_KMS",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "EXTRA",
        "FROM_TEMPLATE",
        "PATH",
        "STAGE",
        "TABLE_NAME",
        "TZ",
        "_HANDLER",
    ];
    assert_eq!(names, agreed);
    assert_eq!(reply["AWS_ENDPOINT_URL_DYNAMODB"], world.stack.dynamodb_url());
    assert_eq!(reply["AWS_ENDPOINT_URL_KMS"], "http://127.0.0.1:9");
    assert_eq!(reply["AWS_LAMBDA_FUNCTION_NAME"], "quick");
    assert_eq!(reply["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "256");
    assert_eq!((&reply["STAGE"], &reply["TABLE_NAME"]), (&json!("local"), &json!("t-local")));
    assert_eq!((&reply["EXTRA"], &reply["FROM_TEMPLATE"]), (&json!("a=b"), &json!("overridden")));
    world.stop().await;
}

#[tokio::test]
async fn schedule_fires_with_the_templates_input() {
    let world = World::with(|options| options.schedule = Some(Duration::from_millis(50))).await;
    eventually("two runs", || world.log("operator-1").matches("loud").count() >= 2).await;
    world.stop().await;
}

#[tokio::test]
async fn output_of_functions_is_kept_line_by_line() {
    let world = World::start().await;
    world.quick("print").await;
    let lines = || world.log("quick-1").lines().map(str::to_owned).collect::<Vec<String>>();
    eventually("two lines", || lines().len() == 2).await;
    let mut lines = lines();
    lines.sort_unstable();
    assert_eq!(lines, [r#"{"level":"ERROR","message":"loud"}"#, r#"{"level":"INFO","message":"plain"}"#]);
    world.stop().await;
}

#[tokio::test]
async fn what_keeps_a_stack_from_starting_is_said_plainly() {
    let folder = folder();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut on_taken_port = options(&folder);
    on_taken_port.kms_port = port;
    let error = Stack::start(on_taken_port).await.unwrap_err();
    let expected = format!(
        "port {port} for KMS is taken by another program; choose another with --kms-port (0 takes a free one)"
    );
    assert_eq!(error.to_string(), expected);

    let stack = Stack::start(options(&folder)).await.unwrap();
    assert!(matches!(Stack::start(options(&folder)).await.unwrap_err(), StartError::InUse { .. }));
    stack.shutdown().await;
    Stack::start(options(&folder)).await.unwrap().shutdown().await;

    std::fs::remove_file(folder.join("bin/slow")).unwrap();
    let error = Stack::start(options(&folder)).await.unwrap_err();
    assert!(error.to_string().starts_with("no binaries for slow in "), "{error}");
}

#[tokio::test]
async fn function_that_cannot_start_ends_the_start() {
    let folder = folder();
    let mut stillborn = options(&folder);
    stillborn.function_env = vec![("STILLBORN".to_owned(), "1".to_owned())];
    let error = Stack::start(stillborn).await.unwrap_err();
    assert!(matches!(error, StartError::Function { .. }), "{error}");
    let log = std::fs::read_to_string(folder.join("data/logs/operator-1.log")).unwrap();
    assert!(log.contains("not today"), "{log}");
}

#[tokio::test]
async fn shutdown_leaves_no_process() {
    let world = World::with(|options| options.instances = 3).await;
    let mut pids: Vec<Value> = Vec::new();
    for _ in 0..6 {
        pids.push(world.quick("pid").await.json());
    }
    world.stop().await;
    for pid in pids {
        assert!(!runs(pid.as_u64().unwrap()));
    }
}

#[tokio::test]
async fn seed_keeps_its_passwords_and_appears_last() {
    use std::os::unix::fs::PermissionsExt;

    let folder = folder();
    let data = folder.join("data");
    let stack = Stack::start(options(&folder)).await.unwrap();
    assert!(!data.join("seed.json").exists());
    let first = seed::plant(&stack, &data, Some(&json!({"idle_seconds": 60}))).await.unwrap();
    assert_eq!(std::fs::metadata(data.join("seed.json")).unwrap().permissions().mode() & 0o777, 0o600);
    stack.shutdown().await;

    let stack = Stack::start(options(&folder)).await.unwrap();
    assert!(!data.join("seed.json").exists(), "a stale seed would look like readiness");
    let second = seed::plant(&stack, &data, None).await.unwrap();
    let acme = &second.tenants["acme"];
    assert_eq!(acme.issuer, format!("{}/t/acme", stack.base_url()));
    assert_eq!(acme.users[0].roles, ["member"]);
    assert_eq!(acme.users[1].roles, ["admin"]);
    assert_eq!(acme.users[0].password, first.tenants["acme"].users[0].password);
    assert_ne!(acme.users[0].password, second.tenants["globex"].users[0].password);
    stack.shutdown().await;
}
