//! Which known name was meant.

/// Characters of a name that are looked at. 100: names have no more.
const CHARS_MAX: usize = 100;

/// The known name that is most like what was written, if one is like it.
pub fn nearest<'n>(written: &str, known: &[&'n str]) -> Option<&'n str> {
    known
        .iter()
        .map(|name| (distance(written, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// How many characters to insert, remove, replace or swap to get from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().take(CHARS_MAX).collect();
    let to: Vec<char> = to.chars().take(CHARS_MAX).collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_like_a_known_one_is_recognised() {
        let known = ["steps", "start", "deadline", "defaults"];
        assert_eq!(nearest("step", &known), Some("steps"));
        assert_eq!(nearest("dedaline", &known), Some("deadline"));
        assert_eq!(nearest("default", &known), Some("defaults"));
        assert_eq!(nearest("zebra", &known), None);
    }
}
