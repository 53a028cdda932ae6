//! The account of what a link for macOS without an SDK leaves to be looked up when the program starts.

mod account;
mod declared;

pub use account::{Account, Accountant, account};
pub use declared::{declared_in_package, declared_in_packages, declared_in_source};
