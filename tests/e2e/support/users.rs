//! Users without rights. CI is root, and drops to one; others cannot become somebody else.

/// `nobody`, on most systems.
pub const NOBODY: u32 = 65534;
/// Somebody else without rights.
pub const ANOTHER: u32 = 65533;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a test that needs several users can run; says so if not.
pub fn can_change_users(test: &str) -> bool {
    if !is_root() {
        super::skipped(&format!(
            "{test}: only root can run commands as other users"
        ));
    }
    is_root()
}
