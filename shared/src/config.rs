//! The settings of a function, read from the environment once, at start. Errors name the variable. Every lifetime,
//! window and limit that is not a tenant's own stands here, in seconds.

use std::fmt::Display;
use std::str::FromStr;

use crate::keys::Margins;
use crate::password::{HashCost, HashSettings, PasswordPolicy};
use crate::policy::MAX_ACCESS_TOKEN_SECONDS;
use crate::tenant::check_public_url;
use crate::throttle::{Limit, Limits};
use crate::token::verify::LEEWAY_SECONDS;
use crate::view::LiveSettings;

/// A variable is missing or unusable. The function does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It must be set.
    #[error("the environment variable {0} must be set")]
    Missing(&'static str),
    /// It does not read as what it should be.
    #[error("the environment variable {name} is unusable: {why}")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// What is wrong, without its value.
        why: String,
    },
}

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `TABLE_NAME`: the DynamoDB table.
    pub table: String,
    /// `PUBLIC_URL`: where clients reach the service, without a trailing slash; the start of every issuer.
    pub public_url: String,
    /// `KEYS_URL`: where discovery points verifiers for key sets, such as a cache in front of them. Default `PUBLIC_URL`.
    pub keys_url: String,
    /// `STAGE`: the deployment, as keys are tagged with it.
    pub stage: String,
    /// `REQUEST_DEADLINE_SECONDS`: after how long a request is given up with 503. Default 10.
    pub request_deadline_seconds: u64,
    /// `AUDIT_RETENTION_SECONDS`: how long audit events are kept. Default 400 days.
    pub audit_retention_seconds: u64,
    /// `ORPHAN_KEY_SECONDS`: how old a signing key in no ring must be before it is scheduled for deletion. Default 3600.
    pub orphan_key_seconds: u64,
    /// `WRAP_KEY`: ARN of the KMS key that wraps the private keys of custody `wrapped`; without it there is no such
    /// custody.
    pub wrap_key: Option<String>,
    /// `TENANT_ROLE`, `TENANT_SESSION_SECONDS`, `TENANT_SESSIONS`: how requests are held to their tenant by IAM; without
    /// the role they are not.
    pub isolation: Option<Isolation>,
    /// `MAX_ACCESS_TOKEN_SECONDS` (default 3600), `KEY_FALLBACK_SECONDS` (default 300), `KEY_DESTROY_AFTER_SECONDS`
    /// (default 7 days) and the request deadline: how long a signing key outlives its last signature.
    pub margins: Margins,
    /// `KEY_DELETION_WINDOW_DAYS`: for how long KMS lets a deleted key be brought back; 7 (default) to 30.
    pub key_deletion_window_days: u16,
    /// `SIGNATURES_PER_TENANT`: how many signatures of KMS a tenant may have a second; 0 sets no bound. Default 400.
    pub signatures_per_tenant: u32,
    /// `SCHEDULE_BUDGET_SECONDS`: for how long one run of the schedule begins with further tenants. Default 240.
    pub schedule_budget_seconds: u64,
    /// `HEALTH_FLUSH_SECONDS`: how often counts of decisions are written at most. Default 10.
    pub health_flush_seconds: u64,
    /// `HEALTH_RETENTION_SECONDS`: how long they are kept. Default 90 days.
    pub health_retention_seconds: u64,
    /// `OPERATOR_PASSWORDS`: `allow` lets an operator set initial passwords; anything else refuses them. On AWS a stage
    /// leaves it out.
    pub operator_passwords: OperatorPasswords,
    /// `LOGIN_ACCOUNT_LIMIT`, `LOGIN_ADDRESS_LIMIT`, `LOGIN_DEVICE_LIMIT` and `…_WINDOW_SECONDS`.
    pub login_limits: Limits,
    /// `ARGON2_MEMORY_KIB`, `ARGON2_ITERATIONS`, `ARGON2_PARALLELISM`, `HASH_CONCURRENCY`, `HASH_QUEUE`.
    pub hashing: HashSettings,
    /// `PASSWORD_MIN_LENGTH`.
    pub passwords: PasswordPolicy,
    /// `REVOCATION_POLL_SECONDS`, `REVOCATION_DELAY_SECONDS`, `REVOCATION_OVERLAP_SECONDS`, `LOOK_UP_COOL_DOWN_SECONDS`,
    /// `VIEW_TENANTS`, `VIEW_REVOCATIONS`: how functions that verify for others keep up with the table.
    pub verification: LiveSettings,
    /// `AUTHORIZER_ROUTES`: what each route behind the authorizer asks of a token, as JSON.
    pub authorizer_routes: String,
    /// `AUTHORIZER_TROUBLE`: what the authorizer does when it can't decide: `fail` (default), and API Gateway answers 500,
    /// or `refuse`, and it answers 403.
    pub authorizer_trouble: AuthorizerTrouble,
    /// Where AWS is.
    pub aws: AwsConfig,
}

/// What the authorizer does when it can't decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizerTrouble {
    /// Its invocation fails: 500, which clients try again.
    Fail,
    /// It refuses: 403.
    Refuse,
}

/// Whether an operator may set the initial password of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorPasswords {
    /// It may: the local stack, and stages that ask for it.
    Allowed,
    /// It may not.
    Refused,
}

/// How requests are held to their tenant by IAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// `TENANT_ROLE`: ARN of the role that a request assumes for its tenant.
    pub role: String,
    /// `TENANT_SESSION_SECONDS`: how long its credentials live; 900 to 3600 (default), AWS's own bounds for a role that
    /// assumes another.
    pub session_seconds: u16,
    /// `TENANT_SESSIONS`: for how many tenants a process keeps credentials. Default 128.
    pub sessions: usize,
}

/// Where AWS is and who we are there: what Lambda puts into the environment of every function.
#[derive(Clone)]
pub struct AwsConfig {
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`: the function's role.
    pub credentials: aws_credential_types::Credentials,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, or `AWS_ENDPOINT_URL`; absent on AWS.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_KMS`, or `AWS_ENDPOINT_URL`; absent on AWS.
    pub kms_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_STS`, or `AWS_ENDPOINT_URL`; absent on AWS.
    pub sts_endpoint: Option<String>,
}

impl std::fmt::Debug for AwsConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AwsConfig").field("region", &self.region).finish_non_exhaustive()
    }
}

/// `LOG_LEVEL`: the least level that is logged; `info` when it is absent or none.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn log_level() -> tracing::Level {
    std::env::var("LOG_LEVEL").ok().and_then(|level| level.parse().ok()).unwrap_or(tracing::Level::INFO)
}

/// `STAGE`, for what is written before or beside the settings; empty when it is absent.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn stage() -> String {
    std::env::var("STAGE").unwrap_or_default()
}

impl Config {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(&|name| std::env::var(name).ok())
    }

    fn from_lookup(lookup: &dyn Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let read = Reader { lookup };
        let request_deadline_seconds = read.within("REQUEST_DEADLINE_SECONDS", 10, 1..=29)?;
        Ok(Self {
            table: read.required("TABLE_NAME")?,
            public_url: public_url("PUBLIC_URL", read.required("PUBLIC_URL")?)?,
            keys_url: match lookup("KEYS_URL").filter(|url| !url.is_empty()) {
                None => read.required("PUBLIC_URL")?,
                Some(url) => public_url("KEYS_URL", url)?,
            },
            stage: read.required("STAGE")?,
            request_deadline_seconds,
            audit_retention_seconds: read.or("AUDIT_RETENTION_SECONDS", 400 * 86_400)?,
            orphan_key_seconds: read.within("ORPHAN_KEY_SECONDS", 3600, 1..=u64::MAX)?,
            wrap_key: lookup("WRAP_KEY").filter(|key| !key.is_empty()),
            isolation: match lookup("TENANT_ROLE").filter(|role| !role.is_empty()) {
                None => None,
                Some(role) => Some(Isolation {
                    role,
                    session_seconds: read.within("TENANT_SESSION_SECONDS", 3600, 900..=3600)?,
                    sessions: read.within("TENANT_SESSIONS", 128, 1..=10_000)?,
                }),
            },
            margins: Margins {
                request_deadline_seconds,
                max_access_token_seconds: read.within(
                    "MAX_ACCESS_TOKEN_SECONDS",
                    MAX_ACCESS_TOKEN_SECONDS,
                    10..=MAX_ACCESS_TOKEN_SECONDS,
                )?,
                fallback_seconds: read.or("KEY_FALLBACK_SECONDS", 300)?,
                leeway_seconds: LEEWAY_SECONDS,
                destroy_after_seconds: read.or("KEY_DESTROY_AFTER_SECONDS", 7 * 86_400)?,
            },
            key_deletion_window_days: read.within("KEY_DELETION_WINDOW_DAYS", 7, 7..=30)?,
            signatures_per_tenant: read.or("SIGNATURES_PER_TENANT", 400)?,
            schedule_budget_seconds: read.or("SCHEDULE_BUDGET_SECONDS", 240)?,
            health_flush_seconds: read.or("HEALTH_FLUSH_SECONDS", 10)?,
            health_retention_seconds: read.or("HEALTH_RETENTION_SECONDS", 90 * 86_400)?,
            operator_passwords: if lookup("OPERATOR_PASSWORDS").as_deref() == Some("allow") {
                OperatorPasswords::Allowed
            } else {
                OperatorPasswords::Refused
            },
            login_limits: read.login_limits()?,
            hashing: read.hashing()?,
            passwords: PasswordPolicy {
                min_length: read.within(
                    "PASSWORD_MIN_LENGTH",
                    PasswordPolicy::default().min_length,
                    1..=64,
                )?,
            },
            verification: read.verification()?,
            authorizer_routes: lookup("AUTHORIZER_ROUTES").unwrap_or_default(),
            authorizer_trouble: match lookup("AUTHORIZER_TROUBLE").as_deref() {
                None | Some("" | "fail") => AuthorizerTrouble::Fail,
                Some("refuse") => AuthorizerTrouble::Refuse,
                Some(_) => return Err(invalid("AUTHORIZER_TROUBLE", &"must be fail or refuse")),
            },
            aws: read.aws()?,
        })
    }
}

fn invalid(name: &'static str, why: &impl Display) -> ConfigError {
    ConfigError::Invalid { name, why: why.to_string() }
}

fn public_url(name: &'static str, url: String) -> Result<String, ConfigError> {
    check_public_url(&url).map_err(|why| invalid(name, &why)).map(|()| url)
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&'static str) -> Option<String>,
}

impl Reader<'_> {
    fn login_limits(&self) -> Result<Limits, ConfigError> {
        let limits = Limits::default();
        let limit = |attempts, window, default: Limit| -> Result<Limit, ConfigError> {
            Ok(Limit {
                attempts: self.or(attempts, default.attempts)?,
                window_seconds: self.or(window, default.window_seconds)?,
            })
        };
        Ok(Limits {
            account: limit("LOGIN_ACCOUNT_LIMIT", "LOGIN_ACCOUNT_WINDOW_SECONDS", limits.account)?,
            address: limit("LOGIN_ADDRESS_LIMIT", "LOGIN_ADDRESS_WINDOW_SECONDS", limits.address)?,
            device: limit("LOGIN_DEVICE_LIMIT", "LOGIN_DEVICE_WINDOW_SECONDS", limits.device)?,
        })
    }

    fn hashing(&self) -> Result<HashSettings, ConfigError> {
        let cost = HashCost::default();
        let cost = HashCost {
            memory_kib: self.or("ARGON2_MEMORY_KIB", cost.memory_kib)?,
            iterations: self.or("ARGON2_ITERATIONS", cost.iterations)?,
            parallelism: self.or("ARGON2_PARALLELISM", cost.parallelism)?,
        };
        cost.check().map_err(|why| invalid("ARGON2_MEMORY_KIB", &why))?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let concurrency = self.or("HASH_CONCURRENCY", cores)?;
        Ok(HashSettings { cost, concurrency, queue: self.or("HASH_QUEUE", 64)? })
    }

    fn verification(&self) -> Result<LiveSettings, ConfigError> {
        let default = LiveSettings::default();
        Ok(LiveSettings {
            poll_seconds: self.within("REVOCATION_POLL_SECONDS", default.poll_seconds, 0..=60)?,
            delay_seconds: self.within("REVOCATION_DELAY_SECONDS", default.delay_seconds, 2..=300)?,
            cool_down_seconds: self.within(
                "LOOK_UP_COOL_DOWN_SECONDS",
                default.cool_down_seconds,
                1..=3600,
            )?,
            overlap_seconds: self.within("REVOCATION_OVERLAP_SECONDS", default.overlap_seconds, 1..=600)?,
            tenants: self.within("VIEW_TENANTS", default.tenants, 1..=100_000)?,
            revocations: self.within("VIEW_REVOCATIONS", default.revocations, 0..=1_000_000)?,
        })
    }

    fn aws(&self) -> Result<AwsConfig, ConfigError> {
        Ok(AwsConfig {
            region: self.required("AWS_REGION")?,
            credentials: aws_credential_types::Credentials::new(
                self.required("AWS_ACCESS_KEY_ID")?,
                self.required("AWS_SECRET_ACCESS_KEY")?,
                (self.lookup)("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()),
                None,
                "environment",
            ),
            dynamodb_endpoint: self.endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
            kms_endpoint: self.endpoint("AWS_ENDPOINT_URL_KMS"),
            sts_endpoint: self.endpoint("AWS_ENDPOINT_URL_STS"),
        })
    }

    fn required(&self, name: &'static str) -> Result<String, ConfigError> {
        (self.lookup)(name).filter(|value| !value.is_empty()).ok_or(ConfigError::Missing(name))
    }

    fn or<T: FromStr<Err: Display>>(&self, name: &'static str, default: T) -> Result<T, ConfigError> {
        match (self.lookup)(name).filter(|value| !value.is_empty()) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|why| invalid(name, &why)),
        }
    }

    fn within<T: FromStr<Err: Display> + PartialOrd + Display>(
        &self,
        name: &'static str,
        default: T,
        bounds: std::ops::RangeInclusive<T>,
    ) -> Result<T, ConfigError> {
        let value = self.or(name, default)?;
        if bounds.contains(&value) {
            Ok(value)
        } else {
            Err(invalid(name, &format!("must be between {} and {}", bounds.start(), bounds.end())))
        }
    }

    fn endpoint(&self, name: &'static str) -> Option<String> {
        (self.lookup)(name).or_else(|| (self.lookup)("AWS_ENDPOINT_URL")).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("TABLE_NAME", "leasehold"),
        ("PUBLIC_URL", "https://auth.example"),
        ("STAGE", "test"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
    ];

    fn with(name: &str, value: &str) -> Result<Config, ConfigError> {
        Config::from_lookup(&|wanted| {
            if wanted == name {
                return Some(value.to_owned());
            }
            GOOD.iter().find(|(known, _)| *known == wanted).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_required_is_named_when_it_is_missing() {
        for (name, _) in GOOD {
            assert_eq!(with(name, "").err(), Some(ConfigError::Missing(name)));
        }
        assert!(with("", "").is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        for (name, value) in [
            ("PUBLIC_URL", "http://auth.example"),
            ("PUBLIC_URL", "http://localhost.evil.example"),
            ("PUBLIC_URL", "https://auth.example/"),
            ("PUBLIC_URL", "https://auth.example?x"),
            ("KEYS_URL", "http://keys.example"),
            ("PUBLIC_URL", "http://localhost:80@evil.example"),
            ("REQUEST_DEADLINE_SECONDS", "soon"),
            ("REQUEST_DEADLINE_SECONDS", "-1"),
            ("REQUEST_DEADLINE_SECONDS", "0"),
            ("PASSWORD_MIN_LENGTH", "65"),
            ("LOGIN_ACCOUNT_LIMIT", "1.5"),
            ("ARGON2_MEMORY_KIB", "1"),
            ("REVOCATION_DELAY_SECONDS", "1"),
            ("AUTHORIZER_TROUBLE", "shrug"),
        ] {
            let refused = with(name, value).unwrap_err();
            assert!(
                matches!(&refused, ConfigError::Invalid { name: found, .. } if *found == name),
                "{refused}"
            );
        }
    }

    #[test]
    fn requests_are_held_to_their_tenant_where_there_is_a_role_for_it() {
        assert_eq!(with("", "").unwrap().isolation, None);
        assert_eq!(with("TENANT_ROLE", "").unwrap().isolation, None);
        let isolation = with("TENANT_ROLE", "arn").unwrap().isolation.unwrap();
        assert_eq!((isolation.session_seconds, isolation.sessions), (3600, 128));
        for seconds in ["899", "3601"] {
            let read = Config::from_lookup(&|wanted| match wanted {
                "TENANT_ROLE" => Some("arn".to_owned()),
                "TENANT_SESSION_SECONDS" => Some(seconds.to_owned()),
                _ => GOOD.iter().find(|(known, _)| *known == wanted).map(|(_, value)| (*value).to_owned()),
            });
            assert!(read.is_err(), "{seconds}");
        }
    }

    #[test]
    fn operators_set_no_passwords_unless_the_stage_allows_it() {
        assert_eq!(with("", "").unwrap().operator_passwords, OperatorPasswords::Refused);
        assert_eq!(with("OPERATOR_PASSWORDS", "yes").unwrap().operator_passwords, OperatorPasswords::Refused);
        assert_eq!(
            with("OPERATOR_PASSWORDS", "allow").unwrap().operator_passwords,
            OperatorPasswords::Allowed
        );
    }

    #[test]
    fn credentials_do_not_show_in_debug() {
        let shown = format!("{:?}", with("AWS_SECRET_ACCESS_KEY", "hidden-value").unwrap());
        assert!(!shown.contains("hidden-value"));
    }
}
