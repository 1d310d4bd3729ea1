//! A stack whose functions are all the stand-in, with a template of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use leasehold_local::client::{Client, Reply};
use leasehold_local::stack::{Options, Stack};
use serde_json::Value;

const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: { Type: String, Default: dev }
Globals:
  Function:
    Timeout: 1
    MemorySize: 256
    Environment: { Variables: { STAGE: !Ref Stage, TABLE_NAME: !Ref Table, FROM_TEMPLATE: literal } }
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub "t-${Stage}"
      KeySchema:
        - { AttributeName: PK, KeyType: HASH }
        - { AttributeName: SK, KeyType: RANGE }
  Quick: { Type: AWS::Serverless::Function, Properties: { CodeUri: x/quick } }
  Slow: { Type: AWS::Serverless::Function, Properties: { CodeUri: x/slow, Timeout: 30 } }
  Operator: { Type: AWS::Serverless::Function, Properties: { CodeUri: x/operator } }
  QuickIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties: { IntegrationUri: !GetAtt Quick.Arn, PayloadFormatVersion: "2.0", TimeoutInMillis: 10000 }
  SlowIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties: { IntegrationUri: !GetAtt Slow.Arn, PayloadFormatVersion: "2.0", TimeoutInMillis: 700 }
  A:
    Type: AWS::ApiGatewayV2::Route
    Properties: { RouteKey: "POST /t/{tenant}/do", Target: !Sub "integrations/${QuickIntegration}" }
  B:
    Type: AWS::ApiGatewayV2::Route
    Properties: { RouteKey: "GET /t/{tenant}/do", Target: !Sub "integrations/${QuickIntegration}" }
  C:
    Type: AWS::ApiGatewayV2::Route
    Properties: { RouteKey: "POST /slow", Target: !Sub "integrations/${SlowIntegration}" }
  Guard: { Type: AWS::Serverless::Function, Properties: { CodeUri: x/guard } }
  Kept:
    Type: AWS::ApiGatewayV2::Authorizer
    Properties:
      AuthorizerType: REQUEST
      AuthorizerUri: !Sub "arn:x/functions/${Guard.Arn}/invocations"
      AuthorizerPayloadFormatVersion: "2.0"
      EnableSimpleResponses: true
      AuthorizerResultTtlInSeconds: 3600
      IdentitySource: [$request.header.Authorization, $context.path, $context.routeKey]
  Unkept:
    Type: AWS::ApiGatewayV2::Authorizer
    Properties:
      AuthorizerType: REQUEST
      AuthorizerUri: !Sub "arn:x/functions/${Guard.Arn}/invocations"
      AuthorizerPayloadFormatVersion: "2.0"
      EnableSimpleResponses: true
      AuthorizerResultTtlInSeconds: 0
  D:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      RouteKey: GET /t/{tenant}/kept
      Target: !Sub "integrations/${QuickIntegration}"
      AuthorizationType: CUSTOM
      AuthorizerId: !Ref Kept
  E:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      RouteKey: POST /t/{tenant}/kept
      Target: !Sub "integrations/${QuickIntegration}"
      AuthorizationType: CUSTOM
      AuthorizerId: !Ref Kept
  F:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      RouteKey: GET /t/{tenant}/unkept
      Target: !Sub "integrations/${QuickIntegration}"
      AuthorizationType: CUSTOM
      AuthorizerId: !Ref Unkept
  Rule:
    Type: AWS::Events::Rule
    Properties:
      ScheduleExpression: rate(5 minutes)
      Targets: [{ Id: o, Arn: !GetAtt Operator.Arn, Input: '{"do":"print"}' }]
"#;

/// A folder of this test's own, with the binaries and the template in it.
pub fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
    fs::create_dir_all(folder.join("bin")).unwrap();
    for name in ["quick", "slow", "operator", "guard"] {
        symlink(env!("CARGO_BIN_EXE_stand-in"), folder.join("bin").join(name)).unwrap();
    }
    fs::write(folder.join("template.yaml"), TEMPLATE).unwrap();
    folder
}

/// Options for a stack in that folder.
pub fn options(folder: &Path) -> Options {
    let mut options = Options::new(folder.join("data"), folder.join("bin"));
    options.template = folder.join("template.yaml");
    options
}

/// A running stack and a client.
pub struct World {
    pub stack: Stack,
    pub client: Client,
    pub folder: PathBuf,
}

impl World {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = folder();
        let mut options = options(&folder);
        change(&mut options);
        let stack = Stack::start(options).await.unwrap();
        Self { stack, client: Client::default(), folder }
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let url = format!("{}{path}", self.stack.base_url());
        self.client.send(method, &url, headers, body).await.unwrap()
    }

    /// Has the function `quick` carry out a command.
    pub async fn quick(&self, command: &str) -> Reply {
        self.send(Method::POST, &format!("/t/acme/do?{command}"), &[], Bytes::new()).await
    }

    /// The response when `quick` answers just so.
    pub async fn answered(&self, answer: &Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, "/t/acme/do?answer", &headers, answer.to_string()).await
    }

    /// The event that a function gets.
    pub async fn event(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Value {
        self.send(Method::POST, path, headers, body).await.json()
    }

    pub fn log(&self, label: &str) -> String {
        fs::read_to_string(self.folder.join("data/logs").join(format!("{label}.log"))).unwrap_or_default()
    }

    pub async fn stop(self) {
        self.stack.shutdown().await;
        let _ = fs::remove_dir_all(self.folder);
    }
}

/// Whether a process runs (a zombie does not).
pub fn runs(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

/// Polls until it is so; the service has no event to wait for.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < limit, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
