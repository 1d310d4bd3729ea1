//! What a function is built of, once, at start. Nothing of a tenant lives here.

use std::sync::Mutex;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::bounded::Bounded;
use crate::config::Config;
use crate::kms::Kms;
use crate::reach::{Clients, Narrow, Reach};
use crate::recorder::Recorder;
use crate::sign::Signer;
use crate::store::Store;

/// The certificate authorities of AWS's own endpoints, from Mozilla's list by way of Debian's `ca-certificates`
/// 20230311. Compiled in: loading the system's whole list costs every cold start 3 to 5 ms.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// Settings and clients of a function.
#[derive(Clone, Debug)]
pub struct App {
    /// The settings.
    pub config: Config,
    /// How far the clients below reach.
    reach: Reach,
    /// The table.
    pub store: Store,
    /// Signing keys as things that are made and ended.
    pub kms: Kms,
    /// Signing keys as things that sign.
    pub signer: Signer,
    /// What was decided of tokens.
    pub recorder: Recorder,
}

impl App {
    /// Builds the clients and opens their connections, while the function has its full CPU.
    ///
    /// # Errors
    /// When the compiled-in certificates do not load.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let roots = TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
        let tls = TlsContext::builder().with_trust_store(roots).build().map_err(|_| StartError)?;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(tls)
            .build_https();
        // Three attempts fit into the request deadline, so that one lost packet does not become a 503.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_millis(2500))
            .operation_timeout(Duration::from_secs(config.request_deadline_seconds.saturating_sub(1).max(1)))
            .build();
        let retries =
            RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50));
        let app = Self::with_clients(config, &http, &timeouts, &retries);
        tokio::join!(app.store.connect(), app.kms.connect(), app.reach.connect());
        Ok(app)
    }

    fn with_clients(
        config: Config,
        http: &SharedHttpClient,
        timeouts: &TimeoutConfig,
        retries: &RetryConfig,
    ) -> Self {
        let credentials = SharedCredentialsProvider::new(config.aws.credentials.clone());
        let region = Region::new(config.aws.region.clone());
        let mut dynamodb = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .credentials_provider(credentials.clone())
            .http_client(http.clone())
            .timeout_config(timeouts.clone())
            .retry_config(retries.clone());
        dynamodb.set_endpoint_url(config.aws.dynamodb_endpoint.clone());
        let mut kms = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .credentials_provider(credentials.clone())
            .http_client(http.clone())
            .timeout_config(timeouts.clone())
            .retry_config(retries.clone());
        kms.set_endpoint_url(config.aws.kms_endpoint.clone());
        let (dynamodb, kms) = (dynamodb.build(), kms.build());
        let narrow = config.isolation.as_ref().map(|isolation| {
            let mut sts = aws_sdk_sts::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(region)
                .credentials_provider(credentials)
                .http_client(http.clone())
                .timeout_config(timeouts.clone())
                .retry_config(retries.clone());
            sts.set_endpoint_url(config.aws.sts_endpoint.clone());
            Narrow {
                sts: aws_sdk_sts::Client::from_conf(sts.build()),
                role: isolation.role.clone(),
                session_seconds: isolation.session_seconds.into(),
                dynamodb: dynamodb.clone(),
                kms: kms.clone(),
                kept: Mutex::new(Bounded::new(isolation.sessions)),
            }
        });
        let whole = Clients {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
            kms: aws_sdk_kms::Client::from_conf(kms),
        };
        let reach = Reach::new(whole, narrow);
        let store = Store::new(reach.clone(), config.table.clone(), config.audit_retention_seconds);
        let kms = Kms::new(
            reach.clone(),
            config.stage.clone(),
            config.wrap_key.clone(),
            config.key_deletion_window_days,
        );
        let signer = Signer::new(kms.clone(), config.margins, config.signatures_per_tenant);
        let recorder =
            Recorder::new(config.stage.clone(), config.health_flush_seconds, config.health_retention_seconds);
        Self { config, reach, store, kms, signer, recorder }
    }
}

/// The function can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the compiled-in certificates do not load")]
pub struct StartError;
