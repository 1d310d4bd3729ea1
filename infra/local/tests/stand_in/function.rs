//! A Lambda function for the tests of the local stack: does what the event asks for. It speaks the Runtime API with
//! nothing but a socket, so that the host is not tested by its own client.
//!
//! The command is the query string of an HTTP event or the member `do` of any other: `echo` (the event itself),
//! `answer` (the body, verbatim), `error`, `exit`, `abort`, `sleep=<ms>`, `print`, `env`, `pid`. An `op` is always `ok`.
//! As an authorizer it obeys the Authorization header: `allow`, `deny`, `error`, `junk`; it counts what it was asked.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{abort, exit, id};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

fn main() {
    let api = env::var_os("AWS_LAMBDA_RUNTIME_API").expect("the host sets it").into_string().expect("text");
    if env::var_os("STILLBORN").is_some() {
        eprintln!("not today");
        exit(3);
    }
    // As `lambda_runtime` does: a failed poll ends the process.
    while let Some((id, event)) = next(&api) {
        let (kind, answer) = act(&event);
        let path = format!("/2018-06-01/runtime/invocation/{id}/{kind}");
        if exchange(&api, "POST", &path, &answer).is_none() {
            break;
        }
    }
    exit(1);
}

fn act(event: &Value) -> (&'static str, String) {
    if event["type"] == "REQUEST" {
        return authorize(event);
    }
    let command = event["rawQueryString"].as_str().or(event["do"].as_str()).unwrap_or("echo");
    let http = |body: String| json!({"statusCode": 200, "headers": {"content-type": "application/json"}, "body": body});
    if event.get("op").is_some() {
        return ("response", json!({"ok": {}}).to_string());
    }
    let answer = match command.split_once('=').unwrap_or((command, "")) {
        ("answer", _) => return ("response", body(event)),
        ("error", _) => {
            return ("error", json!({"errorType": "Odd", "errorMessage": "as asked"}).to_string());
        }
        ("exit", code) => exit(code.parse().unwrap_or(7)),
        ("abort", _) => abort(),
        ("sleep", millis) => {
            sleep(Duration::from_millis(millis.parse().unwrap_or(0)));
            json!("slept")
        }
        ("print", _) => {
            println!(r#"{{"level":"INFO","message":"plain"}}"#);
            eprintln!(r#"{{"level":"ERROR","message":"loud"}}"#);
            json!("printed")
        }
        ("env", _) => {
            let all =
                env::vars().map(|(key, value)| (key, Value::from(value))).collect::<Map<String, Value>>();
            Value::Object(all)
        }
        ("pid", _) => json!(id()),
        _ => event.clone(),
    };
    let is_http = event.get("rawPath").is_some();
    ("response", if is_http { http(answer.to_string()).to_string() } else { answer.to_string() })
}

fn authorize(event: &Value) -> (&'static str, String) {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let asked = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
    let answer = match event["headers"]["authorization"].as_str().unwrap_or_default() {
        "error" => return ("error", json!({"errorType": "Odd", "errorMessage": "as asked"}).to_string()),
        "junk" => json!({"isAuthorized": "maybe"}),
        "bare" => json!({"isAuthorized": true}),
        word => {
            json!({"isAuthorized": word.starts_with("allow"), "context": {"asked": asked, "event": event}})
        }
    };
    ("response", answer.to_string())
}

fn body(event: &Value) -> String {
    let body = event["body"].as_str().unwrap_or_default();
    if event["isBase64Encoded"] == true {
        return String::from_utf8(STANDARD.decode(body).expect("base64")).expect("text");
    }
    body.to_owned()
}

fn next(api: &str) -> Option<(String, Value)> {
    let (head, body) = exchange(api, "GET", "/2018-06-01/runtime/invocation/next", "")?;
    let id = head.iter().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: "))?;
    Some((id.to_owned(), serde_json::from_str(&body).ok()?))
}

fn exchange(api: &str, method: &str, path: &str, body: &str) -> Option<(Vec<String>, String)> {
    let mut stream = TcpStream::connect(api).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut text = String::new();
    reader.read_to_string(&mut text).ok()?;
    Some((lines, text))
}
