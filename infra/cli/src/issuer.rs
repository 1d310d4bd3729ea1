//! Which tenant of which deployment is meant.

use std::fmt;
use std::str::FromStr;

use leasehold::id::TenantId;

/// The issuer of a tenant: `{PUBLIC_URL}/t/{tenant}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    url: String,
    tenant: TenantId,
}

impl Issuer {
    /// The tenant of a deployment.
    pub fn of(base_url: &str, tenant: &str) -> Result<Self, String> {
        format!("{}/t/{tenant}", base_url.trim_end_matches('/')).parse()
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Its tenant.
    pub fn tenant(&self) -> &str {
        self.tenant.as_str()
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)
    }
}

impl FromStr for Issuer {
    type Err = String;

    /// Reads an issuer. A password or a token never goes over plain HTTP to another machine.
    fn from_str(text: &str) -> Result<Self, String> {
        let url = text.trim_end_matches('/');
        let uri: http::Uri = url.parse().map_err(|_| "not a URL".to_owned())?;
        let host = uri.host().unwrap_or_default();
        let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_here => {}
            _ => return Err("must be https, or http on this machine".to_owned()),
        }
        if uri.query().is_some() || url.contains(['#', '@']) {
            return Err("must have no query, fragment or user".to_owned());
        }
        let (_, tenant) = url.rsplit_once("/t/").ok_or("must end in /t/<tenant>")?;
        let tenant = tenant.parse().map_err(|error| format!("must end in /t/<tenant>: {error}"))?;
        Ok(Self { url: url.to_owned(), tenant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_names_a_tenant_and_is_https() {
        for text in [
            "https://auth.example/t/acme",
            "https://auth.example/t/acme/",
            "https://auth.example/some/stage/t/acme",
            "http://localhost:9000/t/acme",
            "http://127.0.0.1:9000/t/acme",
        ] {
            assert_eq!(
                text.parse::<Issuer>().map(|issuer| issuer.tenant().to_owned()),
                Ok("acme".to_owned()),
                "{text}"
            );
        }
        for text in [
            "",
            "acme",
            "https://auth.example",
            "https://auth.example/t/",
            "https://auth.example/t/acme/login",
            "https://auth.example/t/UPPER CASE",
            "http://auth.example/t/acme",
            "http://localhost.evil.example/t/acme",
            "http://localhost@evil.example/t/acme",
            "https://auth.example/t/acme?x=1",
            "ftp://auth.example/t/acme",
        ] {
            assert!(text.parse::<Issuer>().is_err(), "{text}");
        }
        assert_eq!(
            Issuer::of("https://auth.example/", "acme").unwrap().as_str(),
            "https://auth.example/t/acme"
        );
    }
}
