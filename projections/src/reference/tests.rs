use super::*;
use crate::sample::{Sample, at, change, day};

/// Version, part, whether it is the last, changes.
type Part<'a> = (u64, u32, bool, &'a [&'a str]);

/// What holds once all of these were published, from the first of November on.
fn fold(parts: &[Part<'_>]) -> InForce {
    let mut sample = Sample::new(1);
    for (version, part, last, changes) in parts {
        sample.publish(*version, *part, *last, changes.iter().map(|text| change(text)).collect());
    }
    history(&sample).at(at(60, 0))
}

fn history(sample: &Sample) -> Reference {
    let mut reference = Reference::new();
    for record in &sample.records() {
        reference.apply(record);
    }
    reference
}

const ROSE: &str = r#"{"item": {"item": "rose", "price": 10, "value": 10}}"#;

#[test]
fn a_version_counts_once_its_last_part_is_published() {
    let withdraw = r#"{"withdraw_item": "rose"}"#;
    let cases: [(&[Part<'_>], u64, usize); 5] = [
        (&[], 0, 0),
        (&[(1, 0, false, &[ROSE])], 0, 0),
        (&[(1, 0, false, &[ROSE]), (1, 1, true, &[])], 1, 1),
        (&[(1, 0, true, &[ROSE]), (2, 0, false, &[withdraw])], 1, 1),
        (&[(1, 0, true, &[ROSE]), (2, 0, false, &[]), (2, 0, true, &[withdraw])], 2, 0),
    ];
    for (parts, version, items) in cases {
        let reference = fold(parts);
        assert_eq!((reference.version(), reference.items().count()), (version, items), "{parts:?}");
    }
}

#[test]
fn the_latest_terms_up_to_the_day_hold_and_own_ones_come_first() {
    let reference = fold(&[
        (
            1,
            0,
            true,
            &[
                r#"{"streamer": {"share": "0.40", "from": "2026-11-01"}}"#,
                r#"{"streamer": {"share": "0.42", "from": "2026-11-20"}}"#,
                r#"{"streamer": {"streamer": "s1", "share": "0.50", "from": "2026-11-10"}}"#,
            ],
        ),
        (2, 0, true, &[r#"{"streamer": {"streamer": "s1", "share": "0.55", "from": "2026-11-10"}}"#]),
    ]);
    let cases = [
        ("s1", "2026-10-31", None),
        ("s1", "2026-11-01", Some("0.4")),
        ("s1", "2026-11-09", Some("0.4")),
        ("s1", "2026-11-10", Some("0.55")), // version 2 replaced 0.50
        ("s1", "2026-11-30", Some("0.55")), // own terms, though the default ones are later
        ("s2", "2026-11-19", Some("0.4")),
        ("s2", "2026-11-20", Some("0.42")),
    ];
    for (streamer, on, share) in cases {
        let found = reference.streamer_share(&streamer.parse().unwrap(), day(on));
        assert_eq!(found, share.map(|share| share.parse().unwrap()), "{streamer} on {on}");
    }
    assert_eq!(reference.streamer_terms().count(), 3);
}

#[test]
fn a_streamer_changes_guild_and_leaves() {
    let reference = fold(&[(
        1,
        0,
        true,
        &[
            r#"{"membership": {"streamer": "s1", "guild": "g1", "from": "2026-11-01"}}"#,
            r#"{"membership": {"streamer": "s1", "guild": "g2", "from": "2026-11-16"}}"#,
            r#"{"membership": {"streamer": "s1", "guild": null, "from": "2026-12-01"}}"#,
            r#"{"guild": {"guild": "g1", "share": "0.1", "from": "2026-11-01"}}"#,
        ],
    )]);
    let cases = [
        ("2026-10-31", None),
        ("2026-11-15", Some("g1")),
        ("2026-11-16", Some("g2")),
        ("2026-11-30", Some("g2")),
        ("2026-12-01", None),
    ];
    for (on, guild) in cases {
        let found = reference.guild_of(&"s1".parse().unwrap(), day(on));
        assert_eq!(found.map(GuildId::as_str), guild, "on {on}");
    }
    let share = |guild: &str, on| reference.guild_share(&guild.parse().unwrap(), day(on));
    assert_eq!(share("g1", "2026-11-15"), Some("0.1".parse().unwrap()));
    assert_eq!(share("g1", "2026-10-31"), None);
    assert_eq!(share("g2", "2026-11-15"), None);
    assert_eq!((reference.memberships().count(), reference.guild_terms().count()), (3, 1));
}

fn rose(price: u64) -> String {
    format!(r#"{{"item": {{"item": "rose", "price": {price}, "value": {price}}}}}"#)
}

/// Publishes a price of the rose that holds from a day of November on. Records are of day 40.
fn price_from(sample: &mut Sample, version: u64, day: i64, price: u64) {
    sample.publish_from(at(day, 0), version, 0, true, vec![change(&rose(price))]);
}

#[test]
fn a_version_holds_from_its_own_time_on_and_never_from_before_it_was_taken() {
    let mut sample = Sample::new(1);
    price_from(&mut sample, 1, 1, 10); // taken on day 40, long after the day that it names
    price_from(&mut sample, 2, 400, 99);
    let reference = history(&sample);
    let rose = "rose".parse().unwrap();
    let price = |instant| reference.at(instant).item(&rose).map(|item| item.price.get());
    let taken = sample.records()[0].time;
    assert_eq!(price(Timestamp::from_nanos(taken.nanos() - 1)), None, "before it was taken");
    assert_eq!((price(taken), price(at(399, 0))), (Some(10), Some(10)), "the price of next year does not hold yet");
    assert_eq!(price(at(400, 0)), Some(99));
    assert_eq!((reference.at(at(399, 0)).version(), reference.at(at(400, 0)).version()), (1, 2));
    assert_eq!(reference.newest(), 2, "the next version is the third");
}

#[test]
fn what_is_scheduled_is_known_until_it_holds_or_is_replaced() {
    let mut sample = Sample::new(1);
    price_from(&mut sample, 1, 1, 10);
    price_from(&mut sample, 2, 400, 20);
    price_from(&mut sample, 3, 500, 30);
    let shown = |sample: &Sample, instant| {
        let price = |change: &Change| match change {
            Change::Item(item) => item.price.get(),
            other => panic!("{other:?}"),
        };
        let reference = history(sample);
        let scheduled = reference.scheduled(instant);
        scheduled.iter().map(|one| (one.version, one.from, price(one.change))).collect::<Vec<_>>()
    };
    assert_eq!(shown(&sample, at(60, 0)), [(2, at(400, 0), 20), (3, at(500, 0), 30)]);
    assert_eq!(shown(&sample, at(400, 0)), [(3, at(500, 0), 30)]);
    price_from(&mut sample, 4, 450, 25); // replaces what version 3 would have said, and not version 2
    assert_eq!(shown(&sample, at(60, 0)), [(2, at(400, 0), 20), (4, at(450, 0), 25)]);
    price_from(&mut sample, 5, 1, 11); // and a price that holds at once replaces all that was scheduled
    assert_eq!(shown(&sample, at(60, 0)), []);
    let price = history(&sample).at(at(600, 0)).item(&"rose".parse().unwrap()).map(|item| item.price.get());
    assert_eq!(price, Some(11), "as the shards decide");
}

#[test]
fn an_item_is_on_sale_between_its_own_times() {
    let item = r#"{"item": {"item": "rose", "price": 1, "value": 1, "from": "2027-01-01T00:00:00Z", "until": "2027-02-01T00:00:00Z"}}"#;
    let mut sample = Sample::new(1);
    sample.publish(1, 0, true, vec![change(item)]);
    let reference = history(&sample);
    let on_sale = |at: &str| reference.at(at.parse().unwrap()).on_sale(&"rose".parse().unwrap()).is_some();
    assert!(!on_sale("2026-12-31T23:59:59Z"));
    assert!(on_sale("2027-01-01T00:00:00Z"));
    assert!(!on_sale("2027-02-01T00:00:00Z"));
}

proptest::proptest! {
    /// The catalogue of a shard, which decides by it, and this view are one reading of the versions.
    #[test]
    fn a_price_is_the_one_that_a_shard_decides_by(
        versions in proptest::collection::vec((30_i64..60, 1_u64..99), 1..9),
        moment in 30_i64..70,
    ) {
        let mut sample = Sample::new(1);
        for (version, (day, price)) in (1..).zip(&versions) {
            price_from(&mut sample, version, *day, *price);
        }
        let instant = at(moment, 0);
        let taken: Vec<_> = (1_u64..).zip(&sample.records()).map(|(n, record)| (n, record.time)).collect();
        // By the rule itself: of the versions that hold by then, the last one published.
        let expected = versions.iter().zip(&taken).rev().find(|((day, _), (_, time))| at(*day, 0).max(*time) <= instant);
        let found = history(&sample).at(instant).item(&"rose".parse().unwrap()).map(|item| item.price.get());
        proptest::prop_assert_eq!(found, expected.map(|((_, price), _)| *price));
        // What is scheduled is exactly what the view says later.
        let reference = history(&sample);
        for scheduled in reference.scheduled(instant) {
            proptest::prop_assert!(scheduled.from > instant);
            let then = reference.at(scheduled.from);
            proptest::prop_assert_eq!(Some(scheduled.change.clone()), then.item(&"rose".parse().unwrap()).cloned().map(Change::Item));
            proptest::prop_assert_eq!(then.version(), scheduled.version);
        }
    }
}
