//! Reads tables from pages in `docs`.

/// Rows of the table below a heading whose first column has this title. Backticks are removed from the cells.
pub(crate) fn table(page: &str, heading: &str, first: &str) -> Vec<Vec<String>> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect(heading);
    let lines = section.lines().skip_while(|line| !line.starts_with(&format!("| {first} |")));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}
