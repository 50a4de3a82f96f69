//! Whether it lives, whether it is ready, and what is measured.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{asker::Asker, door::Door, metrics::Others, problem::Problem};
use crate::{access::roles::Right, files};

/// Whether the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether commands are taken: the ledger runs, its disk has room, its clock is trusted.
pub async fn readyz(State(door): State<Door>) -> Result<Response, Problem> {
    let health = door.blocking(|door| Ok(door.engine.health()?)).await?;
    let why = if health.has_room == Some(false) {
        "disk_full\n"
    } else if health.clock_is_ahead {
        "clock_ahead\n"
    } else {
        return Ok("ready\n".into_response());
    };
    Ok((StatusCode::SERVICE_UNAVAILABLE, why).into_response())
}

/// What is measured, for Prometheus.
pub async fn metrics(State(door): State<Door>, asker: Asker) -> Result<Response, Problem> {
    asker.has(&door, Right::Operate)?;
    let text = door
        .blocking(|door| {
            let health = door.engine.health()?;
            let others = Others {
                disk_free_bytes: files::free_bytes(door.ledger.folder().path()).ok(),
                subscriptions: door.subscriptions.lags(),
                missed_attempts: door.refusals.missed(),
                open_holds: door.ledger.open_holds().and_then(|holds| holds.by_age(health.now).zip(holds.records())),
            };
            Ok(door.metrics.text(&health, &others).unwrap_or_default())
        })
        .await?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}
