//! Tickets for streams: a browser's `EventSource` cannot send a token, so it presents a ticket in its address, which works
//! once, for a minute.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;

use crate::access::gate::Token;

/// How long a ticket works.
pub const LIFE: Duration = Duration::from_mins(1);
/// The most that wait to be used.
const MOST: usize = 10_000;

/// The tickets that were given and not used.
#[derive(Debug, Default)]
pub struct Tickets(Mutex<HashMap<String, Ticket>>);

/// Lets somebody in once.
#[derive(Debug)]
pub struct Ticket {
    /// Whose; none where no token is needed.
    pub token: Option<Arc<Token>>,
    until: Instant,
}

impl Tickets {
    /// A ticket for whoever has that token; none where too many wait.
    pub fn give(&self, token: Option<Arc<Token>>) -> Option<String> {
        let text = BASE64URL_NOPAD.encode(&rand::random::<[u8; 24]>());
        let now = Instant::now();
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= MOST {
            tickets.retain(|_, ticket| ticket.until > now);
            if tickets.len() >= MOST {
                return None;
            }
        }
        tickets.insert(text.clone(), Ticket { token, until: now + LIFE });
        Some(text)
    }

    /// Uses a ticket up, if it is one.
    pub fn take(&self, text: &str) -> Option<Ticket> {
        let ticket = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(text)?;
        (ticket.until > Instant::now()).then_some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_works_once() {
        let tickets = Tickets::default();
        let ticket = tickets.give(None).unwrap();
        assert_ne!(tickets.give(None), Some(ticket.clone()));
        assert!(tickets.take(&ticket).is_some());
        assert!(tickets.take(&ticket).is_none() && tickets.take("").is_none());
    }
}
