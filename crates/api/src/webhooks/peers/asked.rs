//! A carrier's request as all its handlers take it: nothing of it is read before it is found authentic.

use crate::App;
use crate::Problem;
use crate::origin::Origin;
use crate::webhooks::proof::text;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Path, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use wire::fields::{BodyError, Fields};

/// See the module.
pub(crate) struct Asked {
    pub(super) origin: Origin,
    pub(super) headers: HeaderMap,
    /// The unguessable part of the address.
    pub(super) token: String,
    /// As it was asked for: `/webhooks/…?…`.
    path_and_query: String,
    body: Bytes,
}

impl FromRequest<Arc<App>> for Asked {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Path(token) = Path::<String>::from_request_parts(&mut parts, app).await.map_err(|e| e.into_response())?;
        let origin = Origin::of(&parts);
        let headers = parts.headers.clone();
        let path_and_query = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let request = Request::from_parts(parts, body);
        let body = Bytes::from_request(request, app).await.map_err(|e| e.into_response())?;
        Ok(Self { origin, headers, token, path_and_query, body })
    }
}

impl Asked {
    /// The text of a header.
    pub(in crate::webhooks) fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// The body as received.
    pub(in crate::webhooks) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the body is urlencoded, or there is none.
    pub(in crate::webhooks) fn is_form(&self) -> bool {
        self.body.is_empty()
            || self.header(header::CONTENT_TYPE.as_str()).is_none_or(|kind| {
                kind.split(';')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            })
    }

    /// The public address that was asked, as the carrier knows it.
    pub(super) fn url(&self, app: &App) -> Result<String, Problem> {
        Ok(format!("{}{}", app.base_url(&self.headers)?, self.path_and_query))
    }

    /// The fields of the body or, without one, of the query.
    pub(super) fn fields(&self) -> Result<Fields, BodyError> {
        if self.body.is_empty() {
            let query = self.path_and_query.split_once('?').map_or("", |(_, query)| query);
            return Fields::from_urlencoded(query.as_bytes());
        }
        Fields::parse(self.header(header::CONTENT_TYPE.as_str()), &self.body)
    }
}
