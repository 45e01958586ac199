//! Faults as they are written, on a command line and as JSON.

use fake_dfdaemon::Fault;

use crate::Target;

/// The input is a fault in either form, or none.
#[derive(Debug, Default)]
pub struct FaultSpecs;

impl Target for FaultSpecs {
    const NAME: &str = "fault_specs";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(input) else {
            return false;
        };
        let mut reads = false;
        match text.parse::<Fault>() {
            Ok(fault) => {
                reads = true;
                reads_as_it_is_written(&fault);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        reads
    }
}

fn reads_as_it_is_written(fault: &Fault) {
    let text = fault.to_json();
    assert_eq!(text.parse::<Fault>().as_ref(), Ok(fault), "{text}");
}
