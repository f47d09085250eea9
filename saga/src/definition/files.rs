//! The files that a definition names.

use std::collections::BTreeMap;

/// Where the files are that a definition names: schemas, contracts. This crate reads none itself.
pub trait Files {
    /// What stands in a file.
    ///
    /// The path is relative to the definition's file, with `/` between its parts, and may lead
    /// out of that file's folder by `..`: whether that is allowed is decided here.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, for people.
    fn read(&self, path: &str) -> Result<String, String>;
}

/// Files in memory, by path.
impl Files for BTreeMap<String, String> {
    fn read(&self, path: &str) -> Result<String, String> {
        self.get(path)
            .cloned()
            .ok_or_else(|| "there is no such file".to_owned())
    }
}

/// The path of a file that is named in another: relative to what the path of that other is relative
/// to.
pub(super) fn beside(file: &str, path: &str) -> String {
    let Some((folder, _)) = file.rsplit_once('/') else {
        return path.to_owned();
    };
    if path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." if parts
                .last()
                .is_some_and(|last| *last != ".." && !last.is_empty()) =>
            {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_file_is_relative_to_that_file() {
        for (file, path, whole) in [
            ("", "a.avsc", "a.avsc"),
            ("contracts.yaml", "schemas/a.avsc", "schemas/a.avsc"),
            ("shop/contracts.yaml", "a.avsc", "shop/a.avsc"),
            ("shop/contracts.yaml", "./a.avsc", "shop/a.avsc"),
            ("shop/contracts.yaml", "../a.avsc", "a.avsc"),
            ("shop/contracts.yaml", "../../a.avsc", "../a.avsc"),
            ("../contracts.yaml", "../a.avsc", "../../a.avsc"),
            ("/etc/contracts.yaml", "a.avsc", "/etc/a.avsc"),
            ("shop/contracts.yaml", "/etc/a.avsc", "/etc/a.avsc"),
        ] {
            assert_eq!(beside(file, path), whole, "{path} in {file}");
        }
    }
}
