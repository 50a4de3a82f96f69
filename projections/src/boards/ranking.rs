//! A board as it stands at one moment: who is where.

use std::cmp::Reverse;

use hashbrown::HashMap;
use schemars::JsonSchema;
use schemas::Timestamp;
use serde::Serialize;

use super::Member;

/// A board's rows by rank.
#[derive(Debug, Clone)]
pub struct Ranking {
    rows: Vec<Row>,
    places: HashMap<Member, usize, foldhash::fast::RandomState>,
}

/// A place on a board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Rank")]
pub struct Row {
    /// From 1; no two members share one.
    pub rank: u64,
    /// Who.
    #[schemars(with = "String")]
    pub member: Member,
    /// Recipient value or coins charged.
    #[serde(serialize_with = "schemas::serialize_sum")]
    #[schemars(with = "String")]
    pub score: i128,
    /// When the last standing increase was made.
    pub reached_at: Timestamp,
}

impl Ranking {
    /// Ranks by (score, the earlier last increase, the smaller member id).
    pub(super) fn new(mut members: Vec<(Member, i128, Timestamp)>) -> Self {
        members.sort_unstable_by(|(a, a_score, a_at), (b, b_score, b_at)| {
            (Reverse(a_score), a_at, a).cmp(&(Reverse(b_score), b_at, b))
        });
        let places = members.iter().enumerate().map(|(place, (member, ..))| (member.clone(), place)).collect();
        let row = |(rank, (member, score, reached_at))| Row { rank, member, score, reached_at };
        Self { rows: (1..).zip(members).map(row).collect(), places }
    }

    /// All rows, the leader first.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A member's row.
    pub fn row_of(&self, member: &Member) -> Option<&Row> {
        self.places.get(member).map(|&place| &self.rows[place])
    }

    /// A member's row with up to `neighbours` rows on either side; empty where the member has none.
    pub fn around(&self, member: &Member, neighbours: usize) -> &[Row] {
        let Some(&place) = self.places.get(member) else { return &[] };
        let until = place.saturating_add(neighbours).saturating_add(1).min(self.rows.len());
        &self.rows[place.saturating_sub(neighbours)..until]
    }
}
