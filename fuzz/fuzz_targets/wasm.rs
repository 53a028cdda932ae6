#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    match cargo_convoy::fuzzing::wasm(bytes) {
        true => Corpus::Keep,
        false => Corpus::Reject,
    }
});
