//! What runs before `main` and before `DllMain`: the initializers that objects leave in sections whose names sort between
//! `.CRT$XIA` and `.CRT$XIZ` (C) and between `.CRT$XCA` and `.CRT$XCZ` (C++); and `atexit`.
#![no_std]

use core::ffi::{c_int, c_void};

type CInitializer = Option<unsafe extern "C" fn() -> c_int>;
type Initializer = Option<unsafe extern "C" fn()>;
type OnExit = Option<unsafe extern "C" fn() -> c_int>;

#[used]
#[unsafe(link_section = ".CRT$XIA")]
static C_FIRST: CInitializer = None;
#[used]
#[unsafe(link_section = ".CRT$XIZ")]
static C_LAST: CInitializer = None;
#[used]
#[unsafe(link_section = ".CRT$XCA")]
static FIRST: Initializer = None;
#[used]
#[unsafe(link_section = ".CRT$XCZ")]
static LAST: Initializer = None;

/// The Universal CRT's `_onexit_table_t`.
#[repr(C)]
struct Table([*mut c_void; 3]);

unsafe extern "C" {
    fn _initterm_e(first: *const CInitializer, last: *const CInitializer) -> c_int;
    fn _initterm(first: *const Initializer, last: *const Initializer);
    fn _initialize_onexit_table(table: *mut Table) -> c_int;
    fn _register_onexit_function(table: *mut Table, function: OnExit) -> c_int;
    fn _execute_onexit_table(table: *mut Table) -> c_int;
    fn _crt_atexit(function: Initializer) -> c_int;
}

/// What a DLL registered with `atexit`, which is to run when the DLL goes and not when the program ends.
static mut DLLS: Table = Table([core::ptr::null_mut(); 3]);
static mut IS_DLL: bool = false;

#[unsafe(no_mangle)]
unsafe extern "C" fn __convoy_initialize() -> c_int {
    unsafe {
        let failed = _initterm_e(&raw const C_FIRST, &raw const C_LAST);
        if failed == 0 {
            _initterm(&raw const FIRST, &raw const LAST);
        }
        failed
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __convoy_initialize_dll() -> c_int {
    unsafe {
        IS_DLL = true;
        if _initialize_onexit_table(&raw mut DLLS) != 0 {
            return 1;
        }
        __convoy_initialize()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __convoy_finish_dll() {
    unsafe { _execute_onexit_table(&raw mut DLLS) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn atexit(function: Initializer) -> c_int {
    unsafe {
        if IS_DLL {
            _register_onexit_function(&raw mut DLLS, core::mem::transmute::<Initializer, OnExit>(function))
        } else {
            _crt_atexit(function)
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn _onexit(function: OnExit) -> OnExit {
    unsafe {
        match atexit(core::mem::transmute::<OnExit, Initializer>(function)) {
            0 => function,
            _ => None,
        }
    }
}
