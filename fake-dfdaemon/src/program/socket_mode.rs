//! Permission bits of sockets, as they are typed.

pub(super) fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "permission bits are octal, such as 0600 or 0666".to_owned())
}
