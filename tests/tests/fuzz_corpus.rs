//! What the fuzzer found worth keeping, without a fuzzer.
//!
//! `GIFTLEDGER_BLESS=1 cargo test --release -p giftledger-tests --test fuzz_corpus` writes the seeds that
//! a fuzzing session begins with to `target/fuzz/seeds`.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use giftledger_tests::fuzzing::{TARGETS, seeds};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

#[test]
fn every_file_of_the_corpus_is_taken() {
    for (target, run) in TARGETS {
        let files: BTreeSet<PathBuf> = fs::read_dir(root().join("tests/fuzz/corpus").join(target))
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        assert!(files.len() >= 10, "{target} has {} files", files.len());
        for file in files {
            println!("{}", file.display()); // what a panic is about
            run(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_seed_is_taken() {
    let run = |target: &str, bytes: &[u8]| {
        let (_, run) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
        run(bytes);
    };
    for (target, name, bytes) in seeds() {
        println!("{target} {name}");
        run(target, &bytes);
        if env::var_os("GIFTLEDGER_BLESS").is_some() {
            let folder = root().join("target/fuzz/seeds").join(target);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), &bytes).unwrap();
        }
    }
}
