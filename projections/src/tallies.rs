//! What each streamer was given, by day: what a settlement needs of the gifts, and no more.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;
use hashbrown::HashMap;
use schemas::{Month, Record, StreamerId};

use crate::gift::{ShareChange, gift_changes};

/// Gifts by streamer, day on which they are booked, and day on which they were given.
///
/// A gift is booked on the day on which it happened; a refund or a roll-back on the day of its own
/// record, under the day of the gift, which decides on guild and terms. Days are those of one zone.
/// The house is tallied like a streamer; no settlement pays it.
#[derive(Debug, Clone)]
pub struct Tallies {
    zone: Tz,
    streamers: HashMap<StreamerId, BTreeMap<(NaiveDate, NaiveDate), Tally>, foldhash::fast::RandomState>,
}

/// Gifts less refunds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Gifts that credit something; one that no longer does is taken off.
    pub gifts: i64,
    /// Recipient value in coins.
    pub value: i128,
    /// What of it pays out.
    pub base: i128,
}

/// A tally and what it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyLine {
    /// Who received the gifts.
    pub streamer: StreamerId,
    /// The day whose month they count in.
    pub booked: NaiveDate,
    /// The day on which they were given.
    pub given: NaiveDate,
    /// The gifts.
    pub tally: Tally,
}

impl Tallies {
    /// Before the first record, by the days of `zone`.
    pub fn new(zone: Tz) -> Self {
        Self { zone, streamers: HashMap::default() }
    }

    /// Takes the gifts, refunds and roll-backs of a record.
    pub fn apply(&mut self, record: &Record) {
        for change in gift_changes(record) {
            let booked = record.happened_at().day_in(self.zone);
            let given = change.given_at.day_in(self.zone);
            for share in &change.shares {
                self.add(share, booked, given);
            }
        }
    }

    fn add(&mut self, share: &ShareChange<'_>, booked: NaiveDate, given: NaiveDate) {
        let days = self.streamers.entry(share.streamer.clone()).or_default();
        let tally = days.entry((booked, given)).or_default();
        tally.gifts += share.value.standing();
        tally.value += share.value.change();
        tally.base += share.base.change();
    }

    /// By whose days.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// All tallies by streamer, day booked and day given.
    pub fn lines(&self) -> impl Iterator<Item = TallyLine> {
        self.between(NaiveDate::MIN, NaiveDate::MAX)
    }

    /// What is booked in a month, by streamer, day booked and day given.
    pub fn month(&self, month: Month) -> impl Iterator<Item = TallyLine> {
        self.between(month.first_day(), month.next().first_day())
    }

    fn between(&self, from: NaiveDate, until: NaiveDate) -> impl Iterator<Item = TallyLine> {
        let mut streamers: Vec<_> = self.streamers.iter().collect();
        streamers.sort_unstable_by_key(|(streamer, _)| *streamer);
        streamers.into_iter().flat_map(move |(streamer, days)| {
            let booked = days.range((from, NaiveDate::MIN)..(until, NaiveDate::MIN));
            booked.map(|(&(booked, given), &tally)| TallyLine { streamer: streamer.clone(), booked, given, tally })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::{Sample, at, interleaved, worlds};

    const SHANGHAI: Tz = Tz::Asia__Shanghai;

    fn fold(records: &[Record], zone: Tz) -> Tallies {
        let mut tallies = Tallies::new(zone);
        for record in records {
            tallies.apply(record);
        }
        tallies
    }

    fn shown(lines: impl Iterator<Item = TallyLine>) -> Vec<String> {
        lines
            .map(|TallyLine { streamer, booked, given, tally }| {
                format!("{streamer} {booked} {given}: {} {} {}", tally.gifts, tally.value, tally.base)
            })
            .collect()
    }

    #[test]
    fn a_refund_is_booked_on_its_own_day_under_the_day_of_the_gift() {
        let mut sample = Sample::new(4);
        // 15:59 and 16:00 UTC are either side of midnight in Shanghai.
        let gift = sample.gift("u1", at(30, 15 * 60 + 59), &[("s1", 300)], 60, 40);
        sample.gift("u2", at(30, 16 * 60), &[("s1", 10), ("s2", 20)], 30, 0);
        sample.refund(gift, 50, at(30, 20 * 60));
        sample.refund(gift, 50, at(31, 20 * 60));
        sample.gift("u2", at(31, 0), &[("house", 5)], 5, 0);
        let tallies = fold(&sample.records(), SHANGHAI);
        assert_eq!(
            shown(tallies.lines()),
            [
                "house 2026-12-01 2026-12-01: 1 5 5",
                "s1 2026-11-30 2026-11-30: 1 300 180",
                "s1 2026-12-01 2026-11-30: 0 -150 -150",
                "s1 2026-12-01 2026-12-01: 1 10 10",
                "s1 2026-12-02 2026-11-30: -1 -150 -30",
                "s2 2026-12-01 2026-12-01: 1 20 20",
            ]
        );
        assert_eq!(shown(tallies.month("2026-11".parse().unwrap())), ["s1 2026-11-30 2026-11-30: 1 300 180"]);
        assert_eq!(tallies.month("2026-12".parse().unwrap()).count(), 5);
        assert_eq!(
            shown(fold(&sample.records(), Tz::UTC).month("2026-11".parse().unwrap())),
            ["s1 2026-11-30 2026-11-30: 2 160 40", "s2 2026-11-30 2026-11-30: 1 20 20"]
        );
    }

    #[test]
    fn a_rolled_back_refund_counts_again_on_the_day_of_the_roll_back() {
        let mut sample = Sample::new(1);
        let gift = sample.gift("u1", at(3, 0), &[("s1", 100)], 100, 0);
        sample.refund(gift, 100, at(4, 0));
        sample.roll_back(gift, 70, at(5, 0));
        assert_eq!(
            shown(fold(&sample.records(), Tz::UTC).lines()),
            [
                "s1 2026-11-03 2026-11-03: 1 100 100",
                "s1 2026-11-04 2026-11-03: -1 -100 -100",
                "s1 2026-11-05 2026-11-03: 1 70 70",
            ]
        );
    }

    proptest! {
        #[test]
        fn tallies_do_not_show_how_shards_interleave((sample, seed) in worlds()) {
            let tallies = fold(&sample.records(), SHANGHAI);
            prop_assert!(tallies.lines().eq(fold(&interleaved(&sample, seed), SHANGHAI).lines()));
            // Over all days, what was given and not taken is what the orders still hold.
            for (streamer, (gifts, value, base)) in sample.still_held() {
                let own = || tallies.lines().filter(|line| line.streamer == streamer).map(|line| line.tally);
                prop_assert_eq!(own().map(|tally| tally.gifts).sum::<i64>(), gifts);
                prop_assert_eq!(own().map(|tally| tally.value).sum::<i128>(), value);
                prop_assert_eq!(own().map(|tally| tally.base).sum::<i128>(), base);
            }
        }
    }
}
