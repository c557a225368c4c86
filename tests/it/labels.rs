//! An enum whose words are label values lists all of its variants, so that each of its series exists from the start.

use crate::repo::{Source, sources};

/// What `ALL` of an enum lists, and the variants that the enum has, read off its file.
fn listed_and_declared(source: &Source) -> Vec<(&str, Vec<&str>, Vec<&str>)> {
    let text = source.text.as_str();
    let lists = text.match_indices("const ALL: [Self; ");
    let read = lists.map(|(at, _)| {
        let owner = text[..at].rsplit_once("\nimpl ").expect("an impl").1;
        let owner = owner.split_once(" {").expect("a name").0;
        let list = text[at..].split_once('=').expect("a list").1.split_once("];").expect("its end").0;
        let listed =
            list.split(',').filter_map(|item| item.trim().trim_matches('[').trim().strip_prefix("Self::"));
        let declared =
            text.split_once(&format!("enum {owner} {{\n")).expect("the enum is in the same file").1;
        let declared = declared.split_once("\n}").expect("its end").0;
        let variants = declared.lines().filter_map(|line| line.strip_prefix("    "));
        let variants = variants.filter(|line| line.starts_with(char::is_uppercase));
        (owner, listed.collect(), variants.map(|line| line.trim_end_matches(',')).collect())
    });
    read.collect()
}

#[test]
fn a_label_set_lists_every_variant_of_its_enum() {
    let all = sources();
    let sets: Vec<_> = all.iter().flat_map(listed_and_declared).collect();
    assert!(sets.len() >= 9, "the reader of label sets sees {}", sets.len());
    for (owner, mut listed, mut declared) in sets {
        listed.sort_unstable();
        declared.sort_unstable();
        assert_eq!(listed, declared, "{owner}");
    }
}
