//! Every seed of the fuzz targets, through the functions that they call (`fuzz/README.md`).

#[cfg(test)]
mod json;
#[cfg(test)]
mod jwk_set;
#[cfg(test)]
mod jws;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use crate::{json, jwk_set, jws};

    #[test]
    fn every_seed_of_jws_holds() {
        assert_eq!(check_each("jws", jws::check), 25);
    }

    #[test]
    fn every_seed_of_jwk_set_holds() {
        assert_eq!(check_each("jwk_set", jwk_set::check), 18);
    }

    #[test]
    fn every_seed_of_json_holds() {
        assert_eq!(check_each("json", json::check), 53);
    }

    /// Answers how many there were, so that a folder that is not found is noticed.
    fn check_each(target: &str, check: fn(&[u8])) -> usize {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/seeds");
        let seeds = fs::read_dir(folder.join(target)).unwrap();
        seeds
            .map(|seed| seed.unwrap().path())
            .inspect(|seed| println!("{}", seed.display()))
            .map(|seed| check(&fs::read(seed).unwrap()))
            .count()
    }
}
