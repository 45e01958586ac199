//! `make generated`.

fn main() -> dfdaemon_api_generate::Result<()> {
    dfdaemon_api_generate::write()
}
