//! The state machine against answers, refusals and silence.

use super::pace::MIN_BACKOFF;
use super::*;
use telltale_wire::record::RawRecord;
use telltale_wire::time::WallTime;

fn uplink() -> Uplink {
    Uplink::new(UplinkConfig::default(), VehicleId::new("bench-01").unwrap(), 7)
}

fn at(seconds: u64) -> MonoTime {
    MonoTime(seconds * 1_000_000)
}

fn stamp(mono: MonoTime) -> Stamp {
    Stamp { mono, wall: None }
}

fn batch(first: u64, count: usize) -> Batch {
    let records = vec![RawRecord { kind: 1, body: Vec::new() }; count];
    Batch { boot: BootId(1), lane: Lane::Status, first_seq: Seq(first), records }
}

fn answer(through: u64) -> SyncResponse {
    SyncResponse {
        acks: vec![Ack { boot: BootId(1), lane: Lane::Status, through: Seq(through) }],
        server_time: WallTime(0),
        desired_state: 3,
        retry_after_ms: 0,
        batch_limit: 100_000,
    }
}

fn refusal(code: RefusalCode) -> SyncRefusal {
    SyncRefusal { code, message: "no".into(), retry_after_ms: 0 }
}

#[test]
fn it_sends_until_nothing_is_left_and_then_asks_for_news_now_and_then() {
    let mut up = uplink();
    assert!(up.poll_transmit(at(0)).is_some());
    up.begin(stamp(at(0)), vec![batch(1, 5)]).unwrap();
    assert_eq!((up.poll_timeout(), up.poll_transmit(at(99))), (None, None));
    assert_eq!(up.handle_response(at(1), &answer(5)).len(), 1);
    assert_eq!(up.poll_transmit(at(1)).unwrap().limits.bytes, 100_000 - OVERHEAD, "the server's limit holds");
    assert!(up.begin(stamp(at(1)), Vec::new()).is_none());
    assert_eq!(up.poll_timeout(), Some(at(1 + 15 * 60)));
    assert!(up.begin(stamp(at(1 + 15 * 60)), Vec::new()).is_some());
    assert_eq!((up.desired_state(), up.stats().acknowledged), (3, 5));
}

#[test]
fn records_cut_an_idle_wait_short_and_a_backoff_not() {
    let mut up = uplink();
    up.begin(stamp(at(0)), Vec::new()).unwrap();
    up.handle_response(at(0), &SyncResponse { acks: Vec::new(), ..answer(0) });
    up.begin(stamp(at(0)), Vec::new());
    up.handle_records(at(1), false);
    assert_eq!(up.poll_timeout(), Some(at(11)));
    up.handle_records(at(2), true);
    assert_eq!(up.poll_timeout(), Some(at(2)));
    up.begin(stamp(at(2)), vec![batch(1, 1)]);
    up.handle_response(at(2), &SyncResponse { retry_after_ms: 60_000, ..answer(1) });
    up.handle_records(at(3), true);
    assert_eq!(up.poll_timeout(), Some(at(62)), "the server's wish holds");
}

#[test]
fn backoff_grows_with_full_jitter_and_ends_with_a_success() {
    let mut up = uplink();
    let mut waits = Vec::new();
    for _ in 0..200 {
        up.begin(stamp(at(0)), vec![batch(1, 1)]).unwrap();
        up.handle_failure(at(0));
        waits.push(up.poll_timeout().unwrap().since(at(0)));
    }
    assert!(waits[0] <= Duration::from_secs(1));
    let late = &waits[20..];
    assert!(late.iter().all(|wait| *wait >= MIN_BACKOFF && *wait <= Duration::from_secs(300)));
    let mean = late.iter().map(Duration::as_secs_f64).sum::<f64>() / late.len() as f64;
    assert!((120.0..180.0).contains(&mean), "full jitter has its mean at half the range, not at {mean}");
    up.begin(stamp(at(0)), vec![batch(1, 1)]);
    up.handle_response(at(0), &answer(1));
    up.begin(stamp(at(0)), vec![batch(2, 1)]);
    up.handle_failure(at(0));
    assert!(up.poll_timeout().unwrap() <= at(1));
}

#[test]
fn an_acknowledgement_counts_for_what_was_sent_alone() {
    let mut up = uplink();
    up.begin(stamp(at(0)), vec![batch(1, 5)]);
    assert_eq!(up.handle_response(at(0), &answer(u64::MAX))[0].through, Seq(5));
    up.begin(stamp(at(0)), vec![batch(6, 5)]);
    let other = Ack { boot: BootId(2), lane: Lane::Status, through: Seq(9) };
    assert!(up.handle_response(at(0), &SyncResponse { acks: vec![other], ..answer(0) }).is_empty());
    assert!(up.poll_timeout().unwrap() > at(0), "no progress is no success");
    up.begin(stamp(at(9)), vec![batch(6, 5)]);
    assert_eq!(up.handle_response(at(9), &answer(5)).len(), 1);
    assert!(up.poll_timeout().unwrap() > at(9), "an old acknowledgement is no progress");
}

#[test]
fn a_record_that_the_server_cannot_read_is_found_by_halving() {
    // Record 11 of 1..=37 is the bad one; the machine must send all others and give up that one alone.
    let (mut up, mut wanted, mut given_up) = (uplink(), (1..=37).collect::<Vec<u64>>(), Vec::new());
    for _ in 0..60 {
        let limit = up.poll_transmit(at(0)).unwrap().limits.records;
        let Some(first) = wanted.first().copied() else { break };
        let run =
            wanted.iter().enumerate().take_while(|(i, n)| **n == first + *i as u64 && *i < limit).count();
        up.begin(stamp(at(0)), vec![batch(first, run)]);
        let last = first + run as u64 - 1;
        if (first..=last).contains(&11) {
            if let Advice::Discard { seq, .. } = up.handle_refusal(at(0), &refusal(RefusalCode::Malformed)) {
                given_up.push(seq.0);
                wanted.retain(|n| *n != seq.0);
            }
        } else {
            up.handle_response(at(0), &answer(last));
            wanted.retain(|n| *n > last);
        }
    }
    assert_eq!((wanted, given_up), (vec![], vec![11]));
}

#[test]
fn a_server_that_reads_nothing_does_not_empty_the_spool() {
    let mut up = uplink();
    let mut given_up = 0;
    for seq in 1..100 {
        up.begin(stamp(at(0)), vec![batch(seq, 1)]);
        given_up +=
            u32::from(up.handle_refusal(at(0), &refusal(RefusalCode::Malformed)) != Advice::NeedsPerson);
    }
    assert_eq!(given_up, MAX_DISCARDS);
    assert_eq!(up.poll_timeout(), Some(at(30 * 60)));
}

#[test]
fn each_refusal_has_its_wait() {
    let mut up = uplink();
    up.begin(stamp(at(0)), vec![batch(1, 8)]);
    up.handle_refusal(at(0), &refusal(RefusalCode::TooLarge));
    let limits = up.poll_transmit(at(0)).unwrap().limits;
    assert_eq!((limits.records, limits.bytes), (4, 128 * 1024));
    up.begin(stamp(at(0)), vec![batch(1, 4)]);
    let busy = SyncRefusal { retry_after_ms: 90_000, ..refusal(RefusalCode::Unavailable) };
    assert_eq!(up.handle_refusal(at(0), &busy), Advice::Again);
    assert!(up.poll_timeout().unwrap() >= at(90));
    up.begin(stamp(at(90)), vec![batch(1, 4)]);
    assert_eq!(up.handle_refusal(at(90), &refusal(RefusalCode::NotThisVehicle)), Advice::NeedsPerson);
    assert_eq!(up.poll_timeout(), Some(at(90 + 30 * 60)));
}

#[test]
fn without_budget_left_critical_records_alone_go_and_the_rest_follows_when_there_is_some() {
    let config = BudgetConfig { bytes_per_day: 24 * 64 * 1024, shares: [100; 4] };
    let mut up = uplink().with_budget(Some(Budget::new(config, at(0))));
    up.begin(stamp(at(0)), vec![batch(1, 5)]).unwrap();
    up.count_bytes(at(0), 2_000_000, 500);
    up.handle_response(at(0), &answer(5));
    assert_eq!(up.poll_transmit(at(0)).unwrap().lanes, [usize::MAX, 0, 0, 0]);
    assert!(up.begin(stamp(at(0)), Vec::new()).is_none());
    let opening = up.poll_timeout().unwrap();
    assert!(opening > at(6 * 3_600), "no news is asked for on credit: {opening:?}");
    up.handle_records(at(9), true);
    assert!(up.poll_transmit(at(9)).is_some(), "a critical record goes at once");
    up.begin(stamp(at(9)), vec![Batch { lane: Lane::Critical, ..batch(1, 1) }]).unwrap();
    up.count_bytes(at(9), 300, 100);
    up.handle_response(at(9), &SyncResponse { acks: Vec::new(), ..answer(1) });
    up.handle_failure(at(9));
    assert!(up.poll_transmit(at(25 * 3_600)).unwrap().lanes[1] > 0);
    assert_eq!((up.stats().bytes_up, up.stats().bytes_down), (2_000_300, 600));
}
