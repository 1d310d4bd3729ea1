//! Which route a request takes, as API Gateway's HTTP API decides it: literal segments before `{parameter}` before
//! `{greedy+}`, a method's own route before `ANY`, `$default` last. Segments are matched before they are decoded, so
//! that an encoded slash cannot move a request to another route.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::authorize::{Authorizer, Authorizers};
use crate::lambda::{Function, Functions};
use crate::template::RouteSpec;

/// The route table.
#[derive(Debug)]
pub struct Routes {
    /// In order of precedence.
    routes: Vec<Route>,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// As in the template.
    pub key: String,
    /// Who answers.
    pub function: Arc<Function>,
    /// Limit of the integration.
    pub timeout: Duration,
    /// Who decides whether a request may pass.
    pub authorizer: Option<Arc<Authorizer>>,
    method: Option<String>,
    segments: Vec<Segment>,
}

/// In order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Parameter(String),
    Greedy(String),
}

/// Path parameters, decoded.
pub type Parameters = BTreeMap<String, String>;

impl Routes {
    /// Builds the table; an error names the route that cannot be served.
    pub fn new(
        specs: Vec<RouteSpec>,
        functions: &Functions,
        authorizers: &Authorizers,
    ) -> Result<Self, String> {
        let mut routes = specs
            .into_iter()
            .map(|spec| Route::new(spec, functions, authorizers))
            .collect::<Result<Vec<Route>, String>>()?;
        routes.sort_by(|a, b| {
            let default = |route: &Route| route.key == "$default";
            let shape = |route: &Route| route.segments.iter().map(Segment::rank).collect::<Vec<u8>>();
            (default(a), shape(a), a.method.is_none()).cmp(&(default(b), shape(b), b.method.is_none()))
        });
        Ok(Self { routes })
    }

    /// The route for a request, if there is one.
    pub fn find(&self, method: &str, path: &str) -> Option<(&Route, Parameters)> {
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        self.routes.iter().find_map(|route| {
            if route.method.as_deref().is_some_and(|own| own != method) {
                return None;
            }
            route.capture(&segments).map(|parameters| (route, parameters))
        })
    }
}

impl Route {
    fn new(spec: RouteSpec, functions: &Functions, authorizers: &Authorizers) -> Result<Self, String> {
        let RouteSpec { key, function, timeout, authorizer } = spec;
        let function =
            functions.find(&function).ok_or_else(|| format!("route {key}: no function {function}"))?;
        let find = |id: String| {
            authorizers.get(&id).cloned().ok_or_else(|| format!("route {key}: no authorizer {id}"))
        };
        let authorizer = authorizer.map(find).transpose()?;
        let (method, path) = match key.split_once(' ') {
            Some((method, path)) => (Some(method).filter(|method| *method != "ANY"), path),
            None if key == "$default" => (None, "/{$default+}"),
            None => return Err(format!("route {key:?} is neither METHOD /path nor $default")),
        };
        let path =
            path.strip_prefix('/').ok_or_else(|| format!("route {key}: the path must begin with /"))?;
        let segments = path.split('/').map(Segment::parse).collect();
        let (method, function) = (method.map(str::to_owned), function.clone());
        Ok(Self { key, function, timeout, authorizer, method, segments })
    }

    fn capture(&self, segments: &[&str]) -> Option<Parameters> {
        let greedy = matches!(self.segments.last(), Some(Segment::Greedy(_)));
        let enough = if greedy {
            segments.len() >= self.segments.len()
        } else {
            segments.len() == self.segments.len()
        };
        if !enough {
            return None;
        }
        let mut parameters = Parameters::new();
        for (index, (own, given)) in self.segments.iter().zip(segments).enumerate() {
            match own {
                Segment::Literal(literal) if literal == given => {}
                Segment::Parameter(name) if !given.is_empty() => {
                    parameters.insert(name.clone(), decoded(given));
                }
                Segment::Greedy(name) if self.key == "$default" || !given.is_empty() => {
                    if self.key != "$default" {
                        parameters.insert(name.clone(), decoded(&segments[index..].join("/")));
                    }
                }
                _ => return None,
            }
        }
        Some(parameters)
    }
}

impl Segment {
    fn parse(text: &str) -> Self {
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Self::Greedy(name.to_owned()),
                None => Self::Parameter(name.to_owned()),
            },
            None => Self::Literal(text.to_owned()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Parameter(_) => 1,
            Self::Greedy(_) => 2,
        }
    }
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::FunctionSpec;

    fn table(keys: &[&str]) -> Routes {
        let spec = FunctionSpec {
            name: "f".to_owned(),
            memory_mb: 128,
            timeout: Duration::from_secs(3),
            environment: BTreeMap::new(),
        };
        let functions = Functions::new(BTreeMap::from([("f".to_owned(), spec)]), "eu-west-1");
        let specs = keys
            .iter()
            .map(|key| RouteSpec {
                key: (*key).to_owned(),
                function: "f".to_owned(),
                timeout: Duration::from_secs(30),
                authorizer: None,
            })
            .collect();
        Routes::new(specs, &functions, &Authorizers::new()).unwrap()
    }

    #[test]
    fn precedence_is_that_of_http_apis() {
        let routes = table(&[
            "$default",
            "ANY /t/{tenant}/{proxy+}",
            "ANY /t/{tenant}/sessions",
            "GET /t/{tenant}/sessions",
            "GET /t/{tenant}/sessions/{sid}",
            "GET /t/acme/sessions",
        ]);
        let rows = [
            ("GET", "/t/acme/sessions", "GET /t/acme/sessions"),
            ("GET", "/t/globex/sessions", "GET /t/{tenant}/sessions"),
            ("PUT", "/t/globex/sessions", "ANY /t/{tenant}/sessions"),
            ("GET", "/t/globex/sessions/1", "GET /t/{tenant}/sessions/{sid}"),
            ("DELETE", "/t/globex/sessions/1", "ANY /t/{tenant}/{proxy+}"),
            ("GET", "/t/globex/sessions/", "ANY /t/{tenant}/{proxy+}"),
            ("GET", "/", "$default"),
            ("GET", "/t//sessions", "$default"),
        ];
        for (method, path, key) in rows {
            assert_eq!(
                routes.find(method, path).map(|(route, _)| route.key.as_str()),
                Some(key),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn what_no_route_matches_is_not_found() {
        let routes = table(&["POST /t/{tenant}/login"]);
        for (method, path) in [
            ("GET", "/t/a/login"),
            ("POST", "/t/a/login/"),
            ("POST", "/t//login"),
            ("POST", "/t/a%2Flogin"),
            ("POST", "/"),
        ] {
            assert!(routes.find(method, path).is_none(), "{method} {path}");
        }
    }

    #[test]
    fn parameters_are_decoded_after_the_match() {
        let routes = table(&["GET /t/{tenant}/{rest+}"]);
        let (_, parameters) = routes.find("GET", "/t/a%2Fb%20c/x/y%2Fz").unwrap();
        assert_eq!(parameters["tenant"], "a/b c");
        assert_eq!(parameters["rest"], "x/y/z");
    }
}
