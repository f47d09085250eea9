//! Writing what lies in pieces.

use std::io::{self, IoSlice, Write};

/// Writes all pieces, as many at a time as the system takes.
pub(crate) fn write_pieces_to(
    mut to: impl Write,
    mut pieces: &mut [IoSlice<'_>],
) -> io::Result<()> {
    // A write of nothing but empty pieces would say that nothing more can be written.
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        match to.write_vectored(pieces) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut pieces, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at a time, of one piece only.
    struct Slow(usize, Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.1.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_pieces_are_written_whatever_is_taken_at_a_time_and_empty_ones_too() {
        for at_a_time in 1..9 {
            let mut slow = Slow(at_a_time, Vec::new());
            let mut pieces =
                ["", "one", "", "two", "three", ""].map(|text| IoSlice::new(text.as_bytes()));
            write_pieces_to(&mut slow, &mut pieces).unwrap();
            assert_eq!(slow.1, b"onetwothree");
        }
        write_pieces_to(Slow(1, Vec::new()), &mut [IoSlice::new(b"")]).unwrap();
        assert!(write_pieces_to(Slow(0, Vec::new()), &mut [IoSlice::new(b"x")]).is_err());
    }
}
