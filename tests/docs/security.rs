//! The tests that docs/oauth-security.md names for each line.

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

#[test]
fn every_line_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap_or_default();
    let page = read("docs/oauth-security.md");
    let mut lines = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let last = cells.last().expect("a cell").trim();
        if last == "tests" || last.starts_with("---") {
            continue;
        }
        lines += 1;
        let texts: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        assert!(!texts.is_empty(), "no test: {line}");
        for text in texts {
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
    }
    assert!(lines >= 40, "only {lines} lines");
}
