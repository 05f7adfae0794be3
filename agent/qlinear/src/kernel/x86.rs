//! x86_64: AVX2 by 16-bit pairs, AVX-512 VNNI by four bytes at once.
#![allow(unsafe_code)] // vector loads and stores take pointers

use crate::layer::Outlet;
use crate::requantize::{Column, Words, requantize, requantize_column};
use crate::{OUTPUTS, STEPS, Sums, WORD, Weights};
use std::arch::x86_64::*;

/// Safe to call where AVX2 was detected, which making a [`Kernel::Avx2`](super::Kernel) says.
pub(super) fn avx2(words: &[u32], taps: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Words {
    assert!(is_x86_feature_detected!("avx2"));
    // SAFETY: the processor has the feature.
    unsafe { avx2_tile(words, taps, weights, outlet, zero) }
}

/// Safe to call where AVX-512 VNNI was detected.
pub(super) fn vnni(words: &[u32], taps: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Words {
    assert!(is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512f"));
    // SAFETY: the processor has the features.
    unsafe { vnni_tile(words, taps, weights, outlet, zero) }
}

/// Safe to call where AVX2 was detected.
pub(super) fn avx2_column(words: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Column {
    assert!(is_x86_feature_detected!("avx2"));
    // SAFETY: the processor has the feature.
    unsafe { avx2_outputs(words, weights, outlet, zero) }
}

/// Safe to call where AVX-512 VNNI was detected.
pub(super) fn vnni_column(words: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Column {
    assert!(is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl"));
    // SAFETY: the processor has the features; AVX2 comes with AVX-512.
    unsafe { vnni_outputs(words, weights, outlet, zero) }
}

/// Eight steps of a tile.
#[target_feature(enable = "avx2")]
fn load(words: &[u32; STEPS], half: usize) -> __m256i {
    let eight = &words.as_chunks::<8>().0[half];
    // SAFETY: 32 bytes lie there, and no alignment is asked for.
    unsafe { _mm256_loadu_si256(eight.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store(sums: &mut [i32; STEPS], half: usize, eight: __m256i) {
    let place = &mut sums.as_chunks_mut::<8>().0[half];
    // SAFETY: 32 bytes lie there, and no alignment is asked for.
    unsafe { _mm256_storeu_si256(place.as_mut_ptr().cast(), eight) }
}

/// The weights of eight outputs that one word meets.
#[target_feature(enable = "avx2")]
fn eight(weights: &Weights) -> __m256i {
    // SAFETY: 32 bytes lie there, and no alignment is asked for.
    unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) }
}

/// The sums of eight outputs.
#[target_feature(enable = "avx2")]
fn sums(eight: __m256i) -> [i32; OUTPUTS] {
    let mut sums = [0; OUTPUTS];
    // SAFETY: 32 bytes lie there, and no alignment is asked for.
    unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), eight) };
    sums
}

/// The sixteen words at a tap.
#[inline(always)]
fn at(words: &[u32], tap: u32) -> &[u32; STEPS] {
    // The caller saw that every tap has as many behind it: this never is the fallback.
    words[tap as usize..].first_chunk().unwrap_or(&[0; STEPS])
}

#[target_feature(enable = "avx2")]
fn avx2_tile(words: &[u32], taps: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Words {
    let mut sums: Sums = [[0; STEPS]; OUTPUTS];
    // Two output channels at a time: each step has two halves of a sum, so eight registers hold them.
    for pair in 0..OUTPUTS / 2 {
        let mut acc = [[_mm256_setzero_si256(); 4]; 2];
        for (tap, weights) in taps.iter().zip(weights) {
            let x = at(words, *tap);
            let (low, high) = (load(x, 0), load(x, 1));
            let quarters = [
                _mm256_cvtepi8_epi16(_mm256_castsi256_si128(low)),
                _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(low)),
                _mm256_cvtepi8_epi16(_mm256_castsi256_si128(high)),
                _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(high)),
            ];
            for (row, four) in acc.iter_mut().zip(&weights.as_chunks::<WORD>().0[2 * pair..]) {
                let wide = _mm_cvtepi8_epi16(_mm_cvtsi32_si128(i32::from_le_bytes(four.map(|w| w as u8))));
                let w = _mm256_broadcastq_epi64(wide);
                for (sum, x) in row.iter_mut().zip(quarters) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
                }
            }
        }
        for (row, acc) in sums[2 * pair..].iter_mut().zip(acc) {
            for half in 0..2 {
                // Adding pairs works within 128 bits: put the quarters back in order.
                let added = _mm256_hadd_epi32(acc[2 * half], acc[2 * half + 1]);
                store(row, half, _mm256_permute4x64_epi64::<0b11_01_10_00>(added));
            }
        }
    }
    requantize(&sums, outlet, false, zero)
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni_tile(words: &[u32], taps: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Words {
    let sign = _mm512_set1_epi8(-128);
    let mut acc = [_mm512_setzero_si512(); OUTPUTS];
    for (tap, weights) in taps.iter().zip(weights) {
        // SAFETY: 64 bytes lie there, and no alignment is asked for.
        let x = unsafe { _mm512_loadu_si512(at(words, *tap).as_ptr().cast()) };
        // The instruction takes unsigned by signed: x + 128 by w, and the outlet takes the surplus off.
        let x = _mm512_xor_si512(x, sign);
        for (sum, four) in acc.iter_mut().zip(weights.as_chunks::<WORD>().0) {
            let w = _mm512_set1_epi32(i32::from_le_bytes(four.map(|w| w as u8)));
            *sum = _mm512_dpbusd_epi32(*sum, x, w);
        }
    }
    packed(acc, outlet, zero)
}

/// As [`requantize`] does it, without a way through memory: a conversion rounds half to even.
#[target_feature(enable = "avx512f")]
fn packed(sums: [__m512i; OUTPUTS], outlet: &Outlet, zero: i8) -> Words {
    let bound = |level: i16| _mm512_set1_ps(f32::from(level - i16::from(zero)));
    let (least, most) = (bound(-128), bound(127));
    let mut halves = [_mm512_setzero_si512(); 2];
    for (lane, sum) in sums.into_iter().enumerate() {
        let sum = _mm512_add_epi32(sum, _mm512_set1_epi32(outlet.offset_unsigned[lane]));
        let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(outlet.multiplier[lane]));
        let rounded = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(scaled, least), most));
        let level = _mm512_add_epi32(rounded, _mm512_set1_epi32(i32::from(zero)));
        let byte = _mm512_and_si512(level, _mm512_set1_epi32(0xff));
        let shifted = _mm512_sllv_epi32(byte, _mm512_set1_epi32(8 * (lane % WORD) as i32));
        halves[lane / WORD] = _mm512_or_si512(halves[lane / WORD], shifted);
    }
    let mut words = [[0; STEPS]; 2];
    for (words, half) in words.iter_mut().zip(halves) {
        // SAFETY: 64 bytes lie there, and no alignment is asked for.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), half) };
    }
    words
}

#[target_feature(enable = "avx2")]
fn avx2_outputs(words: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Column {
    let mut acc = [_mm256_setzero_si256(); 2];
    for (word, weights) in words.iter().zip(weights) {
        let w = eight(weights);
        let x = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(word.cast_signed())));
        let halves = [_mm256_castsi256_si128(w), _mm256_extracti128_si256::<1>(w)];
        for (acc, half) in acc.iter_mut().zip(halves) {
            *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, _mm256_cvtepi8_epi16(half)));
        }
    }
    // Each output has two sums of two channels; adding neighbours leaves the outputs 0 1 4 5 2 3 6 7.
    let added = _mm256_hadd_epi32(acc[0], acc[1]);
    requantize_column(&sums(_mm256_permute4x64_epi64::<0b11_01_10_00>(added)), outlet, false, zero)
}

#[target_feature(enable = "avx2,avx512vnni,avx512vl")]
fn vnni_outputs(words: &[u32], weights: &[Weights], outlet: &Outlet, zero: i8) -> Column {
    let mut acc = [_mm256_setzero_si256(); 2];
    let ((pairs, last), (weights, last_weights)) = (words.as_chunks::<2>(), weights.as_chunks::<2>());
    // Two sums, because one would wait for itself. The instruction takes unsigned by signed: x + 128 by w.
    let meet = |acc: &mut __m256i, word: u32, weights: &Weights| {
        let x = _mm256_set1_epi32((word ^ 0x8080_8080).cast_signed());
        *acc = _mm256_dpbusd_epi32(*acc, x, eight(weights));
    };
    for (words, weights) in pairs.iter().zip(weights) {
        meet(&mut acc[0], words[0], &weights[0]);
        meet(&mut acc[1], words[1], &weights[1]);
    }
    for (word, weights) in last.iter().zip(last_weights) {
        meet(&mut acc[0], *word, weights);
    }
    requantize_column(&sums(_mm256_add_epi32(acc[0], acc[1])), outlet, true, zero)
}
