//! The ring through full turns, restarts, decay and cuts at every byte.

use super::*;
use telltale_wire::bridge::{BridgeId, BridgeKind};

extern crate std;
use std::vec::Vec;

const SIZE: usize = 200;

fn frame(n: u64, data: &[u8]) -> HeardFrame<'_> {
    HeardFrame { at_us: n as u32, channel: 1, id: BridgeId::Standard(0x100), kind: BridgeKind::Fd, data }
}

/// Numbers and first payload bytes of all that is held.
fn held<const N: usize>(ring: &Ring<'_, N>) -> Vec<(u64, u8)> {
    let mut at = ring.start();
    let mut found = Vec::new();
    while let Some((held, next)) = ring.read(at) {
        found.push((at.number, held.frame().data[0]));
        at = next;
    }
    found
}

/// Payloads of many lengths, so that frames cross the ring's end everywhere.
fn fill(ring: &mut Ring<'_, SIZE>, frames: u64) {
    for n in 0..frames {
        let data = [n as u8; 64];
        ring.push(&frame(n, &data[..1 + n as usize * 7 % 64]), 1_000 + n);
    }
}

#[test]
fn the_last_frames_are_held_and_older_ones_fall_out() {
    let mut kept = Kept::<SIZE>::new();
    let mut ring = Ring::open(&mut kept, 7);
    for n in 0..1_000_u64 {
        let data = [n as u8; 64];
        let sent = frame(n, &data[..1 + n as usize * 7 % 64]);
        ring.push(&sent, n);
        let found = held(&ring);
        assert_eq!(found.last(), Some(&(n, n as u8)));
        assert_eq!(found[0].0, ring.first());
        assert!(
            found.len() as u64 == ring.next() - ring.first() && (found.len() >= 2 || n == 0),
            "{found:?}"
        );
        assert!(found.iter().all(|(number, byte)| *number as u8 == *byte), "{found:?}");
    }
    ring.release(ring.next() - 1, 0);
    assert_eq!(held(&ring).len(), 1);
    ring.release(u64::MAX, 0);
    assert_eq!((held(&ring).len(), ring.first()), (0, 1_000));
}

#[test]
fn a_restart_finds_frames_numbers_and_time_again() {
    let mut kept = Kept::<SIZE>::new();
    let before = {
        let mut ring = Ring::open(&mut kept, 7);
        fill(&mut ring, 50);
        ring.count_dropped(3);
        ring.commit(5_000);
        held(&ring)
    };
    let ring = Ring::open(&mut kept, 99);
    assert_eq!(held(&ring), before);
    assert_eq!((ring.boot(), ring.restarts(), ring.clock_us(), ring.dropped()), (7, 1, 5_000, 3));
    assert_eq!(ring.next(), 50);
}

#[test]
fn memory_as_power_on_leaves_it_is_an_empty_ring() {
    for fill in [0x00, 0xFF, 0x5A] {
        let mut kept = Kept::<SIZE> { headers: [[fill; HEADER]; 2], bytes: [fill; SIZE] };
        let ring = Ring::open(&mut kept, 7);
        assert_eq!((ring.boot(), ring.restarts(), ring.next()), (7, 0, 0));
    }
}

#[test]
fn a_flipped_bit_in_what_is_claimed_is_found_and_nothing_of_it_is_believed() {
    let mut kept = Kept::<SIZE>::new();
    let count = {
        let mut ring = Ring::open(&mut kept, 7);
        fill(&mut ring, 9);
        held(&ring).len()
    };
    let mut refused = 0;
    for bit in 0..SIZE * 8 {
        let mut hurt = Kept { headers: kept.headers, bytes: kept.bytes };
        hurt.bytes[bit / 8] ^= 1 << (bit % 8);
        let ring = Ring::open(&mut hurt, 8);
        let found = held(&ring);
        assert!(found.is_empty() || found.len() == count, "half a ring was believed");
        assert_eq!(ring.boot() == 8, found.is_empty(), "a new boot number goes with an empty ring");
        refused += usize::from(found.is_empty());
    }
    assert!(refused > SIZE * 4, "{refused} of {} flips were found", SIZE * 8);
}

/// A restart in the middle of a push: the memory as it is after each single byte that the push writes, in its order.
#[test]
fn a_restart_at_any_byte_of_a_push_leaves_a_whole_ring() {
    let mut kept = Kept::<SIZE>::new();
    fill(&mut Ring::open(&mut kept, 7), 20);
    for n in 20..60_u64 {
        let before = Kept { headers: kept.headers, bytes: kept.bytes };
        let data = [n as u8; 64];
        let len = 1 + n as usize * 7 % 64;
        // The ring as `open` would continue it, without counting a restart.
        let claim = Claim::read::<SIZE>(&kept.headers[0])
            .into_iter()
            .chain(Claim::read::<SIZE>(&kept.headers[1]))
            .max_by_key(|claim| claim.generation)
            .unwrap();
        let mut ring = Ring { kept: &mut kept, claim };
        ring.push(&frame(n, &data[..len]), 0);
        // Header given up, frame, header claimed: each step byte by byte over what was there.
        for steps in steps(&before, &kept) {
            let mut cut = steps;
            let ring = Ring::open(&mut cut, 8);
            assert_eq!(ring.boot(), 7, "push {n}: the ring was lost");
            assert!(ring.next() == n || ring.next() == n + 1);
            assert!(held(&ring).iter().all(|(number, byte)| *number as u8 == *byte));
        }
    }
}

/// All memories between two: the header that was written first, then the frame's bytes, then the other header. Where no
/// room was given up there is one header only, which comes last.
fn steps(before: &Kept<SIZE>, after: &Kept<SIZE>) -> Vec<Kept<SIZE>> {
    let generation = |header: &[u8; HEADER]| Claim::read::<SIZE>(header).map_or(0, |claim| claim.generation);
    let last = usize::from(generation(&after.headers[1]) > generation(&after.headers[0]));
    let first = 1 - last;
    let mut now = Kept { headers: before.headers, bytes: before.bytes };
    let mut all = Vec::new();
    let snapshot =
        |now: &Kept<SIZE>, all: &mut Vec<_>| all.push(Kept { headers: now.headers, bytes: now.bytes });
    for header in [first, last] {
        if header == last {
            for place in 0..SIZE {
                if now.bytes[place] != after.bytes[place] {
                    now.bytes[place] = after.bytes[place];
                    snapshot(&now, &mut all);
                }
            }
        }
        for place in 0..HEADER {
            if now.headers[header][place] != after.headers[header][place] {
                now.headers[header][place] = after.headers[header][place];
                snapshot(&now, &mut all);
            }
        }
    }
    all
}
