//! The sums of a tile, by what the machine has.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::layer::Outlet;
use crate::requantize::{Column, Words};
use crate::{STEPS, Weights};

/// How a machine multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Plain loops, for any machine.
    Portable,
    /// 16-bit pairs.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Four bytes at once, sixteen steps at once (AVX-512 VNNI).
    #[cfg(target_arch = "x86_64")]
    Vnni,
    /// Four bytes at once, four steps at once (`SDOT`).
    #[cfg(target_arch = "aarch64")]
    Dotprod,
}

impl Kernel {
    /// The kernels that this machine runs, slowest first.
    #[must_use]
    pub fn available() -> Vec<Kernel> {
        let mut all = vec![Kernel::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Kernel::Avx2);
            }
            // Of which the second brings the 256-bit forms.
            if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
                all.push(Kernel::Vnni);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            all.push(Kernel::Dotprod);
        }
        all
    }

    /// The fastest of them.
    #[must_use]
    pub fn best() -> Kernel {
        Kernel::available().pop().unwrap_or(Kernel::Portable)
    }

    /// One tile: eight output channels by sixteen steps. `words` begins at the first step; each of `taps` is where a
    /// word of it meets the weights of the same place.
    pub(crate) fn tile(
        self,
        words: &[u32],
        taps: &[u32],
        weights: &[Weights],
        outlet: &Outlet,
        zero: i8,
    ) -> Words {
        let needed = taps.iter().max().map_or(0, |last| *last as usize + STEPS);
        assert!(
            words.len() >= needed && taps.len() == weights.len(),
            "a tile reads {needed} of {}",
            words.len()
        );
        match self {
            Kernel::Portable => portable::tile(words, taps, weights, outlet, zero),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => x86::avx2(words, taps, weights, outlet, zero),
            #[cfg(target_arch = "x86_64")]
            Kernel::Vnni => x86::vnni(words, taps, weights, outlet, zero),
            #[cfg(target_arch = "aarch64")]
            Kernel::Dotprod => neon::dotprod(words, taps, weights, outlet, zero),
        }
    }

    /// One step of eight output channels. Each of `words` meets the weights of the same place.
    pub(crate) fn column(self, words: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Column {
        match self {
            Kernel::Portable => portable::column(words, weights, outlet, zero),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => x86::avx2_column(words, weights, outlet, zero),
            #[cfg(target_arch = "x86_64")]
            Kernel::Vnni => x86::vnni_column(words, weights, outlet, zero),
            #[cfg(target_arch = "aarch64")]
            Kernel::Dotprod => neon::dotprod_column(words, weights, outlet, zero),
        }
    }
}
