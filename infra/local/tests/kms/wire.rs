//! The protocol itself, spoken by hand.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::start;

const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=x\r\n";

async fn send(url: &str, head: &str, body: &str) -> String {
    let address = url.strip_prefix("http://").expect("an http URL");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let length = body.len();
    let request = format!("{head}Host: kms\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn answers_have_the_shape_of_aws_json() {
    let (kms, _client) = start(None).await;
    let deep = "[".repeat(100_000);
    // Page: CommonErrors of the KMS API reference, and the AWS JSON 1.1 protocol of Smithy.
    let rows = [
        ("an operation", "TrentService.ListKeys", SIGNED, "{}", "200", "\"Truncated\":false"),
        (
            "an operation we lack",
            "TrentService.ReEncrypt",
            SIGNED,
            "{}",
            "400",
            "\"UnknownOperationException\"",
        ),
        (
            "another service",
            "DynamoDB_20120810.ListTables",
            SIGNED,
            "{}",
            "400",
            "\"UnknownOperationException\"",
        ),
        (
            "nobody's signature",
            "TrentService.ListKeys",
            "",
            "{}",
            "400",
            "\"MissingAuthenticationTokenException\"",
        ),
        ("no JSON", "TrentService.ListKeys", SIGNED, "{", "400", "\"SerializationException\""),
        ("no body", "TrentService.ListKeys", SIGNED, "", "400", "\"SerializationException\""),
        (
            "JSON without end",
            "TrentService.ListKeys",
            SIGNED,
            deep.as_str(),
            "400",
            "\"SerializationException\"",
        ),
        (
            "a number for text",
            "TrentService.DescribeKey",
            SIGNED,
            "{\"KeyId\":7}",
            "400",
            "\"SerializationException\"",
        ),
        (
            "not base64",
            "TrentService.Encrypt",
            SIGNED,
            "{\"Plaintext\":\"?\"}",
            "400",
            "\"SerializationException\"",
        ),
        ("an absent member", "TrentService.DescribeKey", SIGNED, "{}", "400", "\"ValidationException\""),
        (
            "a member that is null",
            "TrentService.DescribeKey",
            SIGNED,
            "{\"KeyId\":null}",
            "400",
            "\"ValidationException\"",
        ),
        (
            "no such key",
            "TrentService.DescribeKey",
            SIGNED,
            "{\"KeyId\":\"x\"}",
            "400",
            "{\"__type\":\"NotFoundException\",\"message\":\"Invalid keyId 'x'\"}",
        ),
    ];
    for (why, target, signature, body, status, expected) in rows {
        let head = format!("POST / HTTP/1.1\r\nX-Amz-Target: {target}\r\n{signature}");
        let answer = send(&kms.url(), &head, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{why}: {answer}");
        assert!(
            answer.to_lowercase().contains("content-type: application/x-amz-json-1.1"),
            "{why}: {answer}"
        );
        assert!(answer.contains(expected), "{why}: {answer}");
    }
    assert!(send(&kms.url(), "GET / HTTP/1.1\r\n", "").await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn a_body_that_was_promised_is_waited_for_whatever_the_method() {
    let (kms, _client) = start(None).await;
    for method in ["GET", "POST"] {
        let mut stream =
            TcpStream::connect(kms.url().trim_start_matches("http://")).await.expect("connected");
        let head =
            format!("{method} / HTTP/1.1\r\nHost: kms\r\nConnection: close\r\nContent-Length: 2\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let early = timeout(Duration::from_millis(200), stream.read_to_string(&mut answer)).await;
        assert!(early.is_err(), "{method}: answered before the body came: {answer}");
        stream.write_all(b"{}").await.expect("sent");
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 4"), "{method}: {answer}");
    }
}

#[tokio::test]
async fn an_operation_without_output_answers_an_empty_body() {
    let (kms, client) = start(None).await;
    let created = client.create_key().send().await.expect("made").key_metadata.expect("metadata");
    let head = format!("POST / HTTP/1.1\r\nX-Amz-Target: TrentService.EnableKey\r\n{SIGNED}");
    let answer = send(&kms.url(), &head, &format!("{{\"KeyId\":\"{}\"}}", created.key_id)).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "API_EnableKey: {answer}");
}

#[tokio::test]
async fn plaintext_that_cannot_be_read_is_not_echoed() {
    let (kms, _client) = start(None).await;
    let head = format!("POST / HTTP/1.1\r\nX-Amz-Target: TrentService.Encrypt\r\n{SIGNED}");
    for body in
        ["{\"Plaintext\":\"canary?\"}", "{\"Plaintext\":canary}", "{\"EncryptionContext\":\"canary\"}"]
    {
        assert!(!send(&kms.url(), &head, body).await.contains("canary"), "{body}");
    }
}

#[tokio::test]
async fn shutdown_ends_with_a_client_that_never_finishes() {
    let (kms, _client) = start(None).await;
    let address = kms.url().replace("http://", "");
    let mut half = TcpStream::connect(&address).await.expect("connected");
    half.write_all(b"POST / HTTP/1.1\r\nHost: kms\r\nContent-Length: 9\r\n\r\n{").await.expect("sent");
    tokio::time::timeout(Duration::from_secs(10), kms.shutdown()).await.expect("it stops");
    assert!(TcpStream::connect(&address).await.is_err(), "the port is free");
}
