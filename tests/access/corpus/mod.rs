//! Every seed of the fuzz targets of the service, through the functions that they call
//! (`verifier/fuzz/README.md`).

mod grants;
mod requests;
mod schema;

use std::fs;
use std::path::Path;

#[test]
fn every_seed_of_schema_holds() {
    assert_eq!(check_each("schema", schema::check), 12);
}

#[test]
fn every_seed_of_requests_holds() {
    assert_eq!(check_each("requests", requests::check), 9);
}

#[test]
fn every_seed_of_grants_holds() {
    assert_eq!(check_each("grants", grants::check), 12);
}

/// Answers how many there were, so that a folder that is not found is noticed.
fn check_each(target: &str, check: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/access/corpus/seeds");
    let seeds = fs::read_dir(folder.join(target)).unwrap();
    seeds
        .map(|seed| seed.unwrap().path())
        .inspect(|seed| eprintln!("{}", seed.display()))
        .map(|seed| check(&fs::read(seed).unwrap()))
        .count()
}
