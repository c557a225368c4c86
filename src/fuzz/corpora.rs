//! What was found by fuzzing stays mended.

use std::{collections::BTreeSet, fs, path::Path};

use super::TARGETS;

#[test]
fn what_was_found_by_fuzzing_breaks_no_promise() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for (name, target) in TARGETS {
        let inputs: Vec<_> = fs::read_dir(corpora.join(name)).expect(name).collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            let input = input.unwrap().path();
            eprintln!("{}", input.display());
            target(&fs::read(input).unwrap());
        }
    }
    let folders =
        fs::read_dir(&corpora).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(folders.collect::<BTreeSet<_>>(), TARGETS.map(|(name, _)| name.to_owned()).into());
}
