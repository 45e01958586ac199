//! The program fake-dfdaemon; all of it is in the library's `program`.

use std::process::ExitCode;

fn main() -> ExitCode {
    fake_dfdaemon::program::main()
}
