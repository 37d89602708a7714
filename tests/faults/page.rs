//! docs/faults.md against the list of faults. A run compares the facts of each with what clients met.

use std::collections::BTreeMap;

use crate::nemesis::Fault;

#[test]
fn page_has_each_fault_with_its_facts() {
    let page = include_str!("../../docs/faults.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let mut shown: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        // Another table.
        if cells.len() == 2 {
            continue;
        }
        let [name, signed_in, sign_in, advice] = cells[..] else { panic!("four cells: {row}") };
        if name == "when" {
            continue;
        }
        assert!(!advice.is_empty(), "{name}: say what to do");
        assert!(shown.insert(name, (signed_in, sign_in)).is_none(), "{name} is there twice");
    }
    let facts = |fault: &Fault| {
        let (signed_in, sign_in) = fault.promises();
        (fault.name(), (signed_in.word(), sign_in.word()))
    };
    let known: BTreeMap<&str, (&str, &str)> = Fault::ALL.iter().map(facts).collect();
    assert_eq!(shown, known);
}
