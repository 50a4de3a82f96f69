//! What happened and how things stand, in words for people.

use chrono_tz::Tz;
use schemas::{
    Body, Coins, Event, GiftGiven, Lot, Order, OrderKind, Origin, Record, Returned, Status, Timestamp, visible,
};

use crate::local_time::local;

/// How far apart the times of happening and of recording are before both are told: what is dispatched is
/// recorded some milliseconds later.
const APART_NANOS: u64 = 1_000_000_000;

/// How far an order has come.
pub fn status(order: &Order, past_deadline: bool, zone: Tz) -> String {
    match (order.status, &order.kind) {
        (Status::Held, OrderKind::Game { deadline, provider, .. }) if past_deadline => {
            format!("not sent to {provider} by its deadline, {}; its coins come back", local(*deadline, zone))
        }
        (Status::Held, OrderKind::Game { deadline, provider, .. }) => {
            format!("held for {provider} until {}", local(*deadline, zone))
        }
        (Status::Sent, _) => "sent to the provider, no answer yet".to_owned(),
        (Status::Unknown, _) => "unknown: the provider is asked again".to_owned(),
        (Status::Released, _) => "released: it ended without a charge".to_owned(),
        (Status::Refunded, _) => "refunded in whole".to_owned(),
        (status, _) => status.to_string(),
    }
}

/// What a record says: a sentence for a refusal, or for each event that `tells`.
pub fn sentences(record: &Record, zone: Tz, tells: impl Fn(u8, &Event) -> bool) -> Vec<String> {
    let mut said: Vec<String> = match &record.body {
        Body::Rejection(rejection) => vec![format!("refused: {rejection}")],
        Body::Event(_) => {
            let told = record.events().filter(|(part, event)| tells(*part, event));
            told.map(|(_, event)| sentence(event, zone)).collect()
        }
    };
    let apart = |at: &Timestamp| at.nanos().abs_diff(record.time.nanos()) >= APART_NANOS;
    if let (Some(occurred_at), Some(last)) = (record.occurred_at.filter(apart), said.last_mut()) {
        *last = format!("{last} (happened {})", local(occurred_at, zone));
    }
    said
}

/// Who acted: the caller's word for it, or what of the ledger did.
pub fn actor(record: &Record) -> String {
    match (&record.actor, &record.origin) {
        (Some(actor), _) => actor.to_string(),
        (None, Origin::Caller(_)) => String::new(),
        (None, Origin::Dispatch) => "(dispatch)".to_owned(),
        (None, Origin::Timer) => "(timer)".to_owned(),
    }
}

/// The app that the user had, where the caller told: `ios com.example.live 5.2`.
pub fn client(record: &Record) -> String {
    let client = record.client.as_deref();
    let told = client.map(|client| [&client.device, &client.package, &client.version]);
    let told: Vec<&str> = told.into_iter().flatten().flatten().map(schemas::ReasonCode::as_str).collect();
    told.join(" ")
}

/// Where a record stands.
pub fn place(record: &Record) -> String {
    format!("{}-{}", record.shard, record.sequence)
}

/// An event's name in words: `gift given`.
pub fn event(kind: &str) -> String {
    kind.replace('_', " ")
}

/// What an event says.
pub fn sentence(event: &Event, zone: Tz) -> String {
    match event {
        Event::ReferencePublished(e) => {
            let part = if e.last && e.part == 0 { String::new() } else { format!(", part {}", e.part) };
            let (version, changes) = (e.version, thousands(e.changes.len()));
            format!("version {version} published{part}: {changes} changes, from {}", local(e.from, zone))
        }
        Event::ReferenceTaken(e) => format!("version {} taken by the shard, part {}", e.version, e.part),
        Event::TopUpClaimed(e) => format!("top-up of {} for {}, paid {}", coins(e.coins), e.user, e.paid),
        Event::TopUpCredited(e) => {
            let debt = unless_none(e.debt_paid, |n| format!(", {n} of them paid debt"));
            format!("{} of {}/{} credited{debt}", coins(e.coins), e.channel, e.transaction)
        }
        Event::ChargebackClaimed(e) => {
            format!("chargeback of {} of {}, {} returned by the channel", coins(e.coins), e.user, e.returned)
        }
        Event::ChargedBack(e) => {
            let debt = unless_none(e.debt, |n| format!(", {n} became debt"));
            format!("{} of {}/{} taken back{debt}", coins_in(&e.taken), e.channel, e.transaction)
        }
        Event::Granted(e) => {
            let until = e.expires.map(|at| format!(" until {}", local(at, zone))).unwrap_or_default();
            format!("{} granted{until}: {}", coins(e.coins), e.reason)
        }
        Event::LotExpired(e) => format!("{} of lot {} lapsed", coins(e.lot.coins), e.lot.id),
        Event::GiftGiven(e) => gift(e),
        Event::Held(e) => {
            format!("{} held for {} until {}", coins_in(&e.used), e.provider, local(e.deadline, zone))
        }
        Event::Sent(e) => format!("sent to the provider{}", because(e.reason.as_ref())),
        Event::Queried(e) => format!("the provider asked{}", because(e.reason.as_ref())),
        Event::Unresolved(e) => format!("no answer that settles it{}", because(e.reason.as_ref())),
        Event::HandedOver(e) => format!("handed over to a person{}", because(e.reason.as_ref())),
        Event::Captured(e) => format!("{} captured{}", coins(e.coins), back(&e.released)),
        Event::Released(e) => format!("hold released: {}{}", e.reason, back(&e.released)),
        Event::Refunded(e) => format!("{} refunded: {}{}", coins(e.coins), e.reason, back(&e.returned)),
        Event::RefundRolledBack(e) => {
            let lapsed = e.unexpired.iter().chain(e.unlapsed.iter().map(|unlapsed| &unlapsed.lot));
            let lapsed: i128 = lapsed.map(|lot| lot.coins.signed()).sum();
            let lapsed = if lapsed == 0 { String::new() } else { format!(", {} that had lapsed", counted(lapsed)) };
            let short = unless_none(e.shortfall, |n| format!(", {n} were not there"));
            let refund = visible(e.refund.as_str());
            format!("refund {refund} rolled back: {}; {} taken{lapsed}{short}", e.reason, coins_in(&e.taken))
        }
        Event::ChargebackRemembered(_) => {
            "chargeback of a payment that no top-up has claimed; it is remembered".to_owned()
        }
        Event::TopUpReversed(e) => {
            let by = visible(e.chargeback.as_str());
            format!(
                "top-up of {} for {} credits nothing: command {by} brought its chargeback before",
                coins(e.coins),
                e.user
            )
        }
        Event::ReinstateRemembered(_) => "the chargeback that was remembered is withdrawn".to_owned(),
        Event::ReinstateClaimed(e) => {
            format!("dispute won: {} of {} come back, {} paid by the channel", coins(e.coins), e.user, e.paid)
        }
        Event::Reinstated(e) => {
            let debt = unless_none(e.debt_paid, |n| format!(", {n} paid debt"));
            format!("{} of {}/{} back in the wallet{debt}", coins_in(&e.restored), e.channel, e.transaction)
        }
        Event::Group(events) => events.iter().map(|event| sentence(event, zone)).collect::<Vec<_>>().join("; "),
    }
}

fn gift(gift: &GiftGiven) -> String {
    let to: Vec<String> = match &gift.shares[..] {
        [] => vec!["nobody".to_owned()],
        [only] => vec![only.streamer.to_string()],
        shares => shares.iter().map(|share| format!("{} ({})", share.streamer, thousands(share.value))).collect(),
    };
    let (quantity, charged) = (thousands(gift.quantity), coins(gift.charged));
    let room = gift.room.as_ref().map(|room| format!("room {room}"));
    let activity = gift.activity.as_ref().map(|activity| format!("activity {activity}"));
    let combo = gift.combo.as_ref().map(|combo| format!("combo {} step {}", visible(combo.id.as_str()), combo.count));
    let given = format!("{quantity} {} for {charged} to {}", gift.item, to.join(", "));
    let told: Vec<String> = [Some(given), room, activity, combo].into_iter().flatten().collect();
    told.join(", ")
}

/// Where coins went that came back.
fn back(returned: &Returned) -> String {
    let parts = [
        (&returned.restored, "back in the wallet"),
        (&returned.debt_paid, "paid debt"),
        (&returned.expired, "had lapsed meanwhile"),
    ];
    let told = parts.iter().filter(|(lots, _)| !lots.is_empty());
    told.map(|(lots, what)| format!(", {} {what}", coins_in(lots))).collect::<Vec<_>>().concat()
}

fn because(reason: Option<&schemas::ReasonCode>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

fn unless_none(coins: Coins, say: impl Fn(String) -> String) -> String {
    if coins.is_zero() { String::new() } else { say(thousands(coins)) }
}

fn coins(coins: Coins) -> String {
    counted(coins.signed())
}

fn coins_in(lots: &[Lot]) -> String {
    counted(lots.iter().map(|lot| lot.coins.signed()).sum())
}

fn counted(coins: i128) -> String {
    if coins == 1 { "1 coin".to_owned() } else { format!("{} coins", thousands(coins)) }
}

/// A number with its thousands apart: `1,234,567`.
pub fn thousands(number: impl std::fmt::Display) -> String {
    let text = format!("{number}");
    let (sign, rest) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = rest.find('.').map_or((rest, ""), |dot| rest.split_at(dot));
    let mut grouped = String::from(sign);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-1234567.80", "-1,234,567.80")] {
            assert_eq!(thousands(number), text);
        }
    }
}
