//! The build attributes of 32-bit ARM (`.ARM.attributes`): what an object or a binary says that it was compiled for.
//!
//! Their meaning: "Addenda to, and Errata in, the ABI for the Arm Architecture", section "Build attributes".

use object::endian::Endianness;
use object::read::elf::{FileHeader, SectionHeader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::attributes::{Value, each};
use crate::model::catalog::FloatAbi;

/// The build attributes of a 32-bit ARM object (`.ARM.attributes`), as numbers defined by the ARM ABI. An absent tag
/// means that nothing is stated.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct ArmAttributes {
    /// `Tag_CPU_arch`: 6 is v6, 7 is v6KZ, 9 is v6K, 10 is v7.
    pub cpu_arch: Option<u8>,
    /// `Tag_FP_arch`: 2 is VFPv2, 3 is VFPv3, 4 is VFPv3-D16.
    pub fp_arch: Option<u8>,
    /// `Tag_Advanced_SIMD_arch`: not 0 if the code uses NEON.
    pub simd_arch: Option<u8>,
    /// `Tag_ABI_FP_number_model`: not 0 if the code computes with floating point numbers.
    pub fp_number_model: Option<u8>,
    /// `Tag_ABI_VFP_args`: 1 is the hard float ABI.
    pub vfp_args: Option<u8>,
}

const TAG_CPU_RAW_NAME: u64 = 4;
const TAG_CPU_NAME: u64 = 5;
const TAG_CPU_ARCH: u64 = 6;
const TAG_FP_ARCH: u64 = 10;
const TAG_ADVANCED_SIMD_ARCH: u64 = 12;
const TAG_ABI_FP_NUMBER_MODEL: u64 = 23;
const TAG_ABI_VFP_ARGS: u64 = 28;
const LAST_OF_ITS_OWN: u64 = 32;

/// `Tag_ABI_VFP_args`: code that works under both float ABIs.
const VFP_ARGS_COMPATIBLE: u8 = 3;

impl ArmAttributes {
    /// The attributes of a parsed ELF file; none when it has no such section. A damaged section is an error, because
    /// it hides what the code needs.
    pub(crate) fn of_elf<Elf: FileHeader<Endian = Endianness>>(
        header: &Elf,
        data: &[u8],
    ) -> object::read::Result<Option<Self>> {
        let endian = header.endian()?;
        for section in header.sections(endian, data)?.iter() {
            if section.sh_type(endian) == object::elf::SHT_ARM_ATTRIBUTES {
                return Self::parse::<Elf>(endian, section.data(endian, data)?).map(Some);
            }
        }
        Ok(None)
    }

    fn parse<Elf: FileHeader<Endian = Endianness>>(endian: Endianness, data: &[u8]) -> object::read::Result<Self> {
        let mut attributes = Self::default();
        // Below 32 the vendor says for each tag what it has; above, odd ones have strings.
        let is_text = |tag: u64| {
            matches!(tag, TAG_CPU_RAW_NAME | TAG_CPU_NAME) || (tag > LAST_OF_ITS_OWN && !tag.is_multiple_of(2))
        };
        each::<Elf, object::read::Error>(endian, data, b"aeabi", is_text, |tag, value| {
            let Value::Number(number) = value else { return Ok(()) };
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            match tag {
                TAG_CPU_ARCH => attributes.cpu_arch = Some(number),
                TAG_FP_ARCH => attributes.fp_arch = Some(number),
                TAG_ADVANCED_SIMD_ARCH => attributes.simd_arch = Some(number),
                TAG_ABI_FP_NUMBER_MODEL => attributes.fp_number_model = Some(number),
                TAG_ABI_VFP_ARGS => attributes.vfp_args = Some(number),
                _ => {}
            }
            Ok(())
        })?;
        Ok(attributes)
    }

    /// How floating point arguments are passed; none for code that passes none, or that works both ways.
    ///
    /// Compilers leave `Tag_ABI_VFP_args` out for the soft ABI, so what tells soft float from "no floating point at
    /// all" is the number model: the same reading as GNU ld's.
    pub fn float_abi(&self) -> Option<FloatAbi> {
        match self.vfp_args {
            Some(1) => Some(FloatAbi::Hard),
            Some(VFP_ARGS_COMPATIBLE) => None,
            _ => self.fp_number_model.filter(|model| *model != 0).map(|_| FloatAbi::Soft),
        }
    }
}
