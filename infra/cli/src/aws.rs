//! AWS credentials and signatures, for calls of the operator function.
//!
//! Credentials come from the environment, or from the AWS CLI (`aws configure export-credentials`), which knows profiles,
//! SSO, assumed roles and second factors and asks for what it needs. They are never kept.

use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use leasehold::clock::Timestamp;
use serde::Deserialize;

use crate::failure::Failure;
use crate::settings::AwsVariables;

/// Who signs, and for where.
pub struct Signer {
    credentials: Credentials,
    /// The region of the calls.
    pub region: String,
}

/// What the AWS CLI prints, in the form that it takes from credential processes itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exported {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl Signer {
    /// Finds credentials and region. A profile that is named goes before the environment.
    pub fn find(
        variables: &AwsVariables,
        profile: Option<&str>,
        region: Option<&str>,
    ) -> Result<Self, Failure> {
        let region = match region.or(variables.region.as_deref().filter(|_| profile.is_none())) {
            Some(region) => region.to_owned(),
            None => of_cli(profile, &["configure", "get", "region"])
                .ok()
                .map(|output| output.trim().to_owned())
                .filter(|region| !region.is_empty())
                .or_else(|| variables.region.clone())
                .ok_or_else(|| Failure::Usage("no AWS region: set AWS_REGION or --region".to_owned()))?,
        };
        let usable =
            region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !usable {
            return Err(Failure::Usage(format!("{region:?} is not an AWS region")));
        }
        let (id, secret, token) = match variables.keys.clone().filter(|_| profile.is_none()) {
            Some(keys) => keys,
            None => exported(&of_cli(profile, &["configure", "export-credentials", "--format", "process"])?)?,
        };
        Ok(Self { credentials: Credentials::new(id, secret, token, None, "leasehold"), region })
    }

    /// Signs a request to Lambda (AWS Signature Version 4).
    pub fn sign(&self, request: &mut http::Request<Vec<u8>>, now: Timestamp) -> Result<(), Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::Other(format!("the call can't be signed: {error}"));
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("lambda")
            .time(UNIX_EPOCH + Duration::from_millis(now.millis()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let uri = request.uri().to_string();
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(
            request.method().as_str(),
            uri,
            headers,
            SignableBody::Bytes(request.body()),
        )
        .map_err(|error| failed(&error))?;
        let (instructions, _) = sign(signable, &parameters).map_err(|error| failed(&error))?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

fn exported(text: &str) -> Result<(String, String, Option<String>), Failure> {
    let Exported { access_key_id, secret_access_key, session_token } = serde_json::from_str(text)
        .map_err(|_| Failure::Other("the AWS CLI printed no credentials".to_owned()))?;
    Ok((access_key_id, secret_access_key, session_token))
}

/// What the AWS CLI prints. It may ask its user for a code meanwhile.
fn of_cli(profile: Option<&str>, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("aws");
    command.args(arguments).stdin(Stdio::inherit()).stderr(Stdio::inherit());
    if let Some(profile) = profile {
        command.args(["--profile", profile]);
    }
    let output = command.output().map_err(|error| {
        Failure::Usage(format!(
            "no AWS credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor the AWS CLI (aws: {error})"
        ))
    })?;
    if !output.status.success() {
        return Err(Failure::Usage("no AWS credentials: the AWS CLI has none either (see above)".to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_the_signature_that_aws_would_compute() {
        let variables = AwsVariables {
            keys: Some((
                "AKIDEXAMPLE".into(),
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
                Some("token".into()),
            )),
            region: Some("eu-west-1".into()),
            endpoint: None,
        };
        let signer = Signer::find(&variables, None, None).unwrap();
        let mut request = http::Request::post(
            "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/leasehold-prod-operator/invocations",
        )
        .header("content-type", "application/json")
        .body(br#"{"op":"tenant.list"}"#.to_vec())
        .unwrap();
        signer.sign(&mut request, Timestamp::from_seconds(1_800_000_000)).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(header("x-amz-date"), "20270115T080000Z");
        assert_eq!(header("x-amz-security-token"), "token");
        let authorization = header("authorization");
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20270115/eu-west-1/lambda/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
            ),
            "{authorization}"
        );
    }

    #[test]
    fn a_region_is_no_host_name_of_somebody() {
        let variables =
            AwsVariables { keys: Some(("a".into(), "b".into(), None)), ..AwsVariables::default() };
        for region in ["evil.example/", "eu-west-1.evil.example", "EU-WEST-1", "a@b"] {
            assert!(
                matches!(Signer::find(&variables, None, Some(region)), Err(Failure::Usage(_))),
                "{region}"
            );
        }
    }

    #[test]
    fn what_the_aws_cli_prints_is_read() {
        let printed = r#"{"Version": 1, "AccessKeyId": "id", "SecretAccessKey": "key", "SessionToken": "token", "Expiration": "2026-11-23T00:00:00Z"}"#;
        assert_eq!(exported(printed).unwrap(), ("id".into(), "key".into(), Some("token".into())));
        assert!(exported("").is_err());
    }
}
