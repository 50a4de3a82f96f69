//! Coins that a token may make in a day of UTC. They are counted before anything is decided, and in blocks: a block
//! is written to `service.db` first and used up in memory. So a crash leaves at most one block too many counted, and
//! never a coin too few. Who counts beside us, in another process, takes other blocks.

use std::time::Duration;

use schemas::{Coins, Timestamp};
use tokio::sync::Mutex;

use super::{denied::Denied, name::Name};
use crate::store::{self, Store};

const DAY_NANOS: i64 = 86_400_000_000_000;
/// A hundredth of what a day has: a hundred writes a day at most for small amounts, and a restart that was not in
/// order costs 1 % at most. An amount beyond it takes a write of its own.
const BLOCKS_A_DAY: u64 = 100;
/// Days that are kept, for whoever asks what a token had made: a year and a month.
const KEPT_DAYS: i64 = 400;

/// Which day of UTC it is, since 1970.
pub(super) fn day(now: Timestamp) -> i64 {
    now.nanos().div_euclid(DAY_NANOS)
}

/// The daily coins of one token.
#[derive(Debug)]
pub struct Daily {
    token: i64,
    limit: Coins,
    block: Mutex<Block>,
}

/// What is written as counted and not used yet.
#[derive(Debug, Default)]
struct Block {
    day: i64,
    left: Coins,
}

/// Coins that were counted for a command. If it made none, they can be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what a command does not make is given back"]
pub struct Reserved {
    day: i64,
    coins: Coins,
}

impl Reserved {
    /// Nothing.
    pub const NONE: Self = Self { day: 0, coins: Coins::ZERO };
}

impl Daily {
    /// Of a token that may make `limit` coins a day.
    pub(super) fn new(token: i64, limit: Coins) -> Self {
        Self { token, limit, block: Mutex::default() }
    }

    /// Counts `coins`, all or none.
    ///
    /// # Errors
    /// [`Denied::DailyCoins`] if the day has fewer left; [`Denied::Unavailable`] if they could not be written.
    pub(super) async fn reserve(
        &self,
        store: &Store,
        name: &Name,
        coins: Coins,
        now: Timestamp,
    ) -> Result<Reserved, Denied> {
        let today = day(now);
        let mut block = self.block.lock().await;
        if block.day != today {
            *block = Block { day: today, left: Coins::ZERO };
        }
        let missing = coins.less(block.left);
        if !missing.is_zero() {
            let (more, free) = self.take_block(store, missing, today).await?;
            if more.is_zero() {
                let left = free.plus(block.left).unwrap_or(self.limit);
                return Err(self.denied(name, left, coins, now));
            }
            block.left = block.left.plus(more).unwrap_or(Coins::MAX);
        }
        block.left = block.left.less(coins);
        Ok(Reserved { day: today, coins })
    }

    /// Takes back what a command did not make after all.
    pub(super) async fn give_back(&self, reserved: Reserved) {
        let mut block = self.block.lock().await;
        if block.day == reserved.day {
            block.left = block.left.plus(reserved.coins).unwrap_or(Coins::MAX);
        }
    }

    /// Gives back to the database what is left of the block, at the end.
    pub(super) async fn close(&self, store: &Store) -> store::Result<()> {
        let Block { day, left } = std::mem::take(&mut *self.block.lock().await);
        if left.is_zero() {
            return Ok(());
        }
        sqlx::query("UPDATE daily_coins SET taken = max(taken - ?, 0) WHERE token = ? AND day = ?")
            .bind(as_integer(left))
            .bind(self.token)
            .bind(day)
            .execute(store.pool())
            .await
            .map(drop)
            .map_err(store.failed("giving back daily coins in"))
    }

    /// What a refusal says.
    pub(super) fn denied(&self, name: &Name, left: Coins, asked: Coins, now: Timestamp) -> Denied {
        let passed = now.nanos().rem_euclid(DAY_NANOS);
        let retry_after = Duration::from_nanos((DAY_NANOS - passed).unsigned_abs());
        Denied::DailyCoins { name: name.clone(), limit: self.limit, left, asked, retry_after }
    }

    /// How many it may make in a day.
    pub(super) fn limit(&self) -> Coins {
        self.limit
    }

    /// Writes a block of `missing` at least as counted: how many it has, none if the day has fewer, and how many the
    /// day had free.
    async fn take_block(&self, store: &Store, missing: Coins, today: i64) -> store::Result<(Coins, Coins)> {
        let failed = || store.failed("counting daily coins in");
        let mut change = store.begin().await?;
        let taken: Option<i64> = sqlx::query_scalar("SELECT taken FROM daily_coins WHERE token = ? AND day = ?")
            .bind(self.token)
            .bind(today)
            .fetch_optional(&mut *change)
            .await
            .map_err(failed())?;
        let taken = u64::try_from(taken.unwrap_or_default()).ok().and_then(|taken| Coins::new(taken).ok());
        let free = self.limit.less(taken.unwrap_or(Coins::MAX));
        if missing > free {
            return Ok((Coins::ZERO, free));
        }
        let usual = Coins::new(self.limit.get() / BLOCKS_A_DAY).unwrap_or_default();
        let more = missing.max(usual).min(free);
        sqlx::query(
            "INSERT INTO daily_coins (token, day, taken) VALUES (?1, ?2, ?3) ON CONFLICT (token, day) DO UPDATE SET \
             taken = taken + ?3",
        )
        .bind(self.token)
        .bind(today)
        .bind(as_integer(more))
        .execute(&mut *change)
        .await
        .map_err(failed())?;
        sqlx::query("DELETE FROM daily_coins WHERE token = ? AND day < ?")
            .bind(self.token)
            .bind(today - KEPT_DAYS)
            .execute(&mut *change)
            .await
            .map_err(failed())?;
        change.commit().await.map_err(failed())?;
        Ok((more, free))
    }
}

/// As `SQLite` has it; an amount of coins has 53 bits.
fn as_integer(coins: Coins) -> i64 {
    i64::try_from(coins.get()).expect("an amount of coins has 53 bits")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            gate::tests::Bed,
            roles::Role,
            terms::{Terms, tests::terms},
            tokens,
        },
        *,
    };

    fn coins(coins: u64) -> Coins {
        Coins::new(coins).unwrap()
    }

    /// A token with 1,000 coins a day.
    async fn limited(bed: &Bed) -> (i64, Name) {
        let name: Name = "pay".parse().unwrap();
        let terms = Terms { daily_coins: Some(coins(1_000)), ..terms(&[Role::Payments]) };
        tokens::create(&bed.store, &name, &terms, bed.now()).await.unwrap();
        let id = sqlx::query_scalar("SELECT id FROM tokens").fetch_one(bed.store.pool()).await.unwrap();
        (id, name)
    }

    async fn counted(bed: &Bed) -> i64 {
        sqlx::query_scalar("SELECT coalesce(sum(taken), 0) FROM daily_coins").fetch_one(bed.store.pool()).await.unwrap()
    }

    #[tokio::test]
    async fn access_to_daily_coins_survives_a_crash_and_never_counts_too_few() {
        let bed = Bed::new().await;
        let (id, name) = limited(&bed).await;
        let mut made = 0;
        // Each a process that crashes after it has made some.
        for amounts in [vec![1, 1, 1], vec![5, 20, 3], vec![200], vec![9, 1], vec![], vec![400, 1]] {
            let daily = Daily::new(id, coins(1_000));
            for amount in amounts {
                let _ = daily.reserve(&bed.store, &name, coins(amount), bed.now()).await.unwrap();
                made += i64::try_from(amount).unwrap();
                let counted = counted(&bed).await;
                assert!(counted >= made, "{counted} are counted, {made} were made");
            }
        }
        let counted_too_many = counted(&bed).await - made;
        assert!(counted_too_many <= 5 * 10, "a block of 10 each: {counted_too_many}");
        let daily = Daily::new(id, coins(1_000));
        let denied = daily.reserve(&bed.store, &name, coins(1_000 - 641 + 1), bed.now()).await.unwrap_err();
        assert_eq!(denied.code(), "daily_coins");
        assert!(denied.retry_after().is_some());
    }

    #[tokio::test]
    async fn access_to_daily_coins_ends_at_the_limit_whoever_takes_them_and_begins_again() {
        let bed = Bed::new().await;
        let (id, name) = limited(&bed).await;
        let (one, other) = (Daily::new(id, coins(1_000)), Daily::new(id, coins(1_000)));
        let mut made = 0;
        for turn in 0_u32.. {
            let daily = if turn.is_multiple_of(2) { &one } else { &other };
            match daily.reserve(&bed.store, &name, coins(7), bed.now()).await {
                Ok(_) => made += 7,
                Err(Denied::DailyCoins { left, asked, .. }) => {
                    assert!(left < asked && asked == coins(7));
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!((980..=1_000).contains(&made), "{made}");
        bed.clock.advance_millis(86_400_000);
        let reserved = one.reserve(&bed.store, &name, coins(1_000), bed.now()).await.unwrap();
        one.reserve(&bed.store, &name, coins(1), bed.now()).await.unwrap_err();
        one.give_back(reserved).await;
        let _ = one.reserve(&bed.store, &name, coins(1_000), bed.now()).await.unwrap();
    }

    #[tokio::test]
    async fn access_to_daily_coins_is_exact_after_an_end_in_order() {
        let bed = Bed::new().await;
        let (id, name) = limited(&bed).await;
        for _ in 0..10 {
            let daily = Daily::new(id, coins(1_000));
            let _ = daily.reserve(&bed.store, &name, coins(3), bed.now()).await.unwrap();
            daily.close(&bed.store).await.unwrap();
            daily.close(&bed.store).await.unwrap();
        }
        assert_eq!(counted(&bed).await, 30);
    }

    #[tokio::test]
    async fn access_to_daily_coins_is_shared_by_many_at_once() {
        let bed = Bed::new().await;
        let (id, name) = limited(&bed).await;
        let daily = std::sync::Arc::new(Daily::new(id, coins(1_000)));
        let each = (0..300).map(|_| {
            let (daily, store, name, now) = (daily.clone(), bed.store.clone(), name.clone(), bed.now());
            tokio::spawn(async move { daily.reserve(&store, &name, coins(7), now).await.is_ok() })
        });
        let mut taken = 0;
        for one in each.collect::<Vec<_>>() {
            taken += u32::from(one.await.unwrap());
        }
        assert_eq!(taken, 142, "of 1,000");
    }
}
