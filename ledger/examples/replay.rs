//! Placeholder
use std::{sync::Arc, time::Instant};
use ledger::{State, log::{Check, OsDisk, Reader}};
fn main() {
    let folder = std::env::args().nth(1).expect("folder");
    let reader = Reader::open(Arc::new(OsDisk::new(folder))).expect("opens");
    for check in [Check::Frame, Check::Full] {
        let t = Instant::now();
        let mut n = 0;
        for f in reader.frames(check) { n += f.unwrap().records.len(); }
        println!("{check:?}: {n} {:?} {:.0}/s", t.elapsed(), n as f64 / t.elapsed().as_secs_f64());
    }
    let t = Instant::now();
    let mut n = 0;
    let shards = reader.shards();
    let mut states: Vec<State> = (0..shards).map(|s| State::new(s, shards)).collect();
    for f in reader.frames(Check::Frame) { for r in &f.unwrap().records { states[usize::from(r.shard)].apply(r); n += 1; } }
    println!("apply: {n} {:?} {:.0}/s", t.elapsed(), n as f64 / t.elapsed().as_secs_f64());
}
