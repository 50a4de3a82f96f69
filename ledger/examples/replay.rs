//! Placeholder
use std::{sync::Arc, time::Instant};
use ledger::{State, log::{Check, OsDisk, Reader}};
fn main() {
    let folder = std::env::args().nth(1).expect("folder");
    let mode = std::env::args().nth(2).expect("mode");
    let reader = Reader::open(Arc::new(OsDisk::new(folder))).expect("opens");
    let t = Instant::now();
    let mut n = 0;
    let shards = reader.shards();
    let mut states: Vec<State> = (0..shards).map(|s| State::new(s, shards)).collect();
    match &*mode {
        "frame" => for f in reader.frames(Check::Frame) { n += f.unwrap().records.len(); },
        "full" => for f in reader.frames(Check::Full) { n += f.unwrap().records.len(); },
        "apply" => for f in reader.frames(Check::Frame) { for r in &f.unwrap().records { states[usize::from(r.shard)].apply(r); n += 1; } },
        "ahead" => reader.frames(Check::Frame).ahead(|f| { for r in &f.records { states[usize::from(r.shard)].apply(r); n += 1; } Ok::<_, ledger::Error>(()) }).unwrap(),
        _ => {
            let runs = reader.runs_of_shards(2);
            let mut folds = Vec::new();
            for run in runs.into_iter() { let own = states.drain(..run.len()).collect::<Vec<_>>(); folds.push((run.clone(), (run.start, own, 0))); }
            let all = reader.fold_by_shards(Check::Frame, None, folds, |(start, states, n), f| {
                for r in &f.records { states[usize::from(r.shard - *start)].apply(r); *n += 1; } Ok(()) }).unwrap();
            n = all.iter().map(|a| a.2).sum();
        }
    }
    println!("{mode}: {n} {:?} {:.0}/s", t.elapsed(), n as f64 / t.elapsed().as_secs_f64());
}
