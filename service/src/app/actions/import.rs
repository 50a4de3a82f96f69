//! Gifts of a file, with the top-ups that the mapping lays before them.

use std::path::{Path, PathBuf};

use ledger::{Engine, SystemClock};
use projections::Reference;
use replay::AsOf;
use schemas::{Change, Timestamp};

use crate::{
    app::{Error, Ledger, Result, Watch},
    import::{BookmarkFile, Importing, Mapping, Rows, looked_at},
};

pub use crate::import::{Imported, Stopped};

/// A file of gifts that was opened, and what its columns mean.
pub struct Import {
    file: PathBuf,
    mapping: Mapping,
    rows: Rows,
}

/// Where an import begins.
#[derive(Debug, Clone)]
pub struct Begin {
    /// With the first row, although the file was read before: rows that were taken are not taken twice.
    pub from_start: bool,
    /// How the door is asked for that, for messages.
    pub anew: String,
}

/// What an import came to.
#[derive(Debug)]
pub struct Ended {
    /// What became of the rows.
    pub imported: Imported,
    /// Why it ended before the file did.
    pub stopped: Option<Stopped>,
}

impl Import {
    /// Opens the file, CSV, plain or gzipped, and finds the columns of the mapping.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, or the mapping does not fit.
    pub fn open(file: &Path, mapping: Mapping) -> Result<Self> {
        Ok(Self { file: file.to_owned(), rows: Rows::open(file, &mapping)?, mapping })
    }

    /// Reads the file to its end, and says what its rows would be; nothing is recorded.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read on.
    pub fn preview(self, watch: &dyn Watch) -> Result<Imported> {
        Ok(looked_at(self.rows, &SystemClock, watch)?)
    }

    /// Imports the rows behind those that were read before. What is wrong with a row is noted for whoever watches the
    /// ledger, and counted.
    ///
    /// # Errors
    /// [`Error::Unasked`] if the ledger does not sell what the mapping needs; [`Error::File`] if the file cannot be
    /// read on, was read with another mapping, or somebody asked for the end between two chunks.
    pub fn run(self, engine: &Engine, ledger: &Ledger, begin: &Begin) -> Result<Ended> {
        let Self { file, mapping, rows } = self;
        let (reference, clock) = ledger.reference(AsOf::End)?;
        check_platform(&reference, clock, &mapping)?;
        let bookmark = BookmarkFile::of(ledger.folder(), &file, &mapping)?;
        let Begin { from_start, anew } = begin;
        let read_before = if *from_start { None } else { bookmark.read(engine, anew, ledger.watch())? };
        let importing = Importing::new(engine, (&SystemClock, ledger.watch()), rows, &bookmark, read_before, anew)?;
        let (imported, stopped) = importing.run()?;
        Ok(Ended { imported, stopped })
    }
}

/// A refusal uses an id up, so what every row needs must be there before the first.
fn check_platform(reference: &Reference, clock: Timestamp, mapping: &Mapping) -> Result<()> {
    let item = &mapping.gift.item;
    let in_force = reference.at(clock);
    let unfit = |said: String| Err(Error::Unasked(said));
    let Some(sold) = in_force.on_sale(item) else {
        let scheduled = reference.scheduled(clock);
        let next = scheduled.iter().find(|next| matches!(next.change, Change::Item(new) if new.item == *item));
        return unfit(match next {
            Some(next) => format!(
                "item {item}, which the mapping names, is not on sale before {}, when version {} of the reference data \
                 holds: import then, or apply a platform that sells it now",
                next.from, next.version
            ),
            None => format!(
                "item {item}, which the mapping names, is not on sale: apply a platform file first that sells it"
            ),
        });
    };
    if sold.price.get() != 1 {
        return unfit(format!(
            "item {item}, which the mapping names, costs {} coins: an item of 1 coin is needed, a gift is as many of it \
             as the amount has coins",
            sold.price
        ));
    }
    if let Some(entity) = in_force.entity().filter(|entity| entity.currency != mapping.amount.currency) {
        return unfit(format!(
            "the mapping's amounts are in {} ([amount] currency), and the entity's books in {}: coins of one are not \
             coins of the other",
            mapping.amount.currency, entity.currency
        ));
    }
    Ok(())
}
