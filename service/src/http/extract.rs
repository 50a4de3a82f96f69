//! What a request's address says: the one name in its path, and the fields of its query. What cannot be read is a
//! problem, as everything else that this door says.

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::request::Parts,
};

use super::problem::{Code, Problem};

/// The name in a path, decoded.
#[derive(Debug)]
pub struct Named(pub String);

/// The fields of a query, in their order.
#[derive(Debug)]
pub struct Fields(pub Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Problem::new(Code::BadRequest, format!("the path: {}", rejection.body_text()))),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Fields {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(fields)) => Ok(Self(fields)),
            Err(rejection) => Err(Problem::new(Code::BadQuery, rejection.body_text())),
        }
    }
}
