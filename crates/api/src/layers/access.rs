//! Which operation takes whose credentials: as its description says, so that there is no second list to forget.

use axum::http::Method;
use std::collections::HashMap;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};

/// Whose credentials an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nobody's. `Authorization` is not looked at: whoever logs in or refreshes may still send a token that is over.
    Anybody,
    /// A person's or a program's.
    Caller,
    /// A token of the installation's own, which its handler checks.
    OwnToken,
}

/// For every described operation.
pub(super) struct AccessTable(HashMap<(Method, String), Access>);

impl AccessTable {
    /// Reads the description. In production the routes of developers are no routes, and described ones are none either.
    pub(super) fn read(api: &OpenApi, production: bool) -> Self {
        let mut table = HashMap::new();
        for (path, item) in &api.paths.paths {
            if production && path.starts_with("/api/test/") {
                continue;
            }
            for (method, operation) in operations(item) {
                table.insert((method, path.clone()), access(operation));
            }
        }
        Self(table)
    }

    /// What an operation takes; what is not described takes callers, who then find nothing there.
    pub(super) fn of(&self, method: &Method, route: Option<&str>) -> Access {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let Some(route) = route else { return Access::Caller };
        self.0.get(&(method.clone(), route.to_owned())).copied().unwrap_or(Access::Caller)
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
    ];
    all.into_iter().filter_map(|(method, operation)| operation.as_ref().map(|operation| (method, operation)))
}

fn access(operation: &Operation) -> Access {
    let needs = operation.security.as_deref().unwrap_or_default();
    // The library shows the names only in the form in which they are written.
    let schemes: Vec<serde_json::Value> =
        needs.iter().map(|need| serde_json::to_value(need).unwrap_or_default()).collect();
    if schemes.iter().any(|scheme| scheme.get("bearer").is_some()) {
        Access::Caller
    } else if needs.is_empty() {
        Access::Anybody
    } else {
        Access::OwnToken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::openapi::path::{HttpMethod, OperationBuilder};
    use utoipa::openapi::{OpenApiBuilder, PathsBuilder, SecurityRequirement};

    fn table(production: bool) -> AccessTable {
        let operation = |scheme: Option<&str>| {
            let need = scheme.map(|name| vec![SecurityRequirement::new(name, Vec::<String>::new())]);
            OperationBuilder::new().securities(need).build()
        };
        let paths = PathsBuilder::new()
            .path("/api/auth/login", PathItem::new(HttpMethod::Post, operation(None)))
            .path("/api/agents", PathItem::new(HttpMethod::Get, operation(Some("bearer"))))
            .path("/api/monitoring/requests", PathItem::new(HttpMethod::Get, operation(Some("operator"))))
            .path("/api/test/email-connection", PathItem::new(HttpMethod::Post, operation(Some("development"))));
        AccessTable::read(&OpenApiBuilder::new().paths(paths).build(), production)
    }

    #[test]
    fn access_is_what_the_description_says() {
        let table = table(false);
        for (method, route, expected) in [
            (Method::POST, Some("/api/auth/login"), Access::Anybody),
            (Method::GET, Some("/api/auth/login"), Access::Caller),
            (Method::GET, Some("/api/agents"), Access::Caller),
            (Method::GET, Some("/api/monitoring/requests"), Access::OwnToken),
            (Method::HEAD, Some("/api/monitoring/requests"), Access::OwnToken),
            (Method::POST, Some("/api/test/email-connection"), Access::OwnToken),
            (Method::GET, Some("/api/nothing"), Access::Caller),
            (Method::GET, None, Access::Caller),
        ] {
            assert_eq!(table.of(&method, route), expected, "{method} {route:?}");
        }
    }

    #[test]
    fn in_production_the_developers_routes_are_unknown() {
        let table = table(true);
        assert_eq!(table.of(&Method::POST, Some("/api/test/email-connection")), Access::Caller);
        assert_eq!(table.of(&Method::POST, Some("/api/auth/login")), Access::Anybody);
    }

    #[test]
    fn the_real_description_has_all_three() {
        let table = AccessTable::read(&crate::description(), false);
        for (method, route, expected) in [
            (Method::POST, "/api/auth/login", Access::Anybody),
            (Method::POST, "/api/auth/refresh", Access::Anybody),
            (Method::POST, "/api/auth/register", Access::Anybody),
            (Method::GET, "/api/agents", Access::Caller),
            (Method::GET, "/api/monitoring/requests", Access::OwnToken),
            (Method::POST, "/api/test/email-connection", Access::OwnToken),
        ] {
            assert_eq!(table.of(&method, Some(route)), expected, "{method} {route}");
        }
    }
}
