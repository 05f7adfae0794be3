//! aarch64: the dot product of four bytes (`SDOT`, Armv8.2 FEAT_DotProd), four steps at once.
#![allow(unsafe_code)] // vector loads and stores take pointers, and the instruction has no stable name in Rust

use crate::layer::Outlet;
use crate::requantize::{Column, Words, requantize_column};
use crate::{OUTPUTS, STEPS, WORD, Weights};
use std::arch::aarch64::*;
use std::arch::asm;

/// Safe to call where the dot product was detected.
pub(super) fn dotprod(words: &[u32], taps: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Words {
    assert!(std::arch::is_aarch64_feature_detected!("dotprod"));
    // SAFETY: the processor has the feature, and NEON is in every aarch64.
    unsafe { dotprod_tile(words, taps, weights, outlet, zero) }
}

/// Safe to call where the dot product was detected.
pub(super) fn dotprod_column(words: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Column {
    assert!(std::arch::is_aarch64_feature_detected!("dotprod"));
    // SAFETY: the processor has the feature, and NEON is in every aarch64.
    unsafe { dotprod_outputs(words, weights, outlet, zero) }
}

/// `sum[step] += dot(x[step], w[LANE])`, four steps; or four outputs where `x` holds weights and `w` words.
macro_rules! sdot {
    ($sum:expr, $x:expr, $w:expr, $lane:literal) => {
        // SAFETY: registers only; the processor has the feature, as the caller's says.
        unsafe {
            asm!(
                concat!("sdot {s:v}.4s, {x:v}.16b, {w:v}.4b[", $lane, "]"),
                s = inout(vreg) $sum,
                x = in(vreg) $x,
                w = in(vreg) $w,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    };
}

#[target_feature(enable = "neon,dotprod")]
fn dotprod_tile(words: &[u32], taps: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Words {
    let mut packed = [[0; STEPS]; 2];
    // Eight steps at a time: sixteen registers of sums, two of words, two of weights.
    for half in 0..STEPS / 8 {
        let mut acc = [[vdupq_n_s32(0); 2]; OUTPUTS];
        for (tap, weights) in taps.iter().zip(weights) {
            let x = &words[*tap as usize + 8 * half..][..8];
            // SAFETY: 32 bytes of words and 32 of weights lie there.
            let (x0, x1, w0, w1) = unsafe {
                let (x, w) = (x.as_ptr().cast::<i8>(), weights.as_ptr());
                (vld1q_s8(x), vld1q_s8(x.add(16)), vld1q_s8(w), vld1q_s8(w.add(16)))
            };
            macro_rules! meet {
                ($($output:literal $w:ident $lane:literal),*) => {$(
                    sdot!(acc[$output][0], x0, $w, $lane);
                    sdot!(acc[$output][1], x1, $w, $lane);
                )*};
            }
            meet!(0 w0 0, 1 w0 1, 2 w0 2, 3 w0 3, 4 w1 0, 5 w1 1, 6 w1 2, 7 w1 3);
        }
        for (place, words) in packed.iter_mut().enumerate() {
            let bytes = [0, 1, 2, 3].map(|lane| {
                let lane = WORD * place + lane;
                levels(acc[lane], outlet.offset[lane], outlet.multiplier[lane], zero)
            });
            // SAFETY: 32 bytes lie there; the store interleaves four channels to a word.
            unsafe {
                let words = words[8 * half..][..8].as_mut_ptr().cast();
                vst4_u8(words, uint8x8x4_t(bytes[0], bytes[1], bytes[2], bytes[3]));
            }
        }
    }
    packed
}

/// One output channel's int8 of eight steps, as [`requantize_column`] does it: the conversion rounds half to even.
#[target_feature(enable = "neon")]
fn levels(sums: [int32x4_t; 2], offset: i32, multiplier: f32, zero: i8) -> uint8x8_t {
    let bound = |level: i16| vdupq_n_f32(f32::from(level - i16::from(zero)));
    let (least, most) = (bound(-128), bound(127));
    let [low, high] = sums.map(|sum| {
        let scaled = vmulq_n_f32(vcvtq_f32_s32(vaddq_s32(sum, vdupq_n_s32(offset))), multiplier);
        // Of a number and none these take the number, as in Rust.
        let rounded = vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(scaled, least), most));
        vmovn_s32(vaddq_s32(rounded, vdupq_n_s32(i32::from(zero))))
    });
    vreinterpret_u8_s8(vmovn_s16(vcombine_s16(low, high)))
}

#[target_feature(enable = "neon,dotprod")]
fn dotprod_outputs(words: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Column {
    let mut acc = [vdupq_n_s32(0); 4];
    // SAFETY: 32 bytes lie there.
    let load =
        |weights: &Weights| unsafe { (vld1q_s8(weights.as_ptr()), vld1q_s8(weights.as_ptr().add(16))) };
    let ((fours, last), (weights, last_weights)) = (words.as_chunks::<4>(), weights.as_chunks::<4>());
    for (words, weights) in fours.iter().zip(weights) {
        // SAFETY: 16 bytes lie there.
        let x = unsafe { vld1q_s8(words.as_ptr().cast()) };
        macro_rules! meet {
            ($($word:literal $acc:literal),*) => {$(
                let (low, high) = load(&weights[$word]);
                sdot!(acc[$acc], low, x, $word);
                sdot!(acc[$acc + 1], high, x, $word);
            )*};
        }
        // Two sums each, because one would wait for itself.
        meet!(0 0, 1 2, 2 0, 3 2);
    }
    for (word, weights) in last.iter().zip(last_weights) {
        let x = vreinterpretq_s8_u32(vdupq_n_u32(*word));
        let (low, high) = load(weights);
        sdot!(acc[0], low, x, 0);
        sdot!(acc[1], high, x, 0);
    }
    let mut sums = [0; OUTPUTS];
    // SAFETY: 32 bytes lie there.
    unsafe {
        vst1q_s32(sums.as_mut_ptr(), vaddq_s32(acc[0], acc[2]));
        vst1q_s32(sums.as_mut_ptr().add(4), vaddq_s32(acc[1], acc[3]));
    }
    requantize_column(&sums, outlet, false, zero)
}
