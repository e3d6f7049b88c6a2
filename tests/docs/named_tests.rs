//! The tests that tables of the documentation name for each line, in a last column with the head "tests".

use std::path::Path;

/// The file and the name of a test, if a text in backticks is one: `oauth/refresh::NAME`.
fn named_test(text: &str) -> Option<(String, &str)> {
    let (module, name) = text.split_once("::")?;
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_/".contains(character);
    if !module.contains('/') || !module.chars().chain(name.chars()).all(is_name) {
        return None;
    }
    let is_whole = module.starts_with("src/") || module.starts_with("verifier/");
    let folder = if is_whole { "" } else { "tests/" };
    Some((format!("{folder}{module}.rs"), name))
}

fn require_test(text: &str) {
    let (file, name) = named_test(text).unwrap_or_else(|| panic!("no test: {text}"));
    let signature = format!("fn {name}(");
    let source = read(&file);
    let (before, _) = source
        .split_once(&signature)
        .unwrap_or_else(|| panic!("{file} has no {name}"));
    let attributes = before.rsplit("\n\n").next().unwrap_or(before);
    let is_test = attributes.contains("test") && attributes.contains("#[");
    assert!(is_test, "{file}: {name} is no test");
}

fn read(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(file)).unwrap_or_default()
}

/// The last cells of the tables of a page whose last column has the head "tests".
fn cells_of_tests(page: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut is_in_table = false;
    for line in read(page).lines() {
        let last = line.trim_matches('|').rsplit(" | ").next();
        match last.map(str::trim).filter(|_| line.starts_with("| ")) {
            None => is_in_table = false,
            Some("tests") => is_in_table = true,
            Some(cell) if is_in_table && !cell.starts_with("---") => cells.push(cell.to_owned()),
            Some(_) => {}
        }
    }
    cells
}

#[test]
fn every_line_names_tests_that_exist() {
    for (page, lines) in [("docs/oauth-security.md", 40), ("docs/dead-tokens.md", 6)] {
        let cells = cells_of_tests(page);
        assert!(cells.len() >= lines, "{page} has {} lines", cells.len());
        for cell in cells {
            let texts: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            assert!(!texts.is_empty(), "{page}: no test: {cell}");
            texts.into_iter().for_each(require_test);
        }
    }
}
