//! What may be in a run, in memory: a split-block Bloom filter.
//!
//! A filter is a row of blocks of 256 bits. A fingerprint's block is its place in the row, so a run,
//! which is sorted, fills the blocks one after the other while it is written; in its block it sets
//! one bit in each of the eight words. A look-up touches one cache line, and the bits to look for
//! are the same in every filter. 20 bits an entry say "maybe" to 4 of 10,000 strange keys.
//!
//! Against a binary fuse filter (16 bits: 18 bits an entry, 2 of 100,000): that one is built in 50
//! ns an entry instead of 6, needs a second pass with 20 bytes an entry of scratch, and looks at
//! three cache lines.

/// The bytes of a block.
pub(super) const BLOCK_BYTES: usize = 32;

/// Bits for each entry.
const BITS: u64 = 20;

/// A row of blocks.
#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<Block>,
}

/// Never across two cache lines.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
pub(super) struct Block([u32; 8]);

/// The bits of a fingerprint in its block of any filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask(Block);

impl Mask {
    /// From the lower 40 bits: blocks are chosen by the upper ones.
    pub fn of(fingerprint: u64) -> Self {
        Self(Block(std::array::from_fn(|word| 1 << (fingerprint >> (5 * word) & 31))))
    }
}

impl Filter {
    /// An empty filter for so many entries.
    pub fn new(entries: u64) -> Self {
        let blocks = usize::try_from(Self::blocks_for(entries)).expect("a filter fits in memory");
        Self { blocks: vec![Block::default(); blocks] }
    }

    /// How many blocks it takes.
    pub fn blocks_for(entries: u64) -> u64 {
        (entries * BITS).div_ceil(BLOCK_BYTES as u64 * 8)
    }

    /// Takes a fingerprint.
    pub fn insert(&mut self, fingerprint: u64) {
        let at = place(fingerprint, self.blocks.len());
        for (word, bits) in self.blocks[at].0.iter_mut().zip(Mask::of(fingerprint).0.0) {
            *word |= bits;
        }
    }

    /// Whether the fingerprint may have been inserted. No is certain.
    pub fn may_contain(&self, fingerprint: u64, mask: &Mask) -> bool {
        may_contain(&self.blocks, fingerprint, mask)
    }

    /// The row of blocks, for loops over many filters.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The bytes of its blocks, little-endian, appended to `out`.
    pub fn write(blocks: &[Block], out: &mut Vec<u8>) {
        for word in blocks.iter().flat_map(|block| block.0) {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Takes the blocks from `from` on out of their bytes.
    pub fn read(&mut self, from: usize, bytes: &[u8]) {
        for (block, bytes) in self.blocks[from..].iter_mut().zip(bytes.chunks_exact(BLOCK_BYTES)) {
            for (word, bytes) in block.0.iter_mut().zip(bytes.as_chunks().0) {
                *word = u32::from_le_bytes(*bytes);
            }
        }
    }
}

/// [`Filter::may_contain`] of a row of blocks. Has no branches, so that the cache misses of many
/// look-ups overlap.
pub(super) fn may_contain(blocks: &[Block], fingerprint: u64, mask: &Mask) -> bool {
    let mut missing = 0;
    for (word, bits) in blocks[place(fingerprint, blocks.len())].0.iter().zip(mask.0.0) {
        missing |= bits & !word;
    }
    missing == 0
}

/// A fingerprint's place in a row of `length`: the row rises with it.
fn place(fingerprint: u64, length: usize) -> usize {
    usize::try_from((u128::from(fingerprint) * length as u128) >> 64).expect("below the length")
}
