//! The environment and the user's config folder: read here and nowhere else.

use std::path::PathBuf;

use crate::failure::Failure;

/// What the environment says.
pub struct Settings {
    /// The folder of sessions.
    pub config: Option<PathBuf>,
    /// For calls of the operator function.
    pub aws: AwsVariables,
}

/// Variables that every AWS tool knows.
#[derive(Clone, Default)]
pub struct AwsVariables {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub keys: Option<(String, String, Option<String>)>,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ENDPOINT_URL_LAMBDA` or `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
}

impl Settings {
    /// Reads the environment of the process.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_env() -> Self {
        Self::from_lookup(&|name| std::env::var(name).ok())
    }

    fn from_lookup(lookup: &dyn Fn(&'static str) -> Option<String>) -> Self {
        let read = |name| lookup(name).filter(|value| !value.is_empty());
        let folder = |name| read(name).map(PathBuf::from);
        let config = folder("LEASEHOLD_CONFIG_DIR")
            .or_else(|| folder("XDG_CONFIG_HOME").map(|folder| folder.join("leasehold")))
            .or_else(|| folder("HOME").map(|folder| folder.join(".config").join("leasehold")));
        let keys = read("AWS_ACCESS_KEY_ID").zip(read("AWS_SECRET_ACCESS_KEY"));
        let aws = AwsVariables {
            keys: keys.map(|(id, secret)| (id, secret, read("AWS_SESSION_TOKEN"))),
            region: read("AWS_REGION").or_else(|| read("AWS_DEFAULT_REGION")),
            endpoint: read("AWS_ENDPOINT_URL_LAMBDA").or_else(|| read("AWS_ENDPOINT_URL")),
        };
        Self { config, aws }
    }

    /// The folder of sessions.
    pub fn config(&self) -> Result<PathBuf, Failure> {
        self.config.clone().ok_or_else(|| {
            Failure::Other("neither HOME nor LEASEHOLD_CONFIG_DIR is set: no place for sessions".into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &'static [(&str, &str)]) -> Settings {
        Settings::from_lookup(&|wanted| {
            variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_config_folder_is_the_nearest_that_is_named() {
        for (variables, folder) in [
            (&[("HOME", "/home/ada")][..], Some("/home/ada/.config/leasehold")),
            (&[("HOME", "/home/ada"), ("XDG_CONFIG_HOME", "/x")], Some("/x/leasehold")),
            (&[("HOME", "/home/ada"), ("LEASEHOLD_CONFIG_DIR", "/l")], Some("/l")),
            (&[("HOME", "")], None),
        ] {
            assert_eq!(with(variables).config.as_deref(), folder.map(std::path::Path::new));
        }
    }

    #[test]
    fn keys_come_in_pairs() {
        let both = with(&[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")]);
        assert_eq!(both.aws.keys, Some(("id".into(), "key".into(), None)));
        assert!(with(&[("AWS_ACCESS_KEY_ID", "id")]).aws.keys.is_none());
    }

    #[test]
    fn the_more_particular_variable_wins() {
        let aws = with(&[
            ("AWS_REGION", "eu-west-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", "http://all"),
            ("AWS_ENDPOINT_URL_LAMBDA", "http://lambda"),
        ])
        .aws;
        assert_eq!(
            (aws.region.as_deref(), aws.endpoint.as_deref()),
            (Some("eu-west-1"), Some("http://lambda"))
        );
    }
}
