//! The Extensions API, as far as a function's graceful shutdown needs it: register, be told of invocations if wanted,
//! be told of the end.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use leasehold_local::client::{Client, Reply};
use leasehold_local::lambda::instance::Instance;
use leasehold_local::lambda::{Call, Functions, Outcome, runtime_api};
use leasehold_local::template::FunctionSpec;
use serde_json::json;

struct Api {
    client: Client,
    url: String,
}

impl Api {
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.client.send(Method::GET, &format!("{}{path}", self.url), headers, Bytes::new()).await.unwrap()
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        self.client.send(Method::POST, &format!("{}{path}", self.url), &[], body.to_owned()).await.unwrap()
    }

    async fn register(&self, events: &str) -> String {
        let reply = self.post("/2020-01-01/extension/register", events).await;
        assert_eq!(reply.json()["functionName"], "f");
        reply.headers["lambda-extension-identifier"].to_str().unwrap().to_owned()
    }

    async fn next_event(&self, id: &str) -> Reply {
        self.get("/2020-01-01/extension/event/next", &[("lambda-extension-identifier", id)]).await
    }
}

#[tokio::test]
async fn extensions_hear_what_they_asked_for_and_the_end() {
    let spec = FunctionSpec {
        name: "f".to_owned(),
        memory_mb: 128,
        timeout: Duration::from_secs(3),
        environment: BTreeMap::new(),
    };
    let functions = Functions::new(BTreeMap::from([("f".to_owned(), spec)]), "eu-west-1");
    let function = functions.find("f").unwrap().clone();
    let instance = Instance::new(function.clone(), 1);
    instance.process_starts();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = Api { client: Client::default(), url: format!("http://{}", listener.local_addr().unwrap()) };
    tokio::spawn(axum::serve(listener, runtime_api::router(instance.clone())).into_future());

    assert_eq!(api.next_event("unknown").await.status, StatusCode::FORBIDDEN);
    let quiet = api.register(r#"{"events":[]}"#).await;
    let curious = api.register(r#"{"events":["INVOKE"]}"#).await;

    let call = Call::new(Bytes::from_static(b"{}"));
    let id = call.id.clone();
    let invoked = tokio::spawn(async move { function.invoke(call).await });
    let next = api.get("/2018-06-01/runtime/invocation/next", &[]).await;
    assert_eq!(next.headers["lambda-runtime-aws-request-id"], id.as_str());
    let arn = "arn:aws:lambda:eu-west-1:000000000000:function:f";
    assert_eq!(next.headers["lambda-runtime-invoked-function-arn"], arn);
    assert!(next.headers["lambda-runtime-trace-id"].to_str().unwrap().starts_with("Root=1-"));
    assert!(next.headers.contains_key("lambda-runtime-deadline-ms"));
    let told = api.next_event(&curious).await.json();
    assert_eq!((&told["eventType"], &told["requestId"]), (&json!("INVOKE"), &json!(id)));

    let wrong = api.post("/2018-06-01/runtime/invocation/another/response", "{}").await;
    assert_eq!(
        (wrong.status, &wrong.json()["errorType"]),
        (StatusCode::BAD_REQUEST, &json!("InvalidRequestID"))
    );
    let path = format!("/2018-06-01/runtime/invocation/{id}/response");
    assert_eq!(api.post(&path, "7").await.status, StatusCode::ACCEPTED);
    assert_eq!(api.post(&path, "7").await.status, StatusCode::BAD_REQUEST, "an answer is taken once");
    assert!(matches!(invoked.await.unwrap(), Ok(Outcome::Answer(answer)) if answer == "7"));

    instance.announce_shutdown(0);
    assert_eq!(api.next_event(&quiet).await.json()["eventType"], "SHUTDOWN");
}
