//! What is asserted of every picture.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `sound.rs` | what holds for every layout: nothing overlaps, ways lead from box to box |
//! | `ways.rs` | where the ways lead |
//! | `random.rs` | random definitions, from a seed |
//! | `golden.rs` | pictures as they are known to look |
//! | `hostile.rs` | names and expressions that try to be markup |
//! | `live.rs` | a saga drawn over its definition |
//! | `xml.rs` | whether a text is well-formed XML |

mod golden;
mod hostile;
mod live;
mod random;
mod sound;
mod ways;
mod xml;

use std::path::{Path, PathBuf};

use backstitch_saga::Definition;
use backstitch_saga::definition::Files;

struct Beside<'p>(&'p Path);

impl Files for Beside<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let folder = self.0.parent().unwrap();
        std::fs::read_to_string(folder.join(path)).map_err(|error| error.to_string())
    }
}

/// Reads a definition; the path begins at the crate.
fn definition(path: &str) -> Definition {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

fn read(path: &Path) -> Definition {
    let source = std::fs::read_to_string(path).unwrap();
    let name = path.display().to_string();
    Definition::from_yaml_with(&name, &source, &Beside(path)).unwrap_or_else(|found| {
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        panic!("{name}\n{}", told.join("\n"))
    })
}

/// The definitions that the documentation shows.
fn shown() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/definitions");
    let folders = std::fs::read_dir(root).unwrap();
    let files = folders.flat_map(|folder| {
        std::fs::read_dir(folder.unwrap().path())
            .into_iter()
            .flatten()
    });
    let mut paths: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.ends_with(".yaml") && !name.ends_with(".test.yaml") && name != "activities.yaml"
        })
        .collect();
    paths.sort();
    paths
}
