//! Calls of the operator function through Lambda's Invoke API. IAM decides who may; nothing here does.

use clap::Args;
use leasehold::clock;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::aws::Signer;
use crate::failure::Failure;
use crate::http::Http;
use crate::local::Local;
use crate::settings::Settings;

/// Where the operator function is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Operator function")]
pub struct At {
    /// Stage whose operator function is called: leasehold-STAGE-operator
    #[arg(long, global = true, env = "LEASEHOLD_STAGE", value_name = "STAGE")]
    pub stage: Option<String>,
    /// Name or ARN of the operator function, if not that of a stage
    #[arg(long, global = true, env = "LEASEHOLD_FUNCTION", value_name = "NAME", conflicts_with = "stage")]
    pub function: Option<String>,
    /// AWS region, if not that of AWS_REGION or of the profile
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// Profile of the AWS CLI, if not the credentials of the environment
    #[arg(long, global = true, value_name = "PROFILE")]
    pub profile: Option<String>,
}

/// The operator function, ready to be called.
pub struct Operator<'a> {
    http: &'a Http,
    url: String,
    signer: Option<Signer>,
}

impl<'a> Operator<'a> {
    /// The function that the flags and the environment name.
    pub fn find(
        http: &'a Http,
        settings: &Settings,
        local: Option<&Local>,
        at: &At,
    ) -> Result<Self, Failure> {
        if let Some(local) = local {
            return Ok(Self { http, url: invoke_url(&local.lambda, "operator"), signer: None });
        }
        let function = match (&at.function, &at.stage) {
            (Some(function), _) => function.clone(),
            (None, Some(stage)) => format!("leasehold-{stage}-operator"),
            (None, None) => {
                return Err(Failure::Usage(
                    "which deployment? --stage STAGE, --function NAME, or --local".to_owned(),
                ));
            }
        };
        let signer = Signer::find(&settings.aws, at.profile.as_deref(), at.region.as_deref())?;
        let endpoint = settings.aws.endpoint.clone().unwrap_or_else(|| aws_endpoint(&signer.region));
        Ok(Self { http, url: invoke_url(&endpoint, &function), signer: Some(signer) })
    }

    /// Runs an operation and hands back what is under `ok`.
    pub async fn run(&self, event: &Value) -> Result<Value, Failure> {
        let mut request = http::Request::post(&self.url)
            .header("content-type", "application/json")
            .body(event.to_string().into_bytes())
            .map_err(|error| Failure::Usage(format!("{}: {error}", self.url)))?;
        if let Some(signer) = &self.signer {
            signer.sign(&mut request, clock::now())?;
        }
        let reply = self.http.send(request).await?;
        let body = reply.json();
        if reply.status != 200 {
            return Err(refusal_of_lambda(reply.status, &body));
        }
        if reply.header("x-amz-function-error").is_some() {
            return Err(Failure::Other("the operator function failed; see its log".to_owned()));
        }
        match (body.get("ok"), body["error"]["code"].as_str()) {
            (Some(answer), _) => Ok(answer.clone()),
            (None, Some(code)) => {
                let text = body["error"]["message"].as_str().unwrap_or(code).to_owned();
                Err(Failure::of_code(code, 0, text))
            }
            (None, None) => {
                Err(Failure::Other("the function answered as no operator function does".to_owned()))
            }
        }
    }
}

/// What is escaped in a function's name.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

fn aws_endpoint(region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://lambda.{region}.{domain}")
}

fn invoke_url(endpoint: &str, function: &str) -> String {
    let (endpoint, function) = (endpoint.trim_end_matches('/'), utf8_percent_encode(function, ESCAPED));
    format!("{endpoint}/2015-03-31/functions/{function}/invocations")
}

/// What Lambda itself says no to.
fn refusal_of_lambda(status: u16, body: &Value) -> Failure {
    let message = body["Message"].as_str().or_else(|| body["message"].as_str()).unwrap_or("no reason given");
    let text = format!("Lambda refused the call ({status}): {message}");
    match status {
        401 | 403 => Failure::Forbidden(text),
        404 => Failure::NotFound(text),
        429 | 500.. => Failure::Unavailable(text),
        _ => Failure::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_url_is_that_of_lambdas_api() {
        assert_eq!(
            invoke_url(&aws_endpoint("eu-west-1"), "leasehold-prod-operator"),
            "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/leasehold-prod-operator/invocations"
        );
        assert_eq!(aws_endpoint("cn-north-1"), "https://lambda.cn-north-1.amazonaws.com.cn");
        assert_eq!(
            invoke_url("http://127.0.0.1:9003/", "arn:aws:lambda:x:1:function:operator/../y"),
            "http://127.0.0.1:9003/2015-03-31/functions/arn%3Aaws%3Alambda%3Ax%3A1%3Afunction%3Aoperator%2F%2E%2E%2Fy/\
             invocations"
        );
    }

    #[test]
    fn lambdas_own_refusals_have_their_exit_codes() {
        for (status, code) in [(403, 4), (404, 5), (429, 7), (503, 7), (400, 1)] {
            assert_eq!(refusal_of_lambda(status, &json!({"Message": "no"})).exit_code(), code, "{status}");
        }
    }
}
