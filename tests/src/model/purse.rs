//! What a user has: lots in burn order, and debt.

use schemas::{Lot, LotId, LotKind, Timestamp};

/// Coins of one lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which lot.
    pub lot: LotId,
    /// Paid, or bonus with its expiry.
    pub kind: LotKind,
    /// How many.
    pub coins: i128,
}

impl Piece {
    /// From what the ledger shows.
    pub fn of(lot: &Lot) -> Self {
        Self { lot: lot.id, kind: lot.kind, coins: i128::from(lot.coins.get()) }
    }

    /// When it lapses, if it does.
    pub fn expires(&self) -> Option<Timestamp> {
        match self.kind {
            LotKind::Bonus { expires } => expires,
            LotKind::Paid => None,
        }
    }

    /// Whether it has lapsed: on its expiry or later.
    pub fn lapsed(&self, now: Timestamp) -> bool {
        self.expires().is_some_and(|expires| now >= expires)
    }

    /// Whether it was bought.
    pub fn paid(&self) -> bool {
        self.kind == LotKind::Paid
    }

    /// So many coins of the same lot.
    #[must_use]
    pub fn some(&self, coins: i128) -> Self {
        Self { coins, ..self.clone() }
    }

    /// Bonus by soonest expiry, bonus without one, paid; in each the oldest first.
    pub fn burns_at(&self) -> (u8, Option<Timestamp>, u64, u8) {
        let (class, expiry) = match self.kind {
            LotKind::Bonus { expires: Some(expires) } => (0, Some(expires)),
            LotKind::Bonus { expires: None } => (1, None),
            LotKind::Paid => (2, None),
        };
        (class, expiry, self.lot.sequence, self.lot.part)
    }
}

/// The sum of some pieces.
pub fn total(pieces: &[Piece]) -> i128 {
    pieces.iter().map(|piece| piece.coins).sum()
}

/// The paid part of their sum.
pub fn total_paid(pieces: &[Piece]) -> i128 {
    pieces.iter().filter(|piece| piece.paid()).map(|piece| piece.coins).sum()
}

/// Coins that an order had used are in use again: in their lot's place, which is that of the burn order.
pub fn use_again(used: &mut Vec<Piece>, piece: Piece) {
    if let Some(lot) = used.iter_mut().find(|lot| lot.lot == piece.lot) {
        lot.coins += piece.coins;
        return;
    }
    let behind = used.iter().position(|lot| lot.burns_at() > piece.burns_at());
    used.insert(behind.unwrap_or(used.len()), piece);
}

/// Coins that an order had not used are consumed behind all others; those of a lot that it uses, with that.
pub fn use_besides(used: &mut Vec<Piece>, piece: Piece) {
    match used.iter_mut().find(|lot| lot.lot == piece.lot) {
        Some(lot) => lot.coins += piece.coins,
        None => used.push(piece),
    }
}

/// Takes `coins` off the end of what was used: the pieces in reverse order of consumption.
pub fn take_from_the_end(used: &mut Vec<Piece>, coins: i128) -> Vec<Piece> {
    let mut missing = coins;
    let mut taken = Vec::new();
    while missing > 0 {
        let mut last = used.pop().expect("no more is taken than was used");
        let some = missing.min(last.coins);
        taken.push(last.some(some));
        last.coins -= some;
        if last.coins > 0 {
            used.push(last);
        }
        missing -= some;
    }
    taken
}

/// Where coins that come back go to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Homecoming {
    /// Into the purse.
    pub restored: Vec<Piece>,
    /// Into debt.
    pub debt_paid: i128,
    /// Nowhere: they have lapsed.
    pub lapsed: Vec<Piece>,
}

/// A user's coins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purse {
    /// In burn order, lapsed ones included until their timer has run.
    pub lots: Vec<Piece>,
    /// What is owed; stops spending.
    pub debt: i128,
}

impl Purse {
    /// Coins less debt: what the user's account holds.
    pub fn balance(&self) -> i128 {
        total(&self.lots) - self.debt
    }

    /// What can be spent.
    pub fn spendable(&self, now: Timestamp) -> i128 {
        self.lots.iter().filter(|lot| !lot.lapsed(now)).map(|lot| lot.coins).sum()
    }

    /// Puts coins to their lot.
    pub fn put(&mut self, piece: Piece) {
        if piece.coins == 0 {
            return;
        }
        match self.lots.iter_mut().find(|lot| lot.lot == piece.lot) {
            Some(lot) => lot.coins += piece.coins,
            None => self.lots.push(piece),
        }
        self.lots.sort_by_key(Piece::burns_at);
    }

    /// Pays debt with up to `coins`: how many that took.
    pub fn pay_debt(&mut self, coins: i128) -> i128 {
        let pays = self.debt.min(coins);
        self.debt -= pays;
        pays
    }

    /// Takes up to `coins` of one lot, if it is there, lapsed or not.
    pub fn take_of(&mut self, lot: LotId, coins: i128) -> Option<Piece> {
        let at = self.lots.iter().position(|held| held.lot == lot)?;
        let some = coins.min(self.lots[at].coins);
        let taken = self.lots[at].some(some);
        self.lots[at].coins -= some;
        self.lots.retain(|held| held.coins > 0);
        (some > 0).then_some(taken)
    }

    /// Takes up to `coins` in burn order, leaving out what has lapsed.
    pub fn burn(&mut self, coins: i128, now: Timestamp) -> Vec<Piece> {
        let mut taken = Vec::new();
        let live: Vec<LotId> = self.lots.iter().filter(|lot| !lot.lapsed(now)).map(|lot| lot.lot).collect();
        for lot in live {
            taken.extend(self.take_of(lot, coins - total(&taken)));
        }
        taken
    }

    /// Takes up to `coins` for a payment that was given back: of its own lot, then of other paid ones, newest first.
    pub fn take_back(&mut self, own: LotId, coins: i128, now: Timestamp) -> Vec<Piece> {
        let mut taken: Vec<Piece> = self.take_of(own, coins).into_iter().collect();
        let paid = self.lots.iter().filter(|lot| lot.paid() && !lot.lapsed(now));
        let newest_first: Vec<LotId> = paid.rev().map(|lot| lot.lot).collect();
        for lot in newest_first {
            taken.extend(self.take_of(lot, coins - total(&taken)));
        }
        taken
    }

    /// Coins come back, in the order in which they are given here.
    pub fn come_back(&mut self, pieces: Vec<Piece>, now: Timestamp) -> Homecoming {
        let mut home = Homecoming::default();
        for piece in pieces {
            if piece.lapsed(now) {
                home.lapsed.push(piece);
                continue;
            }
            let pays = self.pay_debt(piece.coins);
            home.debt_paid += pays;
            let rest = piece.some(piece.coins - pays);
            if rest.coins > 0 {
                self.put(rest.clone());
                home.restored.push(rest);
            }
        }
        home
    }
}
