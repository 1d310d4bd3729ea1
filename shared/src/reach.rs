//! How far the AWS clients of a request reach: as far as the function's own rights, over all tenants; or, where the stage
//! isolates tenants, to one tenant, by credentials that IAM narrows (STS session tag `tenant`). A wrong key in our code
//! is then refused by AWS. The capability of the store stands before that in any case.
//!
//! It must never give a tenant clients that were made for another, nor fall back from narrowed clients to wide ones.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_dynamodb::config::IdentityCache;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_sts::types::Tag;
use aws_smithy_types::body::SdkBody;

use crate::bounded::Bounded;
use crate::clock;
use crate::id::TenantId;
use crate::trouble::Trouble;

/// The session tag that the policies of the tenant roles compare with partitions and keys.
const TENANT: &str = "tenant";
/// How long before their end credentials are renewed, in seconds. Until then a renewal that fails harms nobody.
const RENEW_BEFORE: u64 = 240;

/// The clients that talk to AWS with one set of rights.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The table's.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The keys'.
    pub kms: aws_sdk_kms::Client,
}

/// Clients for all that the function may do, and for single tenants.
#[derive(Clone, Debug)]
pub struct Reach {
    whole: Clients,
    narrow: Option<Arc<Narrow>>,
}

/// How clients are narrowed to a tenant.
#[derive(Debug)]
pub struct Narrow {
    /// Where credentials come from, asked as the function itself.
    pub sts: aws_sdk_sts::Client,
    /// ARN of the role that may do what the function does, within the tenant of the session.
    pub role: String,
    /// How long a session lives.
    pub session_seconds: i32,
    /// What the clients of a tenant share with those of the function: everything but credentials.
    pub dynamodb: aws_sdk_dynamodb::Config,
    /// The same for the keys' client.
    pub kms: aws_sdk_kms::Config,
    /// The clients of tenants that were asked for.
    pub kept: Mutex<Bounded<TenantId, Clients>>,
}

impl Reach {
    /// Clients for everything, and how to narrow them, if they are to be.
    pub fn new(whole: Clients, narrow: Option<Narrow>) -> Self {
        Self { whole, narrow: narrow.map(Arc::new) }
    }

    /// For what no tenant's request does: the directory, the search for spare keys.
    pub const fn whole(&self) -> &Clients {
        &self.whole
    }

    /// For a tenant's requests.
    pub fn of_tenant(&self, tenant: &TenantId) -> Clients {
        let Some(narrow) = &self.narrow else { return self.whole.clone() };
        // A panic elsewhere leaves the map as good as it was: an entry is put in whole.
        let mut kept = narrow.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = kept.get(tenant) {
            return clients.clone();
        }
        let clients = narrow.clients(tenant);
        kept.insert(tenant.clone(), clients.clone());
        clients
    }

    /// Drops the clients of a tenant that turned out not to exist, so that a flood of names pushes nobody out.
    pub fn forget(&self, tenant: &TenantId) {
        if let Some(narrow) = &self.narrow {
            narrow.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        }
    }

    /// Opens a connection to STS where it will be needed, as best it can, without asking for anything.
    pub async fn connect(&self) {
        let Some(narrow) = &self.narrow else { return };
        let retries = aws_sdk_sts::config::retry::RetryConfig::disabled();
        let plain = narrow.sts.get_caller_identity().customize().mutate_request(ask_for_nothing);
        let outcome =
            plain.config_override(aws_sdk_sts::config::Builder::new().retry_config(retries)).send().await;
        tracing::debug!(answered = was_answered(&outcome), "connected to STS");
    }
}

/// Makes `GET /` of a call: it opens the connection that the first request would have to wait for, reads nothing and costs
/// nothing; it is what DynamoDB answers to health checks, and what KMS and STS refuse.
pub(crate) fn ask_for_nothing(request: &mut HttpRequest) {
    if request.set_method("GET").is_ok() {
        *request.body_mut() = SdkBody::empty();
        request.headers_mut().remove("x-amz-target");
        // The length of the body that was: whoever reads requests whole would wait for it, and the start for him.
        request.headers_mut().remove("content-length");
    }
}

/// Whether anybody answered, be it by a refusal: then the connection stands.
pub(crate) fn was_answered<T, E>(outcome: &Result<T, SdkError<E, HttpResponse>>) -> bool {
    outcome.as_ref().map_or_else(|error| error.raw_response().is_some(), |_| true)
}

impl Narrow {
    fn clients(&self, tenant: &TenantId) -> Clients {
        let session = SharedCredentialsProvider::new(Session {
            sts: self.sts.clone(),
            role: self.role.clone(),
            tenant: tenant.clone(),
            seconds: self.session_seconds,
            kept: tokio::sync::Mutex::default(),
        });
        // The session keeps its credentials, for both clients; caches of the SDK would ask once for each.
        let cache = IdentityCache::no_cache;
        let dynamodb =
            self.dynamodb.to_builder().credentials_provider(session.clone()).identity_cache(cache());
        let kms = self.kms.to_builder().credentials_provider(session).identity_cache(cache());
        Clients {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            kms: aws_sdk_kms::Client::from_conf(kms.build()),
        }
    }
}

/// The sessions of one tenant, one after the other.
#[derive(Debug)]
struct Session {
    sts: aws_sdk_sts::Client,
    role: String,
    tenant: TenantId,
    seconds: i32,
    /// One request asks for new credentials, others wait for it.
    kept: tokio::sync::Mutex<Option<Credentials>>,
}

impl ProvideCredentials for Session {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl Session {
    /// Credentials that are good for a while; while STS gives no new ones, the old, as long as they are good at all.
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mut kept = self.kept.lock().await;
        let now = clock::now().seconds();
        let good_for = |given: &Credentials, seconds: u64| {
            let needed = SystemTime::UNIX_EPOCH + Duration::from_secs(now.saturating_add(seconds));
            given.expiry().is_some_and(|end| end > needed)
        };
        if let Some(given) = kept.as_ref().filter(|given| good_for(given, RENEW_BEFORE)) {
            return Ok(given.clone());
        }
        match self.open().await {
            Ok(new) => Ok(kept.insert(new).clone()),
            Err(trouble) => {
                tracing::warn!(tenant = %self.tenant, cause = %trouble, event = "no_session", "STS gives no session");
                let old = kept.clone().filter(|given| good_for(given, 0));
                old.ok_or_else(|| CredentialsError::provider_error(trouble))
            }
        }
    }

    async fn open(&self) -> Result<Credentials, Trouble> {
        let tag = Tag::builder().key(TENANT).value(self.tenant.as_str());
        let answer = self
            .sts
            .assume_role()
            .role_arn(&self.role)
            // A name of two characters at least, which shows in AWS's own logs.
            .role_session_name(format!("tenant.{}", self.tenant))
            .duration_seconds(self.seconds)
            .tags(tag.build().map_err(|_| Trouble::with("AssumeRole", "not built"))?)
            .send()
            .await
            .map_err(|error| Trouble::of("AssumeRole", &error))?;
        let given = answer.credentials.ok_or_else(|| Trouble::with("AssumeRole", "no credentials"))?;
        let end = SystemTime::try_from(given.expiration)
            .map_err(|_| Trouble::with("AssumeRole", "an unreadable expiration"))?;
        Ok(Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            Some(end),
            "tenant session",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_for_nothing_promises_no_body() {
        let mut request = HttpRequest::new(SdkBody::from("Action=GetCallerIdentity"));
        request.set_method("POST").unwrap();
        for (name, value) in
            [("content-length", "24"), ("x-amz-target", "TrentService.ListKeys"), ("host", "kms")]
        {
            request.headers_mut().insert(name, value);
        }
        ask_for_nothing(&mut request);
        assert_eq!((request.method(), request.body().bytes()), ("GET", Some(&b""[..])));
        let left: Vec<_> = request.headers().iter().collect();
        assert_eq!(left, [("host", "kms")]);
    }
}
