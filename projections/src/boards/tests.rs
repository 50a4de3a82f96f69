use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::OrderKind;

use super::*;
use crate::sample::{Sample, at, interleaved, worlds};

const SHANGHAI: Tz = Tz::Asia__Shanghai;

fn key(window: Window, members: Members) -> BoardKey {
    BoardKey { window, members }
}

fn rows(records: &[Record], key: BoardKey) -> Vec<Row> {
    let mut board = Board::new(key);
    for record in records {
        board.apply(record);
    }
    board.ranking().rows().to_vec()
}

fn shown(rows: &[Row]) -> Vec<(u64, &str, i128, String)> {
    rows.iter()
        .map(|row| (row.rank, row.member.as_str(), row.score, row.reached_at.to_string()[11..16].into()))
        .collect()
}

fn streamers(sample: &Sample) -> Vec<Row> {
    rows(&sample.records(), key(Window::AllTime, Members::Streamers))
}

fn senders(sample: &Sample) -> Vec<Row> {
    rows(&sample.records(), key(Window::AllTime, Members::Senders))
}

#[test]
fn an_increase_that_was_refunded_counts_as_never_made() {
    let mut sample = Sample::new(16);
    sample.gift("u1", at(1, 1), &[("A", 60)], 60, 0);
    sample.gift("u2", at(1, 2), &[("B", 60)], 60, 0);
    let third = sample.gift("u3", at(1, 3), &[("A", 40)], 40, 0);
    assert_eq!(shown(&streamers(&sample))[0], (1, "A", 100, "00:03".into()));
    sample.refund(third, 40, at(1, 5));
    assert_eq!(shown(&streamers(&sample)), [(1, "A", 60, "00:01".into()), (2, "B", 60, "00:02".into())]);
    sample.roll_back(third, 40, at(1, 6));
    assert_eq!(shown(&streamers(&sample))[0], (1, "A", 100, "00:03".into()));
}

#[test]
fn a_refund_in_part_lowers_the_increase_and_leaves_it_standing() {
    let mut sample = Sample::new(16);
    sample.gift("u1", at(1, 1), &[("A", 60)], 60, 0);
    let later = sample.gift("u2", at(1, 3), &[("A", 41)], 41, 0);
    sample.gift("u3", at(1, 2), &[("B", 61)], 61, 0);
    sample.refund(later, 40, at(1, 5));
    assert_eq!(shown(&streamers(&sample)), [(1, "B", 61, "00:02".into()), (2, "A", 61, "00:03".into())]);
}

#[test]
fn ties_go_to_the_earlier_time_then_to_the_smaller_id() {
    let mut sample = Sample::new(16);
    for (user, minute) in [("u9", 1), ("u2", 2), ("u10", 2), ("u1", 3)] {
        sample.gift(user, at(1, minute), &[("A", 5)], 5, 0);
    }
    let order: Vec<_> = senders(&sample).iter().map(|row| row.member.to_string()).collect();
    assert_eq!(order, ["u9", "u10", "u2", "u1"]);
}

#[test]
fn the_house_and_those_who_lost_everything_are_not_on_the_board() {
    let mut sample = Sample::new(16);
    let all = sample.gift("u1", at(1, 1), &[("house", 10), ("A", 10)], 12, 0);
    sample.gift("u2", at(1, 1), &[("house", 10)], 10, 0);
    assert_eq!(shown(&streamers(&sample)), [(1, "A", 10, "00:01".into())]);
    assert_eq!(shown(&senders(&sample))[0], (1, "u1", 12, "00:01".into()));
    sample.refund(all, 12, at(1, 2));
    assert_eq!(streamers(&sample), []);
    assert_eq!(shown(&senders(&sample)), [(1, "u2", 10, "00:01".into())]);
}

#[test]
fn a_month_begins_at_local_midnight_and_a_refund_stays_with_its_gift() {
    let mut sample = Sample::new(16);
    let november = sample.gift("u1", at(30, 15 * 60 + 59), &[("A", 10)], 10, 0);
    sample.gift("u1", at(30, 16 * 60), &[("A", 7)], 7, 0);
    sample.refund(november, 4, at(35, 0));
    let score = |month: &str, zone| {
        let window = Window::Month { month: month.parse().unwrap(), zone };
        rows(&sample.records(), key(window, Members::Streamers)).first().map(|row| row.score)
    };
    assert_eq!((score("2026-11", SHANGHAI), score("2026-12", SHANGHAI)), (Some(6), Some(7)));
    assert_eq!((score("2026-11", Tz::UTC), score("2026-12", Tz::UTC)), (Some(13), None));
}

#[test]
fn a_row_has_the_names_that_scripts_rely_on() {
    let mut sample = Sample::new(1);
    sample.gift("u1", at(1, 1), &[("A", 900_720)], 60, 0);
    let json = serde_json::to_string(&streamers(&sample)[0]).unwrap();
    assert_eq!(json, r#"{"rank":1,"member":"A","score":"900720","reached_at":"2026-11-01T00:01:00Z"}"#);
}

#[test]
fn a_member_finds_their_place_and_neighbours() {
    let mut sample = Sample::new(1);
    for n in 1..=9 {
        sample.gift(&format!("u{n}"), at(1, 0), &[("A", 1)], n, 0);
    }
    let mut board = Board::new(key(Window::AllTime, Members::Senders));
    for record in &sample.records() {
        board.apply(record);
    }
    let ranking = board.ranking();
    let member = |id: &str| Member::Sender(id.parse().unwrap());
    assert_eq!(ranking.row_of(&member("u7")).unwrap().rank, 3);
    assert_eq!(ranking.row_of(&member("u0")), None);
    let around = |id, n| ranking.around(&member(id), n).iter().map(|row| row.rank).collect::<Vec<_>>();
    assert_eq!(around("u7", 1), [2, 3, 4]);
    assert_eq!(around("u9", 2), [1, 2, 3]);
    assert_eq!(around("u1", 2), [7, 8, 9]);
    assert!(around("u0", 2).is_empty());
    assert_eq!(around("u7", usize::MAX).len(), 9);
}

/// From the orders as they stand, with nothing of the fold.
fn naive(sample: &Sample, key: &BoardKey) -> Vec<(String, i128, Timestamp)> {
    let mut scores: BTreeMap<String, (i128, Timestamp)> = BTreeMap::new();
    for (user, order) in sample.gifts() {
        let OrderKind::Gift { activity, .. } = &order.kind else { continue };
        let (shares, given_at) = (order.shares(), order.placed_at);
        let counts = match &key.window {
            Window::AllTime => true,
            Window::Activity(wanted) => activity.as_ref() == Some(wanted),
            Window::Month { month, zone } => given_at.month_in(*zone) == *month,
        };
        let increases: Vec<(&str, i128)> = match key.members {
            Members::Senders => vec![(user.as_str(), order.left.signed())],
            Members::Streamers => shares.iter().map(|share| (share.streamer.as_str(), share.value.signed())).collect(),
        };
        for (member, increase) in increases {
            if counts && increase > 0 && member != "house" {
                let (score, reached_at) = scores.entry(member.to_owned()).or_insert((0, given_at));
                *score += increase;
                *reached_at = (*reached_at).max(given_at);
            }
        }
    }
    let mut rows: Vec<_> = scores.into_iter().map(|(member, (score, at))| (member, score, at)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.2.cmp(&b.2)).then(a.0.cmp(&b.0)));
    rows
}

proptest! {
    #[test]
    fn boards_equal_a_naive_recomputation_however_shards_interleave((sample, seed) in worlds()) {
        let mut boards = Boards::new(SHANGHAI);
        for record in &interleaved(&sample, seed) {
            boards.apply(record);
        }
        let month = |month: &str| Window::Month { month: month.parse().unwrap(), zone: SHANGHAI };
        let windows = [
            Window::AllTime, month("2026-11"), month("2026-12"), Window::Activity("gala".parse().unwrap()),
        ];
        prop_assert!(boards.windows().iter().all(|window| windows.contains(window)));
        for window in windows {
            for members in [Members::Streamers, Members::Senders] {
                let key = key(window.clone(), members);
                let expected = naive(&sample, &key);
                let live = boards.board(&key).map_or_else(Vec::new, |board| board.ranking().rows().to_vec());
                let alone = rows(&sample.records(), key);
                prop_assert_eq!(&live, &alone);
                let alone = alone.into_iter().map(|row| (row.member.to_string(), row.score, row.reached_at));
                prop_assert_eq!(alone.collect::<Vec<_>>(), expected);
            }
        }
    }
}
