//! Bounds of folders and files. A folder that is too wide, or a file that is too long, has a seam: split it by subject.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Maximum number of code files directly in a folder: about what fits a screen beside the code.
const FILES: usize = 16;
/// Maximum number of lines of a file.
const LINES: usize = 450;
/// Extensions of code.
const CODE: &[&str] = &["rs", "py", "js", "java", "lua", "sql", "cgi", "conf"];

/// Returns the code files below `folder` with their numbers of lines.
fn code(folder: &Path) -> Vec<(PathBuf, usize)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(code(&path));
        } else if path.extension().is_some_and(|extension| CODE.iter().any(|code| extension == *code)) {
            let lines = std::fs::read_to_string(&path).expect("text").lines().count();
            found.push((path, lines));
        }
    }
    found
}

/// Returns every violation of the bounds.
fn violations(files: &[(PathBuf, usize)]) -> Vec<String> {
    let mut folders: BTreeMap<&Path, usize> = BTreeMap::new();
    for (path, _) in files {
        *folders.entry(path.parent().unwrap_or(path)).or_default() += 1;
    }
    let long = files.iter().filter(|(_, lines)| *lines > LINES);
    let wide = folders.iter().filter(|(_, files)| **files > FILES);
    long.map(|(path, lines)| format!("{} has {lines} lines, more than {LINES}", path.display()))
        .chain(wide.map(|(path, files)| format!("{} has {files} files, more than {FILES}", path.display())))
        .collect()
}

#[test]
fn folders_and_files_keep_to_their_bounds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> =
        ["src", "tests", "benches"].iter().flat_map(|folder| code(&root.join(folder))).collect();
    assert!(files.len() > 300, "only {} files: is this the right folder?", files.len());
    let violations = violations(&files);
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn planted_long_file_and_wide_folder_are_found() {
    let file = |name: &str, lines| (PathBuf::from(name), lines);
    let mut files: Vec<_> = (0..FILES).map(|n| file(&format!("a/b/{n}.rs"), LINES)).collect();
    files.extend([file("a/c.rs", 1), file("d/e.rs", LINES)]);
    assert_eq!(violations(&files), [""; 0]);
    files.extend([file("a/b/one.rs", 1), file("d/long.py", LINES + 1)]);
    assert_eq!(
        violations(&files),
        ["d/long.py has 451 lines, more than 450", "a/b has 17 files, more than 16"]
    );
}
