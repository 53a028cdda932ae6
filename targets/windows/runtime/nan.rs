//! What MinGW's `math.h` calls for `isnan`. With MinGW's own targets they are part of zig's C library.
#![no_std]

use core::ffi::c_int;

macro_rules! is_nan {
    ($($name:ident: $type:ty),+) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(value: $type) -> c_int {
            value.is_nan().into()
        }
    )+};
}

is_nan! { __isnan: f64, isnan: f64, __isnanf: f32, isnanf: f32 }

// `long double`: the 80 bits of the x87 on x86, passed by reference on x86-64 and by value on 32-bit x86, and a `double`
// elsewhere.
#[cfg(target_arch = "aarch64")]
is_nan! { __isnanl: f64, isnanl: f64 }

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn extended_is_nan(fraction: u64, exponent: u16) -> c_int {
    (exponent & 0x7FFF == 0x7FFF && fraction << 1 != 0).into()
}

#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
unsafe extern "C" fn __isnanl(value: *const u8) -> c_int {
    unsafe { extended_is_nan(value.cast::<u64>().read_unaligned(), value.add(8).cast::<u16>().read_unaligned()) }
}

#[cfg(target_arch = "x86")]
#[unsafe(no_mangle)]
extern "C" fn __isnanl(fraction: u64, exponent: u32) -> c_int {
    extended_is_nan(fraction, exponent as u16)
}
