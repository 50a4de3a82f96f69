//! The reference data becomes what a platform file says.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use super::{
    asker::Asker,
    body,
    door::Door,
    extract::Fields,
    problem::{Code, Problem},
};
use crate::{
    access::roles::Right,
    app::{
        actions::reference::{self, Form, How},
        asked,
    },
    platform_file::Published,
};

/// The most bytes of a platform file: some hundred thousand items.
const MAX_BYTES: usize = 32 << 20;

/// Publishes a platform file as one version, or says what it would change.
pub async fn apply(
    State(door): State<Door>,
    asker: Asker,
    Fields(fields): Fields,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    asker.has(&door, Right::Publish)?;
    let how: How = asked::question(fields)?;
    body::check_media_type(&headers, &["application/toml", "application/json", "text/x-toml"])?;
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = if said.contains("json") { Form::Json } else { Form::Toml };
    let text = body::read(&headers, body, MAX_BYTES, &door.limits).await?;
    let text = std::str::from_utf8(body::utf8(&text)?).map_err(|error| {
        Problem::new(Code::Malformed, format!("the body is not UTF-8 from byte {} on", error.valid_up_to() + 1))
    })?;
    let wanted = reference::read(text, form, "the body")?;
    let _one_at_a_time = door.publishing.lock().await;
    let answer = door
        .folding(move |door| {
            let published = Published::read(&door.ledger)?;
            Ok(reference::apply(&door.engine, &asker.caller, &published, &wanted, how)?)
        })
        .await?;
    Ok(Json(answer).into_response())
}
