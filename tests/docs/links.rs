//! Links between the pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The pages whose links are checked, beside those in `docs/`.
const PAGES: [&str; 5] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "verifier/README.md",
];

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> = PAGES.iter().map(PathBuf::from).collect();
    for file in std::fs::read_dir(root.join("docs")).expect("docs") {
        let name = PathBuf::from(file.expect("a file").file_name());
        if name.extension().is_some_and(|extension| extension == "md") {
            pages.push(Path::new("docs").join(name));
        }
    }
    let read = |page: &PathBuf| std::fs::read_to_string(root.join(page)).expect("a page");
    let texts: BTreeMap<PathBuf, String> = pages
        .iter()
        .map(|page| (page.clone(), read(page)))
        .collect();
    let mut lost = Vec::new();
    for (page, text) in &texts {
        for link in links(text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => plain(&page.parent().unwrap_or(Path::new("")).join(file)),
            };
            let is_lost = match texts.get(&target) {
                Some(text) => !anchor.is_empty() && !anchors(text).contains(anchor),
                None => !root.join(&target).exists(),
            };
            if is_lost {
                lost.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// The targets of the links that stay in the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.contains(char::is_whitespace))
        .collect()
}

/// What an anchor can name: headings, as GitHub derives their names, and anchors of their own.
fn anchors(text: &str) -> BTreeSet<String> {
    let outside_of_code = text.split("\n```").step_by(2);
    let lines = outside_of_code.flat_map(str::lines);
    let headings = lines.filter(|line| line.starts_with('#'));
    let headings = headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |character: &char| character.is_alphanumeric() || "-_ ".contains(*character);
        let name: String = title.chars().filter(kept).collect();
        name.replace(' ', "-")
    });
    let own = text.split("<a id=\"").skip(1);
    let own = own.filter_map(|rest| rest.split('"').next().map(str::to_owned));
    headings.chain(own).collect()
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}
