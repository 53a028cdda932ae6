//! What runs constructors of global objects, and C functions marked as such, that MinGW's compilers list in sections named
//! `.ctors` and not in the `.CRT$XC…` of Microsoft's. The linker makes one list of them in its mode for MinGW, and takes
//! this when it is told to.
#![no_std]

use core::ffi::c_int;

unsafe extern "C" {
    /// All bits set, then the functions in order of their priority, then zero.
    static __CTOR_LIST__: [usize; 1];
}

unsafe extern "C" fn run() -> c_int {
    unsafe {
        let first = (&raw const __CTOR_LIST__).cast::<usize>().add(1);
        let mut count = 0;
        while first.add(count).read() != 0 {
            count += 1;
        }
        // From the end, as MinGW's own start-up code does.
        for index in (0..count).rev() {
            core::mem::transmute::<usize, unsafe extern "C" fn()>(first.add(index).read())();
        }
    }
    0
}

#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".CRT$XCB")]
static __convoy_constructors: unsafe extern "C" fn() -> c_int = run;
