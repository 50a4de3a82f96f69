//! Pushing: one task for each subscription with an address, which hands out entries to requests of its own.
//!
//! One event a request, as Standard Webhooks has it: the body is the entry's `CloudEvent` in JSON. 2xx acks; anything
//! else, redirects included, or no answer within [`TIMEOUT`] is a failure, tried again later: when `Retry-After`
//! says, else after the usual delay, and never later than that has at most. [`MOST_AT_ONCE`] requests are under way,
//! for as many subjects. `webhook-id` is the same for every try, so that a receiver knows an entry that it has had.
//!
//! An address where [`IS_DOWN`] requests in a row have failed is taken for down: then it is tried with one request at
//! a time, and ever longer pauses in between, until one succeeds. So an outage of hours parks few entries, and does
//! not knock down a service that is coming up.

mod address;
mod request;
mod signature;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Error,
    delivery::{MOST_DELAY, Taken, delay},
    subscription::Subscription,
};

pub(super) use address::Address;
pub(super) use request::Client;
use request::Outcome;

/// How long a receiver may take to answer: as long as most who push give.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);
/// So many requests of a subscription are under way.
const MOST_AT_ONCE: usize = 8;
/// So many failures in a row mean that the address is down.
const IS_DOWN: u32 = 8;
/// Who asks to be tried again sooner is not.
const LEAST: Duration = Duration::from_secs(1);
/// The task looks so often whether there is something to push where nobody tells it: hours are as well.
const A_LONG_WHILE: Duration = Duration::from_hours(1);
/// After an error of ours, such as a log that cannot be read.
const AGAIN: Duration = Duration::from_secs(5);
/// Requests that are under way when the server ends have so long; what they carried comes again after that.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The requests of one subscription.
struct Pusher {
    subscription: Arc<Subscription>,
    client: Client,
    under_way: JoinSet<(Taken, Outcome)>,
    /// How many have failed since one succeeded.
    failures: u32,
    /// Nothing is sent before, where the address is down.
    not_before: Instant,
    random: StdRng,
}

/// Pushes until the subscription pulls, is gone, or everything ends.
pub(super) async fn run(subscription: Arc<Subscription>, client: Client) {
    let random = StdRng::seed_from_u64(rand::random());
    let (under_way, not_before) = (JoinSet::new(), Instant::now());
    let mut pusher = Pusher { subscription, client, under_way, failures: 0, not_before, random };
    while pusher.subscription.goes_on_pushing() {
        pusher.turn().await;
    }
    let last_words = async {
        while let Some(ended) = pusher.under_way.join_next().await {
            pusher.note(ended);
        }
    };
    let _ = timeout(LAST_WORDS, last_words).await; // what is dropped then comes again
}

impl Pusher {
    /// Waits for something to push or to note, and does so.
    async fn turn(&mut self) {
        let most = if self.failures >= IS_DOWN { 1 } else { MOST_AT_ONCE };
        let room = most.saturating_sub(self.under_way.len());
        let far = Instant::now() + A_LONG_WHILE;
        let is_paused = self.not_before > Instant::now();
        tokio::select! {
            Some(ended) = self.under_way.join_next() => self.note(ended),
            () = sleep_until(self.not_before), if is_paused => {}
            handed = self.subscription.take(room, 1, far, true), if room > 0 && !is_paused => {
                let entries = match handed {
                    Ok(handed) => handed.keep().await,
                    Err(error) => Err(error),
                };
                match entries {
                    Ok(entries) => entries.into_iter().for_each(|(taken, json)| self.send(taken, json)),
                    Err(error) => self.fault(&error).await,
                }
            }
        }
    }

    fn send(&mut self, taken: Taken, json: Bytes) {
        let Some((address, secret)) = self.subscription.target() else { return };
        let request = self.client.push(&address, &secret, taken.position, json);
        self.under_way.spawn(async move { (taken, request.await) });
    }

    fn note(&mut self, ended: Result<(Taken, Outcome), tokio::task::JoinError>) {
        let (taken, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return, // the runtime ends
            },
        };
        let id = std::iter::once(Some((taken.position, taken.number)));
        match outcome {
            Outcome::Done => {
                self.failures = 0;
                self.not_before = Instant::now();
                self.subscription.ack(id);
            }
            Outcome::Failed { reason, after } => {
                let after = after.map(|after| after.max(LEAST));
                self.failures = self.failures.saturating_add(1);
                if self.failures >= IS_DOWN {
                    let pause = delay(self.failures - IS_DOWN + 1, &mut self.random);
                    self.not_before = Instant::now() + after.unwrap_or(pause).min(MOST_DELAY);
                }
                self.subscription.nack(id, after, &reason);
            }
        }
    }

    /// Waits after an error of ours; the loop looks whether it goes on.
    async fn fault(&self, error: &Error) {
        if self.subscription.target().is_some() {
            tracing::warn!(subscription = %self.subscription.name, %error, "nothing can be pushed just now");
            sleep(AGAIN).await;
        }
    }
}
