//! The exchange alone, as a chip's interrupt handler sees it: what is armed stays as it is, what ended is given up, what came
//! is cut at the transaction's end.
// Helpers of a test may end it.
#![allow(clippy::unwrap_used)]

use embedded_io::{Write as _, WriteReady as _};
use telltale_bridge::{Exchange, Forwarder, Kept};
use telltale_wire::bridge::{
    AgentMessage, LINK_VERSION, LinkMessage, LinkReader, MAX_ENCODED, OnLine as _, Open, SPI_TRANSACTION,
    SpiTransaction,
};

const IDLE: [u8; SPI_TRANSACTION] = [0; SPI_TRANSACTION];

fn received(exchange: &mut Exchange) -> Vec<u8> {
    std::iter::from_fn(|| exchange.next_byte()).collect()
}

#[test]
fn what_is_armed_stays_while_messages_wait_behind_it() {
    let mut exchange = Exchange::new();
    assert!(!exchange.ready() && exchange.to_send() == &IDLE);
    assert_eq!(exchange.write(&[0, 7, 0]), Ok(3));
    assert!(exchange.ready() && exchange.to_send() == &IDLE, "the chip may be sending it");
    exchange.ended(&IDLE);
    assert!(exchange.ready() && exchange.to_send()[..4] == [0, 7, 0, 0]);
    assert_eq!(exchange.write(&[0, 8, 0]), Ok(3));
    assert_eq!(exchange.to_send()[..4], [0, 7, 0, 0]);
    exchange.ended(&[]);
    assert_eq!(exchange.to_send()[..4], [0, 7, 0, 0], "selected without a clock: nothing was sent");
    exchange.ended(&IDLE[..9]);
    assert_eq!(exchange.to_send()[..4], [0, 8, 0, 0]);
    exchange.ended(&IDLE);
    assert!(!exchange.ready() && exchange.to_send() == &IDLE);
}

#[test]
fn messages_come_forward_where_the_chip_can_be_armed_anew() {
    let mut exchange = Exchange::new();
    assert!(!exchange.bring_forward(), "there is nothing");
    exchange.write_all(&[0, 7, 0]).unwrap();
    assert!(exchange.bring_forward() && exchange.to_send()[1] == 7);
    exchange.write_all(&[0, 8, 0]).unwrap();
    assert!(!exchange.bring_forward() && exchange.to_send()[1] == 7, "what stands ready is not overtaken");
}

#[test]
fn a_message_has_room_as_a_whole_or_waits() {
    let mut exchange = Exchange::new();
    let longest = [1; MAX_ENCODED + 1];
    for _ in 0..2 {
        assert_eq!((exchange.write_ready(), exchange.write(&longest)), (Ok(true), Ok(longest.len())));
    }
    assert_eq!(exchange.write_ready(), Ok(false));
    assert!(exchange.write(&[1]).unwrap_err().to_string().contains("one message at a time"));
    assert_eq!(exchange.to_send(), &IDLE);
}

#[test]
fn what_came_is_cut_at_the_end_of_its_transaction() {
    let mut exchange = Exchange::new();
    exchange.ended(&[0, 0, 5, 6]);
    exchange.ended(&[7, 0, 0, 8]);
    assert_eq!(received(&mut exchange), [5, 6, 0, 7, 0, 8, 0], "zeros in a row are one");
    exchange.ended(&[0xFF; SPI_TRANSACTION]);
    assert_eq!(received(&mut exchange), [], "nobody drove the line");
    // The loop is away: the first one stays, the second is cut, and the third begins behind a zero.
    exchange.ended(&[1; SPI_TRANSACTION - 10]);
    exchange.ended(&[2; SPI_TRANSACTION]);
    assert_eq!(exchange.overruns(), SPI_TRANSACTION as u32 - 8);
    let kept = received(&mut exchange);
    assert_eq!(
        (kept.len(), &kept[SPI_TRANSACTION - 10..]),
        (SPI_TRANSACTION, &[0, 2, 2, 2, 2, 2, 2, 2, 2, 0][..])
    );
    exchange.ended(&[3]);
    assert_eq!(received(&mut exchange), [3, 0]);
}

#[test]
fn a_forwarder_puts_whole_messages_into_each_transaction() {
    let mut kept = Kept::<8_000>::new();
    let mut bridge = Forwarder::new(&mut kept, 7);
    let mut exchange = Exchange::new();
    let open = AgentMessage::Open(Open { version: LINK_VERSION, session: 5, window: 10_000 });
    let (mut encoded, mut said) = ([0; MAX_ENCODED], SpiTransaction::new());
    let len = open.encode(&mut encoded);
    assert!(said.push(&encoded[..len]));
    exchange.ended(said.bytes());
    received(&mut exchange).into_iter().for_each(|byte| bridge.listen(byte, 0));
    for n in 0..300_u16 {
        assert_eq!(bridge.sampled(n, &[1, 0, 2], 0), telltale_bridge::Outcome::Kept);
    }
    let (mut beats, mut frames, mut transactions) = (0, 0, 0);
    loop {
        while bridge.pump(&mut exchange, 0).unwrap() {}
        exchange.bring_forward();
        if !exchange.ready() {
            break;
        }
        transactions += 1;
        assert!(transactions < 100, "transactions without end");
        // A reader of its own for each: none depends on the one before.
        let mut reader = LinkReader::new();
        for message in exchange.to_send().iter().filter_map(|byte| reader.push(*byte)) {
            match message.unwrap() {
                LinkMessage::Beat(_) => beats += 1,
                LinkMessage::Frames(batch) => frames += batch.frames().count(),
                other => panic!("{other:?}"),
            }
        }
        exchange.ended(&IDLE);
    }
    // 9 bytes a reading, two batches of up to 242 bytes a transaction.
    assert_eq!((beats, frames), (1, 300));
    assert!((6..=8).contains(&transactions), "{transactions}");
}
