//! Names that compilers ask for and whose value nobody reads.
#![no_std]

/// Objects that use floating point ask for it.
#[unsafe(no_mangle)]
static _fltused: i32 = 0x9875;

#[repr(transparent)]
pub struct Table([*const u8; 1]);
unsafe impl Sync for Table {}

/// The virtual table of C++'s `type_info`; what Rust throws has its address in its type descriptor.
#[unsafe(export_name = "??_7type_info@@6B@")]
static TYPE_INFO: Table = Table([core::ptr::null()]);
