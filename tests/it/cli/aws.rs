//! How the operator function is called on AWS: the address, the signature, and where credentials come from.

use std::os::unix::fs::PermissionsExt as _;

use leasehold_tests::cli::{Cli, Ran};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Runs a command against a listener that takes one request, and hands back the head of it.
async fn heard(cli: impl FnOnce(&str) -> Ran + Send + 'static) -> (String, Ran) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let ran = tokio::task::spawn_blocking(move || cli(&url));
    let (mut stream, _) = listener.accept().await.expect("a call");
    let mut request = Vec::new();
    while !String::from_utf8_lossy(&request).contains("\r\n\r\n") {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.expect("a request");
        request.extend_from_slice(&chunk[..read]);
    }
    let body = r#"{"ok":{"tenants":["acme"],"next_cursor":null}}"#;
    let reply =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    stream.write_all(reply.as_bytes()).await.expect("a reply");
    (String::from_utf8_lossy(&request).into_owned(), ran.await.expect("the command ends"))
}

#[tokio::test]
async fn calls_are_signed_with_the_credentials_of_the_environment() {
    let (request, ran) = heard(|url| {
        Cli::anywhere()
            .env("AWS_ENDPOINT_URL_LAMBDA", url)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_SESSION_TOKEN", "session-token")
            .env("AWS_REGION", "eu-west-1")
            .run(&["tenant", "list", "--stage", "prod"])
    })
    .await;
    assert_eq!(ran.expect(0).out, "acme\n");
    assert!(
        request.starts_with("POST /2015-03-31/functions/leasehold-prod-operator/invocations HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{request}");
    assert!(request.contains("/eu-west-1/lambda/aws4_request"), "{request}");
    assert!(request.contains("x-amz-security-token: session-token"), "{request}");
}

#[tokio::test]
async fn profiles_are_the_aws_clis_to_know() {
    let (request, ran) = heard(|url| {
        let cli = Cli::anywhere();
        // A stand-in for the AWS CLI, which is asked for a profile's region and credentials.
        let aws = cli.home().join("aws");
        let script = r#"#!/bin/sh
case "$*" in
  "configure get region --profile work") echo eu-central-1 ;;
  "configure export-credentials --format process --profile work")
    echo '{"Version":1,"AccessKeyId":"FROMPROFILE","SecretAccessKey":"secret","SessionToken":"t"}' ;;
  *) echo "not asked for: $*" >&2; exit 1 ;;
esac
"#;
        std::fs::write(&aws, script).expect("a script");
        std::fs::set_permissions(&aws, std::fs::Permissions::from_mode(0o755)).expect("to be run");
        let path = cli.home().display().to_string();
        cli.env("PATH", &path)
            .env("AWS_ENDPOINT_URL", url)
            .env("AWS_ACCESS_KEY_ID", "OTHER")
            .env("AWS_SECRET_ACCESS_KEY", "other")
            .env("AWS_REGION", "us-east-1")
            .run(&["tenant", "list", "--function", "my-operator", "--profile", "work"])
    })
    .await;
    ran.expect(0);
    assert!(
        request.contains("Credential=FROMPROFILE/") && request.contains("/eu-central-1/lambda/"),
        "{request}"
    );
    assert!(request.starts_with("POST /2015-03-31/functions/my-operator/"), "{request}");
}

#[test]
fn without_credentials_or_a_name_the_command_says_what_is_missing() {
    let region = || Cli::anywhere().env("AWS_REGION", "eu-west-1");
    let ran = region().run(&["tenant", "list", "--stage", "prod"]).expect(2);
    assert!(ran.err.contains("AWS_ACCESS_KEY_ID") && ran.err.contains("AWS CLI"), "{ran}");
    let ran = region().run(&["tenant", "list"]).expect(2);
    assert!(ran.err.contains("--stage") && ran.err.contains("--local"), "{ran}");
    let keys = Cli::anywhere().env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "key");
    let ran = keys.run(&["tenant", "list", "--stage", "prod"]).expect(2);
    assert!(ran.err.contains("region"), "{ran}");
}
