use proptest::prelude::*;

use super::*;
use crate::Reference;
use crate::sample::{Sample, at, change, interleaved, worlds};

const SHANGHAI: &str = r#"{"entity": {"currency": "CNY", "zone": "Asia/Shanghai", "coins_per_unit": 100}}"#;
const STREAMERS: &str = r#"{"streamer": {"share": "0.45", "from": "2026-01-01"}}"#;

fn reference(changes: &[&str]) -> InForce {
    let mut sample = Sample::new(1);
    sample.publish(7, 0, true, changes.iter().map(|json| change(json)).collect());
    let mut reference = Reference::new();
    for record in &sample.records() {
        reference.apply(record);
    }
    reference.at(at(60, 0))
}

fn tallies(records: &[schemas::Record]) -> Tallies {
    let mut tallies = Tallies::new(Tz::Asia__Shanghai);
    for record in records {
        tallies.apply(record);
    }
    tallies
}

fn november(sample: &Sample, changes: &[&str]) -> Result<Payout> {
    payout("2026-11".parse().unwrap(), &tallies(&sample.records()), &reference(changes))
}

fn lines(payout: &Payout) -> Vec<String> {
    let streamers = payout.streamers.iter().map(|l| format!("{} {} {} {}", l.streamer, l.base, l.share, l.amount));
    let guilds = payout.guilds.iter().map(|l| format!("{} {} {} {}", l.guild, l.base, l.share, l.amount));
    streamers.chain(guilds).collect()
}

const GUILDS: [&str; 4] = [
    r#"{"guild": {"guild": "G1", "share": "0.10", "from": "2026-01-01"}}"#,
    r#"{"guild": {"guild": "G2", "share": "0.08", "from": "2026-01-01"}}"#,
    r#"{"membership": {"streamer": "s", "guild": "G1", "from": "2026-11-01"}}"#,
    r#"{"membership": {"streamer": "s", "guild": "G2", "from": "2026-11-16"}}"#,
];

/// DOMAIN.md's Chinese month, restricted to share and guild.
fn chinese_month() -> Sample {
    let mut sample = Sample::new(16);
    sample.gift("u1", at(3, 0), &[("s", 3_000_000)], 3_000_000, 0);
    sample.gift("u2", at(20, 0), &[("s", 5_000_000)], 5_000_000, 0);
    sample.gift("u3", at(21, 0), &[("s", 500_000)], 0, 500_000);
    sample
}

#[test]
fn a_chinese_month_ties() {
    let changes = [&[SHANGHAI, STREAMERS][..], &GUILDS].concat();
    let payout = november(&chinese_month(), &changes).unwrap();
    assert_eq!(
        lines(&payout),
        ["s 8000000 0.45 36000.00 CNY", "G1 3000000 0.1 3000.00 CNY", "G2 5000000 0.08 4000.00 CNY"]
    );
    assert_eq!(payout.platform.to_string(), "37000.00 CNY");
    let check = payout.check;
    assert_eq!((check.base, check.worth.to_string()), (8_000_000, "80000.00 CNY".into()));
    assert_eq!((check.streamers.to_string(), check.guilds.to_string()), ("36000.00 CNY".into(), "7000.00 CNY".into()));
    assert!(check.ties());
}

#[test]
fn a_refund_of_last_months_gift_gives_negative_lines_under_its_guild_and_still_ties() {
    let mut sample = Sample::new(16);
    let october = sample.gift("u1", at(0, 0), &[("s", 200_001)], 200_001, 0);
    sample.refund(october, 200_001, at(20, 0));
    let changes = [
        SHANGHAI,
        r#"{"streamer": {"share": "0.40", "from": "2026-01-01"}}"#,
        r#"{"streamer": {"share": "0.45", "from": "2026-11-01"}}"#,
        r#"{"membership": {"streamer": "s", "guild": "G0", "from": "2026-01-01"}}"#,
        r#"{"membership": {"streamer": "s", "guild": "G2", "from": "2026-11-01"}}"#,
        r#"{"guild": {"guild": "G0", "share": "0.1", "from": "2026-01-01"}}"#,
        GUILDS[1],
    ];
    let payout = november(&sample, &changes).unwrap();
    assert_eq!(lines(&payout), ["s -200001 0.4 -800.00 CNY", "G0 -200001 0.1 -200.00 CNY"]);
    assert_eq!(
        (payout.check.worth.to_string(), payout.platform.to_string()),
        ("-2000.01 CNY".into(), "-1000.01 CNY".into())
    );
}

#[test]
fn rounding_and_the_house_stay_with_the_platform() {
    let mut sample = Sample::new(16);
    for streamer in ["a", "b", "c"] {
        sample.gift("u1", at(2, 0), &[(streamer, 1)], 1, 0);
    }
    sample.gift("u1", at(2, 0), &[("house", 250)], 250, 0);
    let payout = november(&sample, &[SHANGHAI, STREAMERS]).unwrap();
    assert_eq!(lines(&payout), ["a 1 0.45 0.00 CNY", "b 1 0.45 0.00 CNY", "c 1 0.45 0.00 CNY"]);
    assert_eq!((payout.house.base, payout.house.worth.to_string()), (250, "2.50 CNY".into()));
    assert_eq!(payout.platform.to_string(), "2.53 CNY");
}

#[test]
fn a_share_that_changes_in_the_month_makes_two_lines() {
    let mut sample = Sample::new(16);
    sample.gift("u1", at(2, 0), &[("s", 1_000)], 1_000, 0);
    sample.gift("u1", at(16, 0), &[("s", 2_000)], 2_000, 0);
    let own = r#"{"streamer": {"streamer": "s", "share": "0.5", "from": "2026-11-16"}}"#;
    let payout = november(&sample, &[SHANGHAI, STREAMERS, own]).unwrap();
    assert_eq!(lines(&payout), ["s 1000 0.45 4.50 CNY", "s 2000 0.5 10.00 CNY"]);
}

#[test]
fn what_has_to_be_published_is_named() {
    let sample = chinese_month();
    let own_only = r#"{"streamer": {"streamer": "x", "share": "0.5", "from": "2026-01-01"}}"#;
    let late = r#"{"streamer": {"share": "0.45", "from": "2026-11-04"}}"#;
    let utc = r#"{"entity": {"currency": "CNY", "zone": "UTC", "coins_per_unit": 100}}"#;
    let worthless = r#"{"entity": {"currency": "CNY", "zone": "Asia/Shanghai", "coins_per_unit": 0}}"#;
    let cases: [(&[&str], &[&str]); 6] = [
        (&[STREAMERS], &["publish an `entity`"]),
        (&[STREAMERS, worthless], &["0 coins per unit", "publish an `entity`"]),
        (&[STREAMERS, utc], &["UTC", "Asia/Shanghai"]),
        (&[SHANGHAI, own_only], &["streamer s ", "publish `streamer` terms", "2026-11-03"]),
        (&[SHANGHAI, late], &["streamer s ", "2026-11-03"]),
        (&[SHANGHAI, STREAMERS, GUILDS[0], GUILDS[2], GUILDS[3]], &["guild G2", "publish `guild` terms", "2026-11-20"]),
    ];
    for (changes, parts) in cases {
        let error = november(&sample, changes).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error:?} does not say {parts:?}");
    }
}

#[test]
fn gifts_of_bonus_coins_and_empty_months_need_no_terms() {
    let mut sample = Sample::new(1);
    sample.gift("u3", at(21, 0), &[("s", 500)], 0, 500);
    let payout = november(&sample, &[SHANGHAI]).unwrap();
    assert_eq!((lines(&payout).len(), payout.check.worth.minor()), (0, 0));
}

#[test]
fn the_digest_is_that_of_the_canonical_json() {
    let mut sample = Sample::new(1);
    sample.gift("u1", at(2, 0), &[("s", 1_000)], 1_000, 0);
    let payout = november(&sample, &[SHANGHAI, STREAMERS]).unwrap();
    assert_eq!(
        payout.canonical_json(),
        concat!(
            r#"{"month":"2026-11","zone":"Asia/Shanghai","currency":"CNY","coins_per_unit":100,"reference_version":7,"#,
            r#""streamers":[{"streamer":"s","base":"1000","share":"0.45","amount":{"currency":"CNY","amount":"4.50"}}],"#,
            r#""guilds":[],"house":{"base":"0","worth":{"currency":"CNY","amount":"0.00"}},"#,
            r#""platform":{"currency":"CNY","amount":"5.50"},"check":{"base":"1000","#,
            r#""worth":{"currency":"CNY","amount":"10.00"},"streamers":{"currency":"CNY","amount":"4.50"},"#,
            r#""guilds":{"currency":"CNY","amount":"0.00"},"platform":{"currency":"CNY","amount":"5.50"},"#,
            r#""difference":{"currency":"CNY","amount":"0.00"}}}"#,
        )
    );
    assert_eq!(payout.digest(), Hash(*blake3::hash(payout.canonical_json().as_bytes()).as_bytes()));
    let other = november(&sample, &[SHANGHAI, r#"{"streamer": {"share": "0.450001", "from": "2026-01-01"}}"#]).unwrap();
    assert_ne!(payout.digest(), other.digest());
}

proptest! {
    #[test]
    fn every_month_ties_however_shards_interleave((sample, seed) in worlds(), share in 0_u32..=1_000_000, per in 1_u32..500) {
        let entity = format!(r#"{{"entity": {{"currency": "CNY", "zone": "Asia/Shanghai", "coins_per_unit": {per}}}}}"#);
        let own = format!(r#"{{"streamer": {{"streamer": "s1", "share": "0.{share:06}", "from": "2026-11-30"}}}}"#);
        let own = own.replace("0.1000000", "1");
        let member = r#"{"membership": {"streamer": "s1", "guild": "G1", "from": "2026-12-01"}}"#;
        let reference = reference(&[&entity, STREAMERS, &own, GUILDS[0], member]);
        for month in ["2026-11", "2026-12"] {
            let month = month.parse().unwrap();
            let one = payout(month, &tallies(&sample.records()), &reference).unwrap();
            let other = payout(month, &tallies(&interleaved(&sample, seed)), &reference).unwrap();
            prop_assert_eq!(one.digest(), other.digest());
            prop_assert!(one.check.ties());
            let paid = one.check.streamers.minor() + one.check.guilds.minor() + one.platform.minor();
            prop_assert_eq!(paid, one.check.worth.minor());
            let lines = one.streamers.iter().map(|line| line.base).sum::<i128>();
            prop_assert_eq!(lines + one.house.base, one.check.base);
        }
    }
}
